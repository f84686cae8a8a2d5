import os
import stat
import time
import traceback
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_resources.locks import Busy, hold, holder
from crm_resources.warehouse import BadValueError, Warehouse

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
MONTH = {"slice": "2025-01"}


def sales(slice_, *ids, at=datetime(2025, 1, 15, tzinfo=UTC)):
    return pl.DataFrame(
        {"id": ids, "slice": [slice_] * len(ids), "ordered_at": [at] * len(ids)},
        schema={"id": pl.Int64, "slice": pl.String, "ordered_at": pl.Datetime("us", "UTC")},
    )


def stored(warehouse):
    rows = warehouse.read("SELECT slice, id FROM bronze.sales ORDER BY ALL").rows()
    return [tuple(row) for row in rows]


# Writing


def test_a_slice_is_replaced_and_the_others_stay(warehouse):
    with warehouse.write("teste") as tx:
        assert tx.replace_slice("bronze.sales", sales("2025-01", 1, 2), MONTH) == 2
        assert tx.replace_slice("bronze.sales", sales("2025-02", 3), {"slice": "2025-02"}) == 1
    with warehouse.write("teste") as tx:
        assert tx.replace_slice("bronze.sales", sales("2025-01", 4).to_arrow(), MONTH) == 1
    assert stored(warehouse) == [("2025-01", 4), ("2025-02", 3)]


def test_an_empty_frame_empties_the_slice(warehouse):
    with warehouse.write("teste") as tx:
        tx.append("bronze.sales", sales("2025-01", 1))
        assert tx.replace_slice("bronze.sales", sales("2025-01"), MONTH) == 0
        assert tx.count("bronze.sales") == 0


@pytest.mark.parametrize("where", [{}, {"slice": None}])
def test_a_slice_needs_a_value(warehouse, where):
    with pytest.raises(ValueError, match="fatia"), warehouse.write("teste") as tx:
        tx.replace_slice("bronze.sales", sales("2025-01", 1), where)


def test_rows_outside_their_slice_are_refused(warehouse):
    with warehouse.write("teste") as tx:
        tx.append("bronze.sales", sales("2025-01", 1))
    frame = pl.concat([sales("2025-01", 2), sales("2025-02", 3)])
    with pytest.raises(ValueError, match=r"1 linhas .* \(slice\)"), warehouse.write("teste") as tx:
        tx.replace_slice("bronze.sales", frame, MONTH)
    assert stored(warehouse) == [("2025-01", 1)]


@pytest.mark.slow
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    writes=st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 9), max_size=4)), max_size=6
    )
)
def test_the_last_write_of_every_slice_is_what_is_there(warehouse, writes):
    with warehouse.write("teste") as tx:
        tx.execute("DELETE FROM bronze.sales")
        for slice_, ids in writes:
            tx.replace_slice("bronze.sales", sales(slice_, *ids), {"slice": slice_})
        rows = tx.read("SELECT slice, id FROM bronze.sales ORDER BY ALL").rows()
    expected = sorted((slice_, id_) for slice_, ids in dict(writes).items() for id_ in ids)
    assert rows == expected


def test_each_transaction_of_a_session_stands_for_itself(warehouse):
    with warehouse.session("teste") as session:
        with session.begin() as tx:
            tx.append("bronze.sales", sales("a", 1))
        with suppress(ZeroDivisionError), session.begin() as tx:
            tx.append("bronze.sales", sales("b", 2))
            raise ZeroDivisionError
        with session.begin() as tx:
            tx.append("bronze.sales", sales("c", 3))
    assert stored(warehouse) == [("a", 1), ("c", 3)]


def test_a_table_is_replaced_from_a_frame_a_select_or_itself(warehouse):
    with warehouse.write("teste") as tx:
        assert tx.replace_table("gold.audience_ilpi", sales("a", 1, 2)) == 2
        doubled = "SELECT id * $by AS id FROM gold.audience_ilpi JOIN wanted USING (id)"
        wanted = pl.DataFrame({"id": [2]})
        assert tx.replace_table("gold.audience_ilpi", doubled, {"by": 10}, wanted=wanted) == 1
        assert tx.read("FROM gold.audience_ilpi").rows() == [(20,)]
        assert tx.replace_table("gold.audience_ilpi", sales("a")) == 0
        assert tx.read("FROM gold.audience_ilpi").columns == ["id", "slice", "ordered_at"]


def test_frames_live_for_one_statement(warehouse):
    frame = pl.DataFrame({"id": [1, 2]})
    with warehouse.write("teste") as tx:
        assert tx.scalar("SELECT sum(id) FROM ids WHERE id > ?", [1], ids=frame) == 2
        tx.execute("INSERT INTO bronze.sales BY NAME SELECT id FROM ids", ids=frame)
        assert tx.read("SELECT a.id FROM a JOIN b USING (id)", a=frame, b=frame).height == 2
        assert tx.scalar("SELECT id FROM bronze.sales WHERE id = $id", {"id": 9}) is None
    with pytest.raises(duckdb.CatalogException), warehouse.write("teste") as tx:
        tx.read("SELECT * FROM ids")


def test_a_local_variable_is_no_table(warehouse):
    frame = pl.DataFrame({"id": [1]})
    assert frame.height == 1
    with pytest.raises(duckdb.CatalogException):
        warehouse.read("SELECT * FROM frame")


@pytest.mark.parametrize(
    "table",
    [
        "sales",
        "bronze.sales; DROP TABLE x",
        'bronze."sales"',
        "Bronze.sales",
        "a.b.c",
        "bronze.",
        "",
    ],
)
def test_table_names_are_validated(warehouse, table):
    with pytest.raises(ValueError, match=r"camada\.nome"), warehouse.write("teste") as tx:
        tx.count(table)


instants = st.datetimes(
    datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.sampled_from([UTC, SAO_PAULO])
)
typed_rows = st.fixed_dictionaries(
    {
        "amount": st.none() | st.decimals("-9999999999999999.99", "9999999999999999.99", places=2),
        "seen_at": st.none() | instants,
        "tags": st.none()
        | st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)),
        "raw": st.none() | st.sampled_from(['{"a":[1,{"b":null}]}', "[]", '"ção"', "1.50"]),
        "day": st.none() | st.dates(date(1990, 1, 1), date(2100, 1, 1)),
    }
)
TYPED = {
    "amount": pl.Decimal(18, 2),
    "seen_at": pl.Datetime("us", "UTC"),
    "tags": pl.List(pl.String),
    "raw": pl.String,
    "day": pl.Date,
}


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(typed_rows, max_size=5))
def test_typed_columns_round_trip(warehouse, rows):
    rows = [{**row, "seen_at": row["seen_at"] and row["seen_at"].astimezone(UTC)} for row in rows]
    frame = pl.DataFrame(rows, schema=TYPED)
    with warehouse.write("teste") as tx:
        tx.execute("DELETE FROM bronze.typed")
        tx.append("bronze.typed", frame)
        back = tx.read("SELECT * FROM bronze.typed")
    assert back.schema["seen_at"] == pl.Datetime("us", "America/Sao_Paulo")
    assert back.with_columns(pl.col("seen_at").dt.convert_time_zone("UTC")).equals(frame)


def test_arrow_tables_are_frames_too(warehouse):
    table = pa.table({"amount": pa.array([Decimal("1.25")], pa.decimal128(18, 2)), "tags": [["a"]]})
    with warehouse.write("teste") as tx:
        assert tx.append("bronze.typed", table) == 1
    row = warehouse.read("SELECT amount, tags, raw FROM bronze.typed").rows()[0]
    assert row == (Decimal("1.25"), ["a"], None)


# Transactions, lock and privacy


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_rolls_back_and_frees_file_and_lock_at_once(warehouse, error):
    with pytest.raises(error) as alive, warehouse.write("teste") as tx:  # noqa: PT012
        tx.append("bronze.sales", sales("2025-01", 1))
        raise error
    assert alive.value.__traceback__ is not None
    assert holder(warehouse.lock_path) is None
    duckdb.connect(warehouse.path).close()
    assert stored(warehouse) == []


def test_a_swallowed_error_never_commits_in_silence(warehouse):
    silent = pytest.raises(RuntimeError, match="nada foi gravado")
    with silent, warehouse.write("teste") as tx:
        tx.append("bronze.sales", sales("2025-01", 1))
        with pytest.raises(BadValueError):
            tx.execute("INSERT INTO bronze.sales SELECT 'a', 'x', NULL")
    assert stored(warehouse) == []


def test_reading_writes_nothing(warehouse):
    with pytest.raises(BadValueError, match="TransactionException"):
        warehouse.read("INSERT INTO bronze.sales VALUES ('a', 1, NULL) RETURNING id")
    assert stored(warehouse) == []


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT CAST(? AS INTEGER)", "maria@example.com"),
        ("INSERT INTO bronze.typed (raw) VALUES (?)", '{"cpf": maria@example.com'),
        ("SELECT 'maria@example.com'::DATE + ?", 1),
        ("SELECT error(?)", "maria@example.com"),
    ],
)
def test_no_value_reaches_an_exception(warehouse, sql, value):
    with pytest.raises(BadValueError) as raised, warehouse.write("teste") as tx:
        tx.read(sql, [value]) if sql.startswith("SELECT") else tx.execute(sql, [value])
    text = "".join(traceback.format_exception(raised.value))
    assert "maria" not in text
    assert sql.split("'")[0][:20] in text


def test_a_busy_warehouse_names_its_holder(warehouse):
    with (
        hold(warehouse.lock_path, "clientes", 0),
        pytest.raises(Busy, match=rf"em uso por «clientes» \(processo {os.getpid()}"),
        warehouse.write("teste"),
    ):
        pass


def write_slowly(options, id_, started):
    with Warehouse(**options).write(f"escrita {id_}") as tx:
        started.set()
        time.sleep(0.3)
        tx.append("bronze.sales", sales("2025-01", id_))


def test_the_second_process_waits(children, warehouse, warehouse_options):
    options = {**warehouse_options, "lock_wait_seconds": 30}
    started = children.context.Event()
    first = children.start(write_slowly, options, 1, started)
    assert started.wait(30)
    with pytest.raises(Busy, match=rf"«escrita 1» \(processo {first.pid}"):
        stored(warehouse)
    with Warehouse(**options).write("teste") as tx:
        assert tx.count("bronze.sales") == 1
    assert children.exit_code(first) == 0


def test_folder_and_file_are_private(warehouse):
    stored(warehouse)
    folder = warehouse.path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"warehouse.duckdb": 0o600, "warehouse.duckdb.lock": 0o600}


def test_settings_are_in_place_and_locked(warehouse):
    names = ("TimeZone", "threads", "enable_external_access", "lock_configuration")
    query = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    small = warehouse.model_copy(
        update={"timezone": "America/Manaus", "threads": 1, "memory_limit": "512MiB"}
    )
    assert small.read(query).rows() == [("America/Manaus", 1, False, True)]
    assert small.read("SELECT current_setting('memory_limit')").item() == "512.0 MiB"
    with pytest.raises(BadValueError), warehouse.write("teste") as tx:
        tx.execute("SET threads = 8")


def test_nothing_outside_the_tenants_folder_is_in_reach(warehouse, tmp_path):
    sibling = tmp_path / "db" / "acme2"
    sibling.mkdir(parents=True)
    (sibling / "secret.csv").write_text("a\n1\n")
    for path in (sibling / "secret.csv", warehouse.path.parent / ".." / "acme2" / "secret.csv"):
        with pytest.raises(duckdb.PermissionException):
            warehouse.read(f"SELECT * FROM read_csv('{path}')")
    with pytest.raises(duckdb.PermissionException), warehouse.write("teste") as tx:
        tx.execute(f"COPY bronze.sales TO '{sibling}/out.csv'")


def test_what_a_killed_process_spilled_is_removed(warehouse):
    spill = warehouse.path.parent / "tmp"
    spill.mkdir(parents=True)
    (spill / "duckdb_temp_storage-0.tmp").write_text("personal")
    stored(warehouse)
    assert not spill.exists()


def test_open_and_close_cost_less_than_60_ms(warehouse):
    stored(warehouse)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        with warehouse.get_connection():
            pass
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.060


def test_it_is_a_dagster_resource(warehouse):
    @dg.asset
    def orders(warehouse: Warehouse) -> dg.MaterializeResult:
        with warehouse.write("orders") as tx:
            rows = tx.append("bronze.sales", sales("2025-01", 1))
        return dg.MaterializeResult(metadata={"dagster/row_count": rows})

    assert dg.materialize([orders], resources={"warehouse": warehouse}).success
    assert stored(warehouse) == [("2025-01", 1)]
