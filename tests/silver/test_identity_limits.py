"""An identity that does not settle publishes nothing (mdm.md 4.1)."""

from __future__ import annotations

import pytest
from lake import Lake

from crm_assets.checks.silver import ContactRecords
from crm_assets.person_rules import Identity
from crm_assets.silver import graph
from crm_assets.silver.graph import IdentityError
from crm_assets.silver.identity import resolve


def test_too_few_rounds_leave_no_components(monkeypatch):
    lake = Lake()
    keys = [("a", "a@example.com", None), ("b", None, "+55"), ("c", "a@example.com", "+55")]
    lake.put(
        "silver.contact_records",
        ContactRecords,
        *(
            {"record_id": name, "source_id": name, "email_key": email, "phone_key": phone}
            for name, email, phone in keys
        ),
    )
    monkeypatch.setattr(graph, "MAX_ROUNDS", 1)
    with pytest.raises(IdentityError, match=r"não assentou em 1 rodadas"):
        resolve(lake.tx, Identity())
    exists = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'components'"
    assert lake.value(exists) == 0

    monkeypatch.undo()
    resolve(lake.tx, Identity())
    assert lake.value("SELECT count(DISTINCT component) FROM components") == 1
