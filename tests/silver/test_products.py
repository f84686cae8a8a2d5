"""Which audiences a product belongs to, and what a sale step tells."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from lake import NOON, Lake, cus, site

from crm_assets.checks.silver import CustomerXref, Products, SaleRecords, Sales
from crm_assets.silver.products import product_audiences
from crm_assets.silver.sales import _write_products, _write_sales
from crm_assets.tenants import Audience


def audience(**fields):
    return Audience(label="x", public_label="x", **fields)


AUDIENCES = {
    "ilpi": audience(product_names=["*ILPI*"]),
    "kit": audience(product_ids=[7], product_names=["Kit ?", "A+B (C)"]),
    "resto": audience(rest=True),
}


@pytest.mark.parametrize(
    ("product", "name", "slugs", "mapped"),
    [
        ("1", "Curso de ILPI", ["ilpi"], True),
        ("1", "curso de ilpi avançado", ["ilpi"], True),
        ("7", "Qualquer", ["kit"], True),
        ("7", "Kit ILPI", ["ilpi", "kit"], True),
        ("1", "Kit 2", ["kit"], True),
        ("1", "Kit 22", ["resto"], False),
        ("1", "meu Kit 2", ["resto"], False),
        ("1", "A+B (C)", ["kit"], True),
        ("1", "AAB C", ["resto"], False),
        ("1", "Linha 1\nILPI", ["ilpi"], True),
        ("1", None, ["resto"], False),
        ("77", "Outro", ["resto"], False),
    ],
)
def test_by_id_by_pattern_or_the_rest(product, name, slugs, mapped):
    frame = pl.DataFrame({"product_id": [product], "name": pl.Series([name], dtype=pl.String)})
    found = product_audiences(frame, AUDIENCES)
    assert found.row(0) == (slugs, mapped)


def test_without_a_rest_an_unnamed_product_has_no_audience():
    frame = pl.DataFrame({"product_id": ["1", "7"], "name": ["Outro", "x"]})
    named = {slug: AUDIENCES[slug] for slug in ("ilpi", "kit")}
    assert product_audiences(frame, named).rows() == [([], False), (["kit"], True)]


def test_only_a_rest_takes_everything_and_no_audience_takes_nothing():
    frame = pl.DataFrame({"product_id": ["1"], "name": ["Outro"]})
    assert product_audiences(frame, {"todos": audience(rest=True)}).row(0) == (["todos"], False)
    assert product_audiences(frame, {}).row(0) == ([], False)
    assert product_audiences(frame.clear(), AUDIENCES).rows() == []


def sale_row(number, **fields):
    return {
        "sale_id": f"s{number}",
        "record_id": f"r{number}",
        "order_id": f"o{number}",
        "ordered_at": NOON,
        "paid_at": NOON,
        "gross": Decimal("10.00"),
        "product_name": "Curso ILPI",
        **fields,
    }


def stepped(*rows):
    from lake import DEFAULTS

    lake = Lake()
    defaults = {name: value for name, value in DEFAULTS[Sales].items() if name != "is_erased"}
    lake.put("silver.sale_records", SaleRecords, *({**defaults, **row} for row in rows))
    lake.put(
        "silver.customer_xref",
        CustomerXref,
        {"record_id": "r1", "source_id": "r1", "customer_id": cus(1)},
        {"record_id": "r2", "source_id": "r2", "customer_id": cus(2), "valid_to": NOON},
    )
    lake.told = {**_write_sales(site(), lake.tx), **_write_products(site(), lake.tx)}
    for table, contract in (("silver.sales", Sales), ("silver.products", Products)):
        assert lake.keeps(table, contract)
    return lake


def test_a_sale_gets_the_customer_of_its_open_record_only():
    lake = stepped(sale_row(1), sale_row(2), sale_row(3))
    found = lake.column("SELECT customer_id FROM silver.sales ORDER BY sale_id")
    assert found == [cus(1), None, None]
    assert lake.told["silver.sales"]["sem cliente"] == 2


def test_oddities_are_counted():
    told = stepped(
        sale_row(1, currency=None, is_eligible=False),
        sale_row(2, gross=None, is_eligible=False),
        sale_row(3, product_id=None),
        sale_row(4, paid_at=NOON.replace(day=16)),
        sale_row(5, status_class="unknown", is_paid=False, is_eligible=False),
    ).told["silver.sales"]
    assert told["pagas sem valor ou moeda"] == 2
    assert told["pagas sem produto"] == 1
    assert told["com data no futuro"] == 1
    assert told["em status desconhecido"] == 1
    assert told["pago (BRL)"] == "20.00"
    assert told["pago (sem moeda)"] == "10.00"


def test_unmapped_products_are_reported_and_the_latest_name_counts():
    lake = stepped(
        sale_row(1, product_id="9", product_name="Velho"),
        sale_row(2, product_id="9", product_name="Novo", ordered_at=NOON.replace(day=16)),
        sale_row(3, product_id="1"),
        sale_row(4, product_id="5", product_name="De outro produtor", is_own=False),
    )
    assert lake.column("SELECT name FROM silver.products ORDER BY product_id") == [
        "Curso ILPI",
        "De outro produtor",
        "Novo",
    ]
    assert lake.told["silver.products"] == {"produtos sem público próprio": 1, "quais": "Novo"}
