"""The list of what a person should look at: every finding once, what weighs most first."""

from __future__ import annotations

from decimal import Decimal

import pytest
from lake import NOON, Lake, cus

from crm_assets.checks.gold import IdentityReview
from crm_assets.checks.silver import FINDINGS, IdentityFindings, Sales
from crm_assets.gold import review


def finding(name, customers=(), records=(), key=None):
    return {
        "finding": name,
        "customer_ids": [cus(number) for number in customers],
        "records": list(records),
        "kind": key and "phone",
        "key": key,
        "since": NOON,
    }


def sale(number, customer, gross, **more):
    return {
        "sale_id": f"hotmart:{number}",
        "order_id": f"hotmart:{number}",
        "customer_id": cus(customer),
        "gross": Decimal(gross),
        **more,
    }


@pytest.fixture
def lake():
    made = Lake()
    made.put(
        "silver.identity_findings",
        IdentityFindings,
        finding("documentos_diferentes", [1], ["form:1"]),
        finding("caixa_de_funcao", [2], ["form:2"]),
        finding("telefone_compartilhado", [3, 4, 5], ["form:3"], "+5511981239876"),
        finding("mantidos_separados", [6, 7, 8, 9]),
        finding("documentos_separados", [1, 2], ["form:1", "form:2"]),
    )
    made.put(
        "silver.sales",
        Sales,
        sale(1, 1, "100"),
        sale(2, 2, "300"),
        sale(3, 2, "50"),
        sale(4, 2, "900", is_eligible=False),
        sale(5, 9, "700"),
    )
    return made


def test_what_weighs_most_comes_first(lake):
    told = review._write(lake.tx)
    rows = lake.rows("SELECT position, finding, customers, sales, value FROM gold.identity_review")
    assert [tuple(row.values()) for row in rows] == [
        (1, "telefone_compartilhado", 3, 0, Decimal("0.00")),
        (2, "documentos_separados", 2, 3, Decimal("450.00")),
        (3, "caixa_de_funcao", 1, 2, Decimal("350.00")),
        (4, "documentos_diferentes", 1, 1, Decimal("100.00")),
        (5, "mantidos_separados", 4, 1, Decimal("700.00")),
    ]
    assert told["gold.identity_review"] == dict.fromkeys(
        ("caixa_de_funcao", "documentos_diferentes", "documentos_separados",
         "mantidos_separados", "telefone_compartilhado"), 1,
    )  # fmt: skip
    assert lake.keeps("gold.identity_review", IdentityReview)


def test_every_finding_has_a_reason_and_a_command(lake):
    assert sorted(review.FINDINGS) == sorted(FINDINGS)
    lake.put("silver.identity_findings", IdentityFindings, *map(finding, FINDINGS))
    review._write(lake.tx)
    told = lake.rows("SELECT DISTINCT finding, reason, remedy FROM gold.identity_review")
    assert len(told) == len(FINDINGS)
    assert all("`crm customers " in row["remedy"] and row["reason"] for row in told)


def test_the_list_holds_every_finding_once(lake):
    review._write(lake.tx)
    assert review._each_finding_once(lake.tx).passed
    lake.tx.execute("DELETE FROM gold.identity_review WHERE position = 2")
    missing = review._each_finding_once(lake.tx)
    assert (missing.passed, missing.metadata) == (False, {"achados": 5, "linhas na lista": 4})
    lake.tx.execute("INSERT INTO gold.identity_review FROM gold.identity_review WHERE position = 1")
    assert not review._each_finding_once(lake.tx).passed, "one is missing and another stands twice"


def test_nothing_found_is_an_empty_list(lake):
    lake.put("silver.identity_findings", IdentityFindings)
    assert review._write(lake.tx) == {"gold.identity_review": {}}
    assert review._each_finding_once(lake.tx).passed
    assert lake.keeps("gold.identity_review", IdentityReview)
