"""Which record gives each field: strategies of the tenant, scopes (rules 2.6, mdm 4.5)."""

from __future__ import annotations

import duckdb
import pytest
from golden_samples import (
    DAY,
    KEPT,
    TOLD_BY,
    act,
    check,
    decided_by,
    fill,
    fresh,
    golden,
    lineage_of,
    master,
    pinned,
    ranked,
    raw_records,
    redirect,
    rules,
    write_customers,
)
from hypothesis import given
from hypothesis import strategies as st
from lake import NOON, cus, random_cases

from crm_assets.checks.silver import SOURCES
from crm_assets.person_rules import Survivorship
from crm_assets.settings import SettingsError
from crm_assets.silver.lineage import store_choices
from crm_assets.silver.survivorship import survive
from crm_assets.tenants import build_tenant_model
from crm_resources.warehouse import Transaction

pytestmark = pytest.mark.slow

OLD, NEW = {"name": "Old"}, {"name": "New", "observed_at": NOON + DAY}
FORM, CHAT = {"name": "Form", "source": "form"}, {"name": "Chat", "source": "manychat"}
E_A, E_B = ({"email": f"{n}@example.com", "email_key": f"{n}@example.com"} for n in "ab")


@pytest.mark.parametrize(
    ("field", "records", "winner"),
    [
        ("name", [{"name": "Hot"}, CHAT], "Hot"),
        ("name", [{"name": None}, CHAT], "Chat"),
        ("name", [{"name": ""}, CHAT], "Chat"),
        ("name", [FORM, {"name": "Woo", "source": "woocommerce"}], "Woo"),
        ("name", [OLD, NEW], "New"),
        ("name", [OLD, {**NEW, "name": None}], "Old"),
        ("name", [{"name": "B", "record_id": "b"}, {"name": "A", "record_id": "a"}], "A"),
        ("phone", [{"phone": "+5511900000001"},
                   {"phone": "+5511900000002", "phone_key": "+5511900000002",
                    "source": "manychat"}], "+5511900000002"),
        ("document", [{"document": "1", "document_valid": False, "observed_at": NOON + DAY},
                      {"document": "2", "document_valid": True}], "2"),
        ("document", [{"document": "1", "document_valid": None},
                      {"document": "2", "document_valid": True, "source": "crm"}], "2"),
        ("instagram", [{}, {"instagram": "ana", "source": "manychat"}], "ana"),
        ("manychat_id", [{}, {"manychat_id": "7", "source": "manychat"}], "7"),
        ("email", [{**E_A, "source": "manychat"}, E_B], "b@example.com"),
    ],
)  # fmt: skip
def test_by_default_the_valid_then_the_source_then_the_newest(field, records, winner):
    assert golden(records)[field] == winner
    assert golden(records[::-1])[field] == winner


@pytest.mark.parametrize(
    ("rule", "records", "winner"),
    [
        ({"name": ["newest"]}, [OLD, {**CHAT, "observed_at": NOON + DAY}], "Chat"),
        ({"name": ["oldest"]}, [OLD, NEW], "Old"),
        ({"name": ["source", "oldest"]}, [OLD, NEW, {**FORM, "observed_at": NOON - DAY}], "Old"),
        ({"name": []}, [{**NEW, "record_id": "b"}, {**OLD, "record_id": "a"}], "Old"),
        ({"sources": ["manychat"]}, [{"name": "Hot"}, CHAT], "Chat"),
        ({"sources": ["crm", "manychat"]}, [{"name": "Hot"}, CHAT], "Chat"),
        ({"name": {"sources": ["form"]}}, [{"name": "Hot"}, FORM, CHAT], "Form"),
        ({"sources": ["manychat"], "name": {"sources": ["form"]}}, [CHAT, FORM], "Form"),
        ({"sources": ["manychat"], "name": {"sources": ["form"]}}, [CHAT, OLD], "Chat"),
        ({"name": ["most_frequent"]}, [NEW, OLD, OLD], "Old"),
        ({"name": ["most_frequent", "newest"]}, [OLD, NEW], "New"),
        ({"name": ["source", "most_frequent"]}, [OLD, FORM, FORM], "Old"),
        ({"phone": ["newest"]},
         [{"phone": "+5511900000001", "observed_at": NOON + DAY},
          {"phone": "+5511900000002", "phone_key": "+5511900000002"}], "+5511900000001"),
    ],
)  # fmt: skip
def test_a_tenant_chooses_its_strategies_and_orders_of_sources(rule, records, winner):
    field = "phone" if "phone" in rule else "name"
    assert golden(records, survivorship=rule)[field] == winner


def test_the_tenant_s_order_of_sources_names_the_best_source():
    row = golden([{}, {"source": "crm"}], survivorship={"sources": ["crm"]})
    assert (row["source"], row["sources"]) == ("crm", ["crm", "hotmart"])


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (
            [
                {"country": "BR", "state": "SP", "state_source": "ddd", "observed_at": NOON + DAY},
                {"country": "PT", "city": "Porto", "has_address": True},
                {"state": "RJ", "city": "Niterói", "has_address": True, "source": "manychat"},
            ],
            {"country": "PT", "state": None, "city": "Porto", "state_source": None},
        ),
        (
            [
                {"phone": "+5511900000001", "phone_kind": None},
                {"phone": "+551130000000", "phone_kind": "landline", "source": "crm"},
            ],
            {"phone": "+5511900000001", "phone_kind": None},
        ),
        (
            [
                {"name": "A. Lima", "first_name": None},
                {"name": "Ana", "first_name": "Ana", "source": "crm"},
            ],
            {"name": "A. Lima", "first_name": None},
        ),
        (
            [
                {"document": "X1", "document_kind": None},
                {"document": "2", "document_kind": "cpf", "source": "crm"},
            ],
            {"document": "X1", "document_kind": None},
        ),
        (
            [{"city": "", "state": "SP"}, {"city": "Porto", "source": "crm"}],
            {"city": None, "state": "SP"},
        ),
    ],
)
def test_what_belongs_together_comes_from_one_record(records, expected):
    row = golden(records)
    assert {name: row[name] for name in expected} == expected


@random_cases(4)
@given(raw_records(), rules())
def test_every_field_is_the_oracle_s_choice(rows, rule):
    lake = fresh()
    fill(lake, rows)
    write_customers(lake.tx, rule)
    check(lake)
    told = {
        (row["customer_id"], row["field"]): (row["record_id"], row["runner_up"], row["strategy"])
        for row in lake.rows("FROM silver.customer_lineage")
    }
    expected = {}
    for owner in {row["owner"] for row in rows}:
        for field in TOLD_BY:
            of_field = getattr(rule, field)
            best = ranked(
                [row for row in rows if row["owner"] == owner],
                field,
                of_field,
                rule.source_order(of_field),
            )
            if best:
                names = [record["record_id"] for _, record in best[:2]]
                expected[cus(owner), field] = (*[*names, None][:2], decided_by(best, of_field))
    assert told == expected


def test_many_equal_records_are_told_apart_by_their_ids():
    records = [{"name": f"N{n:03}", "record_id": f"r{n:03}"} for n in range(300)]
    lake = master(reversed(records))
    told = lineage_of(lake, "name")
    assert (told["record_id"], told["runner_up"]) == ("r000", "r001")
    assert told["strategy"] == "record_id"


@st.composite
def edits(draw):
    """Records before and after, the pins of both moments, and ids that became others."""
    pins = st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(["name", "email", "city", "place"])),
        max_size=3,
    )
    undone = st.lists(st.integers(1, 6), max_size=3, unique=True)
    return draw(raw_records()), draw(raw_records()), draw(pins), draw(pins), draw(undone)


@random_cases(3)
@given(edits(), rules())
def test_a_scope_redone_is_the_whole_redone(edit, rule):
    before, after, pins, more_pins, undone = edit
    lake = fresh()
    fill(lake, before)
    for number, (owner, field) in enumerate(pins, 1):
        act(lake, number, "identity_pin", owner, **pinned(field, f"v{number}"))
    write_customers(lake.tx, rule)
    fill(lake, after)
    for number, (owner, field) in enumerate(more_pins, len(pins) + 1):
        act(lake, number, "identity_pin", owner, **pinned(field, f"v{number}"))
    for number in undone:
        act(lake, 10 + number, "steward_undo", action=number)
    lake.tx.execute("CREATE OR REPLACE TEMP TABLE touched (customer_id VARCHAR)")
    for owner in range(1, 4):
        if changed(before, after, owner) or owner in {p[0] for p in (*pins, *more_pins)}:
            lake.tx.execute("INSERT INTO touched VALUES (?)", [cus(owner)])
    write_customers(lake.tx, rule, "touched")
    check(lake)
    scoped = [sorted(map(str, lake.rows(f"FROM {table}"))) for table, _ in KEPT]
    write_customers(lake.tx, rule)
    assert scoped == [sorted(map(str, lake.rows(f"FROM {table}"))) for table, _ in KEPT]


def changed(before, after, owner):
    return [r for r in before if r["owner"] == owner] != [r for r in after if r["owner"] == owner]


def test_a_scope_leaves_the_others_alone():
    lake = master([{"name": "Ana"}, {"name": "Bia", "owner": 2}])
    lake.tx.execute("UPDATE silver.contact_records SET name = 'Lia'")
    lake.tx.execute("CREATE OR REPLACE TEMP TABLE touched AS SELECT ? AS customer_id", [cus(2)])
    write_customers(lake.tx, Survivorship(), "touched")
    names = lake.column("SELECT name FROM silver.customers ORDER BY customer_id")
    assert names == ["Ana", "Lia"]


def test_a_customer_that_is_no_more_leaves_with_its_scope():
    lake = master([{"name": "Ana"}, {"name": "Bia", "owner": 2}])
    fill(lake, [{"name": "Ana"}, {"name": "Bia"}])
    redirect(lake, (2, 1))
    lake.tx.execute("CREATE OR REPLACE TEMP TABLE touched AS FROM (VALUES (?), (?)) t(customer_id)",
                    [cus(1), cus(2)])  # fmt: skip
    write_customers(lake.tx, Survivorship(), "touched")
    (row,) = lake.rows("FROM silver.customers")
    assert (row["customer_id"], row["records"]) == (cus(1), 2)


CROWD = """
    SELECT 'r' || i AS record_id, (['hotmart', 'form', 'manychat'])[1 + i % 3] AS source,
           'r' || i AS source_id, TIMESTAMPTZ '2026-01-01' + to_days((i % 2)::INTEGER) AS observed_at,
           CASE WHEN i % 5 < 4 THEN 'N' || i END AS name, CASE WHEN i % 7 < 5 THEN 'c' || i END AS city,
           NULL::VARCHAR AS email, NULL::VARCHAR AS email_key, NULL::VARCHAR AS phone,
           NULL::VARCHAR AS phone_key, NULL::VARCHAR AS phone_kind, NULL::VARCHAR AS first_name,
           NULL::VARCHAR AS document, NULL::VARCHAR AS document_kind, NULL::BOOLEAN AS document_valid,
           NULL::VARCHAR AS instagram, NULL::VARCHAR AS hotmart_ucode, NULL::VARCHAR AS manychat_id,
           NULL::VARCHAR AS state, NULL::VARCHAR AS state_source, NULL::VARCHAR AS country,
           i % 3 = 0 AS has_address, NULL::TIMESTAMPTZ AS first_seen_at,
           NULL::TIMESTAMPTZ AS last_interaction_at, true AS is_own
    FROM range(20000) AS t(i) ORDER BY hash(i, {seed})
"""  # noqa: E501


def choices_of(threads: int, seed: int) -> list[tuple]:
    """The choices of 20,000 records of 2,000 people, with rows in another order for each seed."""
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.execute("CREATE SCHEMA silver; CREATE SCHEMA bronze")
        tx = Transaction(connection)
        tx.execute(f"CREATE TABLE silver.contact_records AS {CROWD.format(seed=seed)}")
        tx.execute(
            "CREATE TABLE silver.customer_xref AS SELECT record_id, 'cus_' || "
            "(source_id[2:]::INTEGER % 2000) AS customer_id, NULL::TIMESTAMPTZ AS valid_to "
            "FROM silver.contact_records"
        )
        tx.execute(
            "CREATE TABLE silver.customer_ids AS SELECT DISTINCT customer_id, "
            "customer_id AS survivor_id FROM silver.customer_xref"
        )
        tx.execute(
            "CREATE TABLE bronze.crm_actions (id BIGINT, kind VARCHAR, customer_id VARCHAR, "
            "payload VARCHAR, occurred_at TIMESTAMPTZ)"
        )
        survive(tx, Survivorship())
        store_choices(tx)
        return tx.read("FROM silver.field_choices ORDER BY record_id").rows()


def test_neither_threads_nor_the_order_of_rows_change_a_choice():
    assert choices_of(1, 1) == choices_of(4, 2) == choices_of(3, 3)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"nome": ["valid"]}, "survivorship.nome: chave desconhecida"),
        ({"name": ["best"]}, "survivorship.name.strategies.0: precisa ser um destes: 'valid', "),
        ({"name": ["pin", "valid"]}, "survivorship.name.strategies.0: precisa ser um destes"),
        ({"name": ["newest", "oldest"]}, "newest e oldest não cabem na mesma lista"),
        ({"name": ["valid", "valid"]}, "survivorship.name.strategies: um nome aparece duas vezes"),
        ({"name": "newest"}, "survivorship.name: precisa ser uma tabela"),
        ({"name": {"by": ["newest"]}}, "survivorship.name.by: chave desconhecida"),
        ({"name": {"sources": ["shopify"]}}, "survivorship.name.sources.0: precisa ser um destes"),
        ({"sources": ["shopify"]}, "survivorship.sources.0: precisa ser um destes: 'hotmart', "),
        ({"sources": ["crm", "crm"]}, "survivorship.sources: um nome aparece duas vezes"),
    ],
)
def test_what_is_no_strategy_field_or_source_is_refused_in_portuguese(written, told):
    with pytest.raises(SettingsError) as caught:
        build_tenant_model("acme", {"survivorship": written}, {})
    assert told in str(caught.value)
    assert " or " not in str(caught.value)


def test_sources_that_are_not_named_follow_in_the_usual_order():
    rule = Survivorship.model_validate({"sources": ["crm"], "name": {"sources": ["form"]}})
    assert rule.source_order() == ("crm", "hotmart", "woocommerce", "form", "manychat")
    assert rule.source_order(rule.name)[:3] == ("form", "crm", "hotmart")
    assert list(Survivorship().source_order()) == SOURCES
