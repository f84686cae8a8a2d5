"""An erasure: what the register covers, what is gone from everywhere, and what stays."""

import gzip
from pathlib import PurePath

import duckdb
import pytest
from erasure_samples import ANA, BASE_TABLES, canaries, erased, whole
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.bronze.manychat_file import read_contacts
from crm_assets.checks.dictionary import TABLES as CONTRACTS
from crm_assets.privacy import erased_ops, eraser
from crm_assets.privacy.erased_files import UnregisteredFile, kind_of
from crm_assets.privacy.erased_tables import (
    STAMPS,
    TABLES,
    Received,
    UnregisteredTable,
    rule_of,
)
from crm_assets.privacy.person import Record, groups_of
from crm_assets.privacy.redaction import redacted
from crm_assets.privacy.search import pattern_of, said, tables_mentioning
from crm_assets.privacy.tombstones import NOBODY, Tombstones
from crm_resources.locks import Busy, hold
from crm_resources.ops import tables
from crm_resources.warehouse import Transaction

pytestmark = pytest.mark.slow

# The register


def test_every_table_is_in_the_register(finished_home):
    store = finished_home / "db" / "prd" / "default"
    databases = [store / "warehouse.duckdb", *(store / "serving").glob("*.duckdb")]
    held = set()
    for path in databases:
        with duckdb.connect(path, read_only=True) as con:
            held |= {name for (name,) in con.sql(BASE_TABLES).fetchall()}
    assert len(held) > 25
    assert all(rule_of(name) for name in held | CONTRACTS.keys())


def test_every_column_of_bronze_is_kept_on_purpose_or_goes(connection_of_migrations):
    for table, rule in TABLES.items():
        if isinstance(rule, Received):
            columns = connection_of_migrations.sql(f"FROM {table} LIMIT 0").columns
            assert set(rule.kept) < set(columns), table
            personal = set(columns) - set(rule.kept) - set(STAMPS)
            told = " ".join(
                sql for kind in rule.traits if kind != "sale" for sql in rule.traits[kind]
            )
            assert all(
                name in personal or not rule.kept
                for name in told.replace("concat_ws(' ', ", "")
                .replace(")", "")
                .replace(",", "")
                .split()
            ), table


def test_an_unknown_table_stops_everything():
    with pytest.raises(UnregisteredTable, match=r"gold\.notes"):
        rule_of("gold.notes")


def test_every_table_of_the_store_is_in_the_register():
    assert erased_ops.TABLES.keys() == tables.metadata.tables.keys()
    for name, columns in erased_ops.TABLES.items():
        assert set(columns) <= set(tables.metadata.tables[name].c.keys())


def test_every_kind_of_file_is_in_the_register(finished_home):
    files = [path.relative_to(finished_home) for path in finished_home.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert all(kind_of(path) for path in files)


@pytest.mark.parametrize("path", ["db/prd/default/notes.txt", "notes/people.csv", "people.csv"])
def test_an_unknown_file_is_told(path):
    with pytest.raises(UnregisteredFile):
        kind_of(PurePath(path))


@pytest.fixture(scope="module")
def connection_of_migrations():
    from crm_assets.resources import MIGRATIONS

    with duckdb.connect() as con:
        for script in sorted(MIGRATIONS.glob("*.sql")):
            con.execute(script.read_text())
        yield con


# Who is meant (rules 7.2)


def record(ref, email=None, phone="+5511987651234", name=None, **more):
    return Record(ref, email_key=email, phone_key=phone, first_name=name, **more)


@pytest.mark.parametrize(
    ("records", "groups"),
    [
        ([record("a", "x@e"), record("b", "x@e")], 1),
        ([record("a", "x@e"), record("b")], 1),
        ([record("a", "x@e", name="Maria"), record("b", name="Mari")], 1),
        ([record("a", "x@e", name="Maria"), record("b", name="José")], 2),
        ([record("a", "x@e"), record("b", "y@e")], 2),
        ([record("a", "x@e"), record("b", "y@e"), record("c")], 3),
        ([record("a", "x@e"), record("b", "y@e"), record("c", "x@e", "+1"), record("c", "y@e")], 1),
        ([record("a", "x@e", document="1"), record("b", "y@e", document="1")], 1),
        ([record("a", document="1"), record("b", document="2")], 2),
        ([record("a", source_key="u"), record("b", source_key="u", name="José")], 1),
        ([record("a", name="Ana"), record("b", name="Ana")], 1),
        ([record("a", name="Ana"), record("b", name="José")], 2),
        ([record("a", "x@e", "+1"), record("b", None, "+2")], 2),
        ([record("a", "x@e", decided=(7,)), record("b", "y@e", None, decided=(7, 9))], 1),
    ],
)
def test_groups_that_only_a_phone_holds_together(records, groups):
    found = groups_of(records)
    assert len(found) == groups
    assert sorted(r.ref for group in found for r in group) == sorted(r.ref for r in records)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None]))), st.randoms())
def test_the_order_of_records_decides_nothing(parts, random):
    records = [
        record(f"{number}", email, source_key=source)
        for number, (source, email) in enumerate(parts)
    ]
    shuffled = random.sample(records, len(records))
    assert {frozenset(r.ref for r in g) for g in groups_of(records)} == {
        frozenset(r.ref for r in g) for g in groups_of(shuffled)
    }


# Files


CONTACTS = "nome;email;whatsapp\nAna;ana@example.com;1\nJô;jo@example.com;2\n"


def lines_of(content):
    import datetime as dt

    now = dt.datetime(2026, 3, 15, tzinfo=dt.UTC)
    frame = read_contacts(content, timezone="America/Sao_Paulo", now=now).frame
    return dict(zip(frame["line"], frame["email"], strict=True))


ANA_ALONE = Tombstones(b"k").over([("email", "ana@example.com")])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("cell", ["Ana", '"Ana\nSouza"', '"A;""n""a"'])
def test_a_contact_leaves_its_line_empty_and_the_others_where_they_are(
    world, encoding, ending, cell
):
    text = CONTACTS.replace("Ana;", f"{cell};").replace("\n", ending)
    content = text.encode(encoding)
    clean, lines = redacted(content, "manychat", ANA_ALONE, world.settings, world.tenant)
    assert lines == 1
    before, after = lines_of(content), lines_of(clean)
    assert after == {line: email for line, email in before.items() if email == "jo@example.com"}
    assert not said(clean, pattern_of(["ana", "souza"]))
    assert redacted(clean, "manychat", ANA_ALONE, world.settings, world.tenant) == (clean, 0)


SALES = (
    "Código da transação;Status da transação;Nome;Email;Valor de compra com impostos;Moeda;Cidade\n"
    'HP1;Aprovado;"Ana, a boa";ana@example.com;10,50;BRL;Recife\n'
    "HP2;Aprovado;Jô;jo@example.com;20,00;BRL;Olinda\n"
)


def test_a_sale_keeps_its_fiscal_cells(world):
    sites = (world.settings, world.tenant)
    clean, lines = redacted(SALES.encode(), "hotmart_csv", ANA_ALONE, *sites)
    assert lines == 1
    assert clean.decode() == SALES.replace('"Ana, a boa";ana@example.com', ";").replace(
        "Recife", ""
    )
    assert redacted(clean, "hotmart_csv", ANA_ALONE, *sites) == (clean, 0)


def test_what_no_reader_takes_is_looked_through_line_by_line(world):
    content = b"a list\nAna <ANA@example.com>\nJo <jo@example.com>\n"
    clean, lines = redacted(content, "manychat", ANA_ALONE, world.settings, world.tenant)
    assert (clean, lines) == (b"a list\n\nJo <jo@example.com>\n", 1)
    assert redacted(content, "manychat", NOBODY, world.settings, world.tenant) == (content, 0)


@pytest.mark.parametrize(
    "content",
    [
        b"x ANA@example.com",
        "Ána Ção".encode("cp1252"),
        "Ána Ção".encode(),
        b'"\\u00c1na \\u00e7\\u00e3o"',
        "ana@example.com".encode("utf-16"),
        gzip.compress(b"ana@example.com", mtime=0),
        b"FN:ana@exam\r\n ple.com",
    ],
)
def test_the_search_finds_every_writing(content):
    assert said(content, pattern_of(["ana@example.com", "ána ção"]))
    assert not said(content, pattern_of(["jo@example.com"]))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ana@example.com", True),
        ("(ana@example.com).", True),
        ("ana@example.com.csv", True),
        ("joana@example.com", False),
        ("ana@example.com.br", False),
        ("x.ana@example.com", False),
        ("pedido de Ana Souza.", True),
        ("Ana Souza.csv", True),
        ("Joana Souza", False),
        ("Ana Souzas", False),
        ("+5511987651234", True),
        ("155511987651234", False),
        ("55119876512345", False),
    ],
)
def test_only_the_person_herself_is_found(text, found):
    texts = ["ana@example.com", "ana souza", "5511987651234"]
    assert said(text.encode(), pattern_of(texts)) is found
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t AS SELECT 1 AS a, ? AS b, [?] AS c", [text, text])
        rows = tables_mentioning(Transaction(con), texts)
    assert bool(rows) is (found and not text.endswith("com.csv"))


# The whole


@pytest.mark.slow
def test_nothing_of_the_person_is_left_and_the_facts_stay(finished):
    world = finished
    facts = "SELECT transaction, status, price_value FROM bronze.hotmart_transactions ORDER BY ALL"
    sold = "SELECT sum(gross), count(DISTINCT customer_id) FROM silver.sales"
    batch = "SELECT batch_date, position FROM gold.remarketing_batches ORDER BY ALL"
    before = [world.rows(sql) for sql in (facts, sold, batch)]
    customer_id, refs = whole(world, ANA[0])
    rehearsed = eraser.rehearse(world.site, {customer_id: refs})
    assert len(canaries(world.home)) > 10
    done = erased(world)
    assert done.left == {}
    assert done.found == rehearsed.found
    assert canaries(world.home, (*ANA, customer_id)) == []
    assert [world.rows(sql) for sql in (facts, sold, batch)] == before
    blank = world.rows("SELECT status FROM gold.remarketing_batches WHERE phone IS NULL")
    assert blank == [{"status": "retirado"}]
    certificate = done.certificate.read_text()
    assert "remarketing/remarketing_2026-03-15.csv" in certificate
    assert "nada da pessoa foi encontrado" in certificate
    assert eraser.pending(world.site) is None
    assert not (world.folder / "erasure.json").exists()


@pytest.mark.parametrize("held", ["run.lock", "refine.lock"])
def test_it_is_refused_while_a_round_runs(finished, held):
    with hold(finished.folder / held, "uma rodada", 0):
        import threading

        refused = []

        def attempt():
            try:
                erased(finished)
            except Busy as busy:
                refused.append(str(busy))

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert "uma rodada" in refused[0]
    assert finished.ops.tombstones() == {}


def test_the_reason_may_not_name_the_person(finished):
    customer_id, refs = whole(finished, ANA[0])
    with pytest.raises(eraser.ErasureError, match="--reason cita"):
        eraser.erase(
            finished.site, customer_id, refs, actor="dpo", reason="a Ana Beatriz Souza pediu"
        )
    assert finished.ops.tombstones() == {}


def test_the_sales_of_somebody_erased_are_told_apart_from_the_value_of_the_audience():
    from decimal import Decimal

    from lake import AUDIENCES, NOON, Lake, cus

    from crm_assets.checks.silver import Customers, Products, Sales
    from crm_assets.gold.audiences import _AUDIENCE, _sales_match

    lake = Lake()
    sale = {"gross": Decimal("10.00"), "paid_at": NOON, "order_id": "1"}
    lake.put("silver.products", Products, {"product_id": "1", "audiences": [*AUDIENCES]})
    lake.put(
        "silver.sales",
        Sales,
        {**sale, "customer_id": cus(1), "sale_id": "1"},
        {**sale, "customer_id": cus(2), "sale_id": "2", "is_erased": True},
        {**sale, "customer_id": cus(2), "sale_id": "3", "is_erased": True, "currency": "EUR"},
        {**sale, "customer_id": None, "sale_id": "4"},
    )
    lake.put("silver.customers", Customers, {"customer_id": cus(1)})
    parameters = {"slug": "ilpi", "triggers": []}
    lake.tx.replace_table("gold.audience_ilpi", _AUDIENCE, parameters)
    verdict = _sales_match("gold.audience_ilpi", parameters, lake.tx)
    assert verdict.passed
    told = {name: verdict.metadata[name] for name in ("vendas", "ltv", "apagadas", "sem chave")}
    assert told == {"vendas": "30.00", "ltv": "10.00", "apagadas": "10.00", "sem chave": "10.00"}
    assert verdict.metadata["outra moeda apagadas"] == "10.00"
