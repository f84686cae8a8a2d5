"""The weekly proof: a master that differs from a full resolution is noticed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lake import Lake, frame_of

from crm_assets.checks.silver import ContactRecords
from crm_assets.person_rules import Identity
from crm_assets.silver.audit import compare
from crm_assets.silver.identity import identify
from crm_assets.silver.records import replace_contact_records

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORDS = [
    {"record_id": f"hotmart:{n}", "source_id": f"{n}", "email_key": f"e{n // 2}@example.com"}
    for n in range(6)
]


@pytest.fixture
def lake():
    lake = Lake()
    replace_contact_records(lake.tx, frame_of(ContactRecords, RECORDS))
    identify(lake.tx, Identity(), NOW)
    return lake


def test_what_the_daily_step_made_is_what_a_full_resolution_makes(lake):
    verdict = compare(lake.tx, Identity())
    assert verdict.passed
    assert verdict.metadata["registros"] == 6


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("DELETE FROM silver.customer_xref WHERE record_id = 'hotmart:1'", "registros sem cliente"),
        (
            "UPDATE silver.customer_xref SET record_id = 'hotmart:9' WHERE record_id = 'hotmart:1'",
            "registros com cliente a mais",
        ),
        (
            "UPDATE silver.customer_xref SET customer_id = 'cus_x' WHERE record_id = 'hotmart:1'",
            "pessoas repartidas",
        ),
        (
            "UPDATE silver.customer_xref SET customer_id = 'cus_x'",
            "clientes com mais de uma pessoa",
        ),
    ],
)
def test_a_difference_fails_and_is_counted(lake, damage, what):
    lake.tx.execute(damage)
    verdict = compare(lake.tx, Identity())
    assert not verdict.passed
    assert verdict.metadata[what] >= 1


def test_records_that_wait_for_the_daily_step_are_no_difference(lake):
    replace_contact_records(lake.tx, frame_of(ContactRecords, RECORDS[:3]))
    verdict = compare(lake.tx, Identity())
    assert verdict.passed
    assert verdict.metadata == {"não comparado, registros à espera": 3}
