"""What goes wrong: the right rows, or a failed run that names the cause and leaves the old rows."""

import os
import threading
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import pytest

from crm_assets import rounds
from crm_assets.plan import HOTMART_SOURCES
from crm_assets.rounds import run_lock
from crm_resources.hotmart.sandbox import Faults
from crm_resources.hotmart.sandbox_data import SandboxData
from crm_resources.locks import Busy, hold
from crm_resources.refine_lock import RefineLock

pytestmark = pytest.mark.slow

SALES = 24
LANDED = {
    "bronze.hotmart_transactions": SALES,
    "bronze.hotmart_customers": SALES,
    "bronze.hotmart_commissions": 48,
    "bronze.hotmart_price_details": 23,
    "bronze.hotmart_subscription_transactions": 20,
}
"""Rows of the sample's last two months, which the small world reads."""

COUNT = "SELECT count(*) FROM bronze.hotmart_transactions"
TABLES = tuple(f"bronze.{source}" for source in HOTMART_SOURCES)


def faulty(sandbox, **faults):
    sandbox.sandbox.faults = Faults(**faults)


def held(world):
    """Every row that bronze holds of Hotmart."""
    return [world.rows(f"FROM {table} ORDER BY ALL") for table in TABLES]


def only_error(done, stage="hotmart"):
    (outcome,) = [outcome for outcome in done.outcomes if outcome.stage == stage]
    assert not outcome.ok
    return outcome.errors[0]


@pytest.mark.parametrize(
    "faults",
    [
        {"expire_token_after": 2},
        pytest.param({"next_answers": ["429", "503", "500", "502"]}, marks=pytest.mark.slow),
        {"next_answers": ["html", "empty", "error", "drop"]},
        pytest.param({"next_answers": ["401"]}, marks=pytest.mark.slow),
        pytest.param({"next_token_answers": ["503", "html"]}, marks=pytest.mark.slow),
        pytest.param({"refuse_windows_above_days": 7}, marks=pytest.mark.slow),
        pytest.param({"time_out_windows_above_days": 10}, marks=pytest.mark.slow),
        pytest.param({"refuse_statuses": ["BLOCKED"]}, marks=pytest.mark.slow),
    ],
    ids=lambda faults: "-".join(f"{name}" for name in faults),
)
@pytest.mark.slow
def test_a_fault_that_passes_leaves_the_right_rows(small, sandbox, faults):
    faulty(sandbox, **faults)
    done = small.green("hotmart")
    assert done.outcomes[0].rows == LANDED
    assert small.value(COUNT) == SALES
    verified = {load.verified for load in small.ops.loads("hotmart_transactions")}
    assert verified == {"refuse_statuses" not in faults}


STAYING = {
    "429": "limite de chamadas",
    "503": "indisponível",
    "html": "em HTML",
    "empty": "sem uma página de registros",
    "error": "internal_server_error",
    "drop": "conexão",
    "blocked": "bloqueio antes da API",
    "403": "não tem acesso",
}


def test_a_fault_that_stays_is_named_and_leaves_the_old_rows(small, sandbox):
    small.green("hotmart")
    before = held(small)
    later = small.at("2026-03-15T10:00:00-03:00")
    for answer, cause in STAYING.items():
        faulty(sandbox, next_answers=[answer] * 500)
        error = only_error(later.round("hotmart"))
        assert cause in error, answer
        assert "2 de 2 partições" in error, answer
        assert held(small) == before, answer
        assert {load.at for load in small.ops.loads()} == {small.settings.now()}, answer


@pytest.fixture
def busy_month(small, sandbox):
    """A month of more than two pages."""
    first, last = datetime(2026, 2, 2, tzinfo=UTC), datetime(2026, 2, 20, tzinfo=UTC)
    sandbox.sandbox.data = SandboxData.generate(1, 1100, first, last)
    small.table = {**small.table, "hotmart": {"start_date": "2026-02-01"}}
    return small


@pytest.mark.slow
def test_a_page_token_that_repeats_itself_once_is_read_again(busy_month, sandbox):
    faulty(sandbox, repeat_page_tokens=1)
    busy_month.green("hotmart")
    assert busy_month.value(COUNT) == 1100


@pytest.mark.slow
def test_a_page_token_that_always_repeats_itself_is_named(busy_month, sandbox):
    faulty(sandbox, repeat_page_tokens=1000)
    assert "repetiu uma página" in only_error(busy_month.round("hotmart"))
    assert busy_month.value(COUNT) == 0


@pytest.mark.slow
def test_a_sale_inserted_between_two_pages_is_neither_lost_nor_doubled(busy_month, sandbox):
    faulty(sandbox, insert_rows=1)
    busy_month.green("hotmart")
    rows = busy_month.rows("SELECT count(*), count(DISTINCT transaction) FROM " + TABLES[0])
    assert set(rows[0].values()) <= {1100, 1101}
    assert len(set(rows[0].values())) == 1


@pytest.mark.slow
def test_an_answer_that_never_stands_still_is_named(busy_month, sandbox):
    faulty(sandbox, insert_rows=1000)
    assert "Hotmart anunciou" in only_error(busy_month.round("hotmart"))
    assert busy_month.value(COUNT) == 0


def test_an_uncounted_answer_is_taken_and_marked(small, sandbox):
    faulty(sandbox, omit_total_results=True)
    small.green("hotmart")
    assert {load.verified for load in small.ops.loads("hotmart_transactions")} == {False}


@pytest.mark.parametrize("name", ["HOTMART_CLIENT_ID", "HOTMART_CLIENT_SECRET"])
def test_a_missing_credential_is_named_before_any_call(small, sandbox, monkeypatch, name):
    monkeypatch.delenv(name)
    done = small.round("hotmart")
    assert f"Falta {name}" in only_error(done)
    assert sandbox.sandbox.token_requests == sandbox.sandbox.answers.total() == 0
    assert done.failed_sources == ["hotmart"]


def test_a_refused_credential_is_named_and_never_shown(small, monkeypatch):
    monkeypatch.setenv("HOTMART_CLIENT_SECRET", "segredo-errado-123")
    error = only_error(small.round("hotmart"))
    assert "recusou a credencial" in error
    assert "segredo-errado-123" not in error


@pytest.mark.slow
def test_a_missing_start_date_is_named_and_refine_is_done(small, sandbox):
    small.table = {**small.table, "hotmart": {}}
    done = small.round("hotmart", "refine")
    assert "Falta HOTMART_START_DATE" in only_error(done)
    assert done.outcomes[-1].ok
    assert sandbox.sandbox.answers.total() == 0


@pytest.mark.slow
def test_with_the_source_down_refine_still_runs_and_says_what_is_stale(finished, quick):
    closed = "http://127.0.0.1:9"
    down = replace(
        finished.at("2026-03-17T09:00:00-03:00"),
        environ={
            **finished.environ,
            "CRM_NOW": "2026-03-17T09:00:00-03:00",
            "HOTMART_API_URL": closed,
            "HOTMART_AUTH_URL": closed,
        },
    )
    before = held(finished)
    done = down.round()
    assert not done.ok
    assert done.failed_sources == ["hotmart", "subscriptions"]
    assert "conexão com a Hotmart falhou" in only_error(done)
    refine = done.outcomes[-1]
    assert (refine.stage, refine.ok, refine.slices) == ("refine", True, ("2026-03-17",))
    assert done.ages["hotmart_transactions"] == datetime(2026, 3, 15, 12, tzinfo=UTC)
    assert held(down) == before


def test_a_failing_stage_is_an_open_incident_until_it_succeeds(small, sandbox):
    faulty(sandbox, forbidden=True)
    for _ in range(2):
        small.round("hotmart")
        (incident,) = small.ops.open_incidents()
        assert incident.subject == "hotmart"
        assert "não tem acesso" in incident.detail
    faulty(sandbox)
    small.green("hotmart")
    assert small.ops.open_incidents() == []


def test_a_broken_contract_in_one_slice_keeps_its_old_rows_and_the_others_commit(small, sandbox):
    small.green("hotmart")
    old = small.rows(f"FROM {TABLES[0]} WHERE slice = '2026-02-01' ORDER BY transaction")
    february = int(datetime(2026, 2, 10, tzinfo=UTC).timestamp() * 1000)
    found = sandbox.sandbox.data.find(february, february + 86_400_000 * 10)
    twin = found[0].renamed("777")
    number = replace(twin, history=twin.history.replace('"777"', "777"))
    for sale in (twin, number):
        sandbox.sandbox.data.insert(sale)
    later = small.at("2026-03-15T10:00:00-03:00")
    result = later.definitions.resolve_job_def("hotmart").execute_in_process(
        instance=later.instance,
        tags={
            "dagster/asset_partition_range_start": "2026-02-01",
            "dagster/asset_partition_range_end": "2026-03-01",
        },
        asset_selection=[dg.AssetKey(TABLES[0].split("."))],
        raise_on_error=False,
    )
    assert not result.success
    materialized = {event.partition for event in result.get_asset_materialization_events()}
    assert materialized == {"2026-03-01"}
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.check_name) == (False, "contract")
    assert check.metadata["falhas"].value == "transaction: field_uniqueness (2)"
    failure = result.get_step_failure_events()[0].step_failure_data.user_failure_data
    assert "1 de 2 partições" in failure.description
    assert (
        "2026-02-01: contrato quebrado (transaction: field_uniqueness (2))" in failure.description
    )
    now = later.rows(f"FROM {TABLES[0]} WHERE slice = '2026-02-01' ORDER BY transaction")
    assert now == old
    fresh = later.value(
        f"SELECT count(*) FROM {TABLES[0]} WHERE extracted_at = ?", [later.settings.now()]
    )
    assert fresh == SALES - len(old)
    ages = {load.slice: load.at for load in later.ops.loads("hotmart_transactions")}
    assert ages["2026-02-01"] < ages["2026-03-01"]


def test_two_rounds_at_once_are_refused_with_the_holder_named(small):
    released = threading.Event()
    started = threading.Event()

    def other():
        with hold(run_lock(small.site), "crm run", 0):
            started.set()
            released.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    started.wait(30)
    try:
        with pytest.raises(Busy, match=rf"estão em uso por «crm run» \(processo {os.getpid()}"):
            small.round("manychat")
        threading.Timer(0.3, released.set).start()
        assert small.round("manychat", wait=20).ok
    finally:
        released.set()
        thread.join()


def test_a_refine_that_runs_elsewhere_is_named(small):
    lock = run_lock(small.site).with_name("refine.lock")
    definitions = small.definitions
    impatient = {
        key: RefineLock(path=made.path, wait_seconds=0) if isinstance(made, RefineLock) else made
        for key, made in definitions.resources.items()
    }
    definitions = dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        jobs=definitions.jobs,
        resources=impatient,
        executor=definitions.executor,
    )
    held_by_other = threading.Event()
    release = threading.Event()

    def other():
        with hold(lock, "refine 12345678", 0):
            held_by_other.set()
            release.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    held_by_other.wait(30)
    try:
        done = rounds.run_round(small.site, definitions, small.instance, stages=("refine",))
    finally:
        release.set()
        thread.join()
    assert "estão em uso por «refine 12345678»" in only_error(done, "refine")


@pytest.mark.slow
def test_with_one_endpoint_down_the_others_land_and_the_exit_tells(small, sandbox):
    """A failing enrichment costs no sale (seed S1.41); the report blames that source alone."""
    faulty(sandbox, down_endpoints=["sales/commissions"])
    done = small.round("hotmart", "refine")
    assert not done.ok
    assert "sales/commissions" in only_error(done)
    assert done.outcomes[-1].ok
    assert small.value("SELECT count(*) FROM silver.sales") == SALES
    assert small.value("SELECT count(*) FROM silver.sales WHERE net_estimated") > 0
    assert [one.source for one in done.stale] == ["hotmart_commissions"]


@pytest.mark.slow
def test_a_refused_status_takes_no_sale_away(small, sandbox):
    """What Hotmart does not answer for is kept as it was, and the slice is not called verified."""
    small.green("hotmart")
    held = small.rows(f"SELECT transaction, status FROM {TABLES[0]} ORDER BY ALL")
    faulty(sandbox, refuse_statuses=["APPROVED"])
    later = small.at("2026-03-17T09:00:00-03:00")
    done = later.green("hotmart")
    assert "a Hotmart recusou o status APPROVED" in done.outcomes[0].note
    assert later.rows(f"SELECT transaction, status FROM {TABLES[0]} ORDER BY ALL") == held
    assert not any(load.verified for load in later.ops.loads("hotmart_transactions"))
