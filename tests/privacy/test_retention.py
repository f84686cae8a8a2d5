"""What is removed when its time is over, and what stays because it is still needed (rules 7.4)."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import dagster as dg
import pytest
from lake import NOON, Lake, cus, frame_of, site

from crm_assets.automation.runs import TENANT_TAG
from crm_assets.bronze.ledger import GONE, LOST, all_here, recover
from crm_assets.bronze.receiving import raw_path, receive
from crm_assets.checks.silver import Consents, ContactRecords, Customers, CustomerXref, Sales
from crm_assets.person_rules import Privacy
from crm_assets.privacy import retention
from crm_assets.privacy.retention import (
    _LEADS,
    ARCHIVE,
    BACKUPS,
    DRAFTS,
    LEADS,
    LOGS,
    OUTPUTS,
    POSTPONED,
    RAW,
    REJECTS,
    WAITING,
    Expired,
    clear_expired,
    find_expired,
)
from crm_assets.privacy.rights import open_request
from crm_assets.resources import warehouse_of
from crm_assets.rounds import run_lock
from crm_resources.locks import hold
from crm_resources.ops import Load, OpsStore

TODAY = date(2026, 3, 15)
DAY = timedelta(days=1)
KEPT = Privacy()


class Folder:
    """A tenant's files and stores, and what retention makes of them."""

    def __init__(self, home, instance, **privacy):
        self.site = site(home=home, privacy=privacy)
        self.settings, self.tenant, self.instance = self.site.settings, self.site.tenant, instance
        self.store = self.settings.store_folder("default")
        self.output = self.settings.output_folder("default")
        self.ops = OpsStore(self.settings.ops_address("default"), "default")

    def file(self, path, age=0):
        """A file that was changed so many days ago."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a")
        at = (NOON - age * DAY).timestamp()
        os.utime(path, (at, at))
        return path

    def raw(self, age, status="landed", source="manychat"):
        """A copy in raw/ of an import received so many days ago, whatever the age of the file."""
        key = f"{TODAY - age * DAY}_{age:012x}"
        load = Load(source=source, slice=key, status=status, content_sha256=str(age),
                    file_name="contatos.csv", at=NOON - age * DAY)  # fmt: skip
        self.ops.record_load(load)
        return self.file(raw_path(self.settings, self.tenant, key, source)), load

    def find(self):
        return find_expired(self.site, self.ops, self.instance)

    def clear(self):
        return clear_expired(self.site, self.ops, self.instance)


@pytest.fixture(scope="module")
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def folder(tmp_path, instance):
    return Folder(tmp_path, instance)


def test_nothing_is_removed_where_nothing_is(folder):
    assert set(folder.clear().values()) == {0}
    assert not (folder.store / "warehouse.duckdb").exists()


PLACES = {
    RAW: (KEPT.raw_days, "raw/manychat/{day}_0123456789ab.csv"),
    ARCHIVE: (KEPT.archive_days, "archive/manychat/{day}_0123456789ab_contatos.csv"),
    BACKUPS: (KEPT.backup_days, "backups/warehouse.v0001.duckdb"),
    DRAFTS: (1, "raw/manychat/.a.csv.123"),
}


@pytest.mark.parametrize("label", PLACES)
@pytest.mark.parametrize("over", [0, 1])
def test_files_go_the_day_after_their_last(folder, label, over):
    days, name = PLACES[label]
    age = days + over
    path = folder.file(folder.store / name.format(day=TODAY - age * DAY), age)
    assert folder.find().counts()[label] == over
    assert path.exists(), "finding changes nothing"
    assert folder.clear()[label] == over
    assert path.exists() is not bool(over)


def test_a_copy_is_as_old_as_its_arrival_not_as_its_file(folder):
    """In `prd` an old file that was imported today moves to the archive with its age."""
    today = folder.file(folder.store / f"archive/manychat/{TODAY}_0123456789ab_a.csv", age=900)
    old = folder.file(folder.store / "archive/manychat/2025-01-01_0123456789ab_a.csv", age=0)
    folder.clear()
    assert (today.exists(), old.exists()) == (True, False)


@pytest.mark.parametrize(
    ("status", "goes"), [("landed", True), ("refused", True), ("undone", True), ("received", False)]
)
def test_a_copy_that_is_still_to_be_read_stays(folder, status, goes):
    path, _ = folder.raw(400, status)
    counts = folder.clear()
    assert (counts[RAW], counts[WAITING]) == ((1, 0) if goes else (0, 1))
    assert path.exists() is not goes


def test_a_content_that_came_again_is_new(folder):
    path, load = folder.raw(400)
    folder.ops.record_load(replace(load, at=NOON))
    assert folder.clear()[RAW] == 0
    assert path.exists()


def test_outputs_go_but_certificates_stay(folder):
    gone = [
        folder.file(folder.output / name, KEPT.output_days + 1)
        for name in ("publico/a.csv", "titulares/t.json", "relatorio/r.txt")
    ]
    stays = [
        folder.file(folder.output / "publico/b.csv", KEPT.output_days),
        folder.file(folder.output / "certificados/c.txt", 900),
    ]
    assert folder.clear()[OUTPUTS] == 3
    assert [path.exists() for path in (*gone, *stays)] == [False] * 3 + [True] * 2


def test_only_what_a_kill_leaves_is_a_draft(folder):
    drafts = [
        folder.store / "serving/.20260101T000000-ab.duckdb.tmp",
        folder.store / "serving/.20260101T000000-ab.duckdb.tmp.wal",
        folder.store / ".warehouse.duckdb.new",
        folder.output / "publico/.a.csv.tmp",
    ]
    others = [folder.store / "serving/current", folder.store / ".hidden", folder.store / "a.tmp"]
    for path in (*drafts, *others):
        folder.file(path, age=30)
    assert folder.clear()[DRAFTS] == len(drafts)
    assert not any(path.exists() for path in drafts)
    assert all(path.exists() for path in others)


def test_every_number_is_the_tenants(tmp_path, instance):
    folder = Folder(tmp_path, instance, raw_days=5, output_days=7)
    folder.raw(6)
    folder.file(folder.output / "publico/a.csv", 8)
    counts = folder.find().counts()
    assert counts[RAW] == counts[OUTPUTS] == 1


@pytest.mark.parametrize(
    ("tags", "goes"), [({TENANT_TAG: "default"}, True), ({TENANT_TAG: "acme"}, False), ({}, True)]
)
def test_logs_of_the_tenants_old_runs_go(folder, tags, goes):
    @dg.job
    def work():
        pass

    run = folder.instance.create_run_for_job(work, tags=tags)
    storage = folder.settings.dagster_home / "storage"
    logs = [storage / run.run_id / "compute_logs", storage / "bronze" / "compute_logs"]
    young = storage / "young" / "compute_logs"
    for path in (*logs, young):
        folder.file(path / "step.out")
    for path in logs:
        at = (NOON - (KEPT.log_days + 1) * DAY).timestamp()
        os.utime(path, (at, at))
    os.utime(young, (NOON.timestamp(), NOON.timestamp()))
    assert folder.clear()[LOGS] == 1 + goes
    assert [path.exists() for path in (*logs, young)] == [not goes, False, True]


def test_what_could_not_be_read_goes(folder):
    warehouse = warehouse_of(folder.settings, folder.tenant)
    with warehouse.write("teste") as tx:
        for age in (0, KEPT.reject_days - 1, KEPT.reject_days + 1):
            tx.execute(
                "INSERT INTO bronze.rejects (source, raw, extracted_at) VALUES ('manychat', ?, ?)",
                [str(age), NOON - age * DAY],
            )
    assert folder.find().counts()[REJECTS] == 1
    assert folder.clear()[REJECTS] == 1
    left = warehouse.read("SELECT raw FROM bronze.rejects ORDER BY raw::INTEGER")
    assert left["raw"].to_list() == ["0", str(KEPT.reject_days - 1)]


LONG_AGO, LATELY = NOON - 800 * DAY, NOON - 700 * DAY


def leads(record=None, sale=None, consent=None, **parameters):
    """Whether one person is a lead whose time is over, two years before the tests' noon."""
    lake = Lake()
    record = {"observed_at": LONG_AGO, "email_key": "a@example.com", **(record or {})}
    lake.put(
        "silver.contact_records", ContactRecords, {"record_id": "r", "source_id": "1", **record}
    )
    lake.put("silver.customer_xref", CustomerXref,
             {"record_id": "r", "source_id": "1", "customer_id": cus(1)})  # fmt: skip
    sales = [{"sale_id": "s", "order_id": "o", "customer_id": cus(1), **sale}] if sale else []
    lake.put("silver.sales", Sales, *sales)
    consents = [{"key_kind": "email", "key": "a@example.com", "status": "granted",
                 "source": "pedido", "action_id": 1, **consent}] if consent else []  # fmt: skip
    lake.put("silver.consents", Consents, *consents)
    lake.tx.execute("INSERT INTO silver.customer_ids VALUES (?, 'x', now(), ?)", [cus(7), cus(1)])
    given = {"today": TODAY, "months": 24, "ids": [], "keys": []} | parameters
    return lake.column(_LEADS, given) == [cus(1)]


PAID = {"was_paid": True, "gross": Decimal("10.00"), "ordered_at": LONG_AGO}
OPEN = {"was_paid": False, "is_paid": False, "is_eligible": False, "is_purchase": False}


@pytest.mark.parametrize(
    ("facts", "over"),
    [
        pytest.param({}, True, id="known for two years and silent"),
        pytest.param({"record": {"observed_at": LATELY}}, False, id="known for less"),
        pytest.param({"record": {"last_interaction_at": LATELY}}, False, id="wrote since"),
        pytest.param({"record": {"last_interaction_at": LONG_AGO}}, True, id="wrote before"),
        pytest.param(
            {"record": {"last_interaction_at": LONG_AGO, "observed_at": NOON}}, True,
            id="an import is no interaction",
        ),
        pytest.param({"record": {"remarketing_at": NOON}}, True, id="nor is our message"),
        pytest.param({"record": {"first_seen_at": LATELY}}, False, id="registered since"),
        pytest.param({"sale": PAID}, False, id="bought once, long ago"),
        pytest.param({"sale": {**PAID, "gross": Decimal("0.00")}}, True, id="only something free"),
        pytest.param({"sale": {**PAID, "gross": None}}, False, id="paid, we do not know how much"),
        pytest.param({"sale": {**OPEN, "ordered_at": LATELY}}, False, id="began an order since"),
        pytest.param({"sale": {**OPEN, "ordered_at": LONG_AGO}}, True, id="began one before"),
        pytest.param({"consent": {"occurred_at": LATELY}}, False, id="agreed to something since"),
        pytest.param({"consent": {"occurred_at": LATELY, "action_id": None}}, True,
                     id="an opt-in of an import is none"),
        pytest.param({"keys": ["a@example.com"]}, False, id="waits for an answer, by e-mail"),
        pytest.param({"ids": [cus(7)]}, False, id="waits for an answer, by a merged id"),
        pytest.param({"ids": [cus(8)], "keys": ["b@example.com"]}, True, id="somebody else waits"),
        pytest.param({"months": 36}, False, id="the tenant keeps leads longer"),
    ],
)  # fmt: skip
def test_who_is_a_lead_past_its_time(facts, over):
    assert leads(**facts) is over


@pytest.mark.parametrize(("last", "over"), [(date(2024, 3, 14), True), (date(2024, 3, 15), False)])
def test_two_years_are_counted_on_the_calendar(last, over):
    at = NOON.replace(year=last.year, month=last.month, day=last.day)
    assert leads(record={"last_interaction_at": at}) is over


def test_a_lead_stays_while_its_request_is_open(folder):
    record = {"record_id": "r", "source_id": "1"}
    tables = {
        "silver.contact_records": frame_of(
            ContactRecords, [{**record, "observed_at": LONG_AGO, "email_key": "a@example.com"}]
        ),
        "silver.customer_xref": frame_of(CustomerXref, [{**record, "customer_id": cus(1)}]),
        "silver.sales": frame_of(Sales, []),
        "silver.consents": frame_of(Consents, []),
        "silver.customers": frame_of(Customers, []),
    }
    with warehouse_of(folder.settings, folder.tenant).write("teste") as tx:
        for table, rows in tables.items():
            tx.replace_table(table, rows)
    assert folder.find().leads == (cus(1),)
    assert cus(1) not in repr(folder.find())
    open_request(
        folder.ops, folder.tenant, type="acesso", channel="e-mail", received_on=TODAY,
        email_key="a@example.com", actor="ana", at=NOON,
    )  # fmt: skip
    assert folder.find().leads == ()


def test_an_import_whose_copy_went_is_not_asked_for_when_the_warehouse_is_lost(folder):
    """Its rows go with the warehouse, and somebody is told; what can be read again is."""
    gone, old = folder.raw(400)
    kept, young = folder.raw(10)
    folder.clear()
    assert (gone.exists(), kept.exists()) == (False, True)
    assert recover(folder.site, folder.ops) == 1
    loads = {load.slice: (load.status, load.reason) for load in folder.ops.loads("manychat")}
    assert loads == {old.slice: ("undone", GONE), young.slice: ("received", LOST)}
    folder.ops.record_load(replace(young, status="landed"))
    lake = Lake()
    lake.bronze("bronze.loads", {"source": "manychat", "slice": young.slice, "landed_at": NOON})
    assert all_here(folder.site, "silver.contact_records").check(lake.tx).passed


def test_it_has_landed_again_when_a_copy_of_the_warehouse_comes_back(folder):
    _, load = folder.raw(400)
    folder.clear()
    recover(folder.site, folder.ops)
    with warehouse_of(folder.settings, folder.tenant).write("teste") as tx:
        tx.execute(
            "INSERT INTO bronze.loads (source, slice, landed_at) VALUES (?, ?, ?)",
            [load.source, load.slice, load.at],
        )
    assert recover(folder.site, folder.ops) == 0
    (back,) = folder.ops.loads("manychat")
    assert (back.status, back.reason, back.content_sha256) == ("landed", None, "400")


def test_it_can_be_imported_again_by_name(folder, tmp_path):
    path = tmp_path / "contatos.csv"
    path.write_text("phone\n11987650001\n")
    asked = {"day": TODAY, "asked": True}
    receipt = receive(path, folder.settings, folder.tenant, folder.ops, **asked)
    (load,) = folder.ops.loads("manychat")
    folder.ops.record_load(replace(load, status="landed"))
    raw_path(folder.settings, folder.tenant, load.slice).unlink()
    recover(folder.site, folder.ops)
    assert folder.ops.loads("manychat")[0].reason == GONE
    again = receive(path, folder.settings, folder.tenant, folder.ops, **asked)
    assert (again.slice, again.note) == (receipt.slice, "recebido")


@pytest.mark.slow
def test_leads_of_two_years_ago_are_erased_and_buyers_stay(world, finished_home, monkeypatch):
    """As many as there is time for; the others wait for the next night."""
    shutil.copytree(finished_home, world.home, dirs_exist_ok=True)
    later = world.at("2028-06-15T09:00:00-03:00")
    later.green("refine")
    silent = find_expired(later.site, later.ops, later.instance).leads
    people = later.value("SELECT count(*) FROM silver.customers")
    buyers = later.value("SELECT count(*) FROM silver.customers WHERE last_purchase_at IS NOT NULL")
    assert 1 < len(silent) <= people - buyers
    monkeypatch.setattr(retention, "ERASING_SECONDS", 0.5)
    monkeypatch.setattr(retention, "LEADS_AT_ONCE", 2)
    counts = clear_expired(later.site, later.ops, later.instance)
    erased = counts[LEADS]
    assert 0 < erased < len(silent)
    assert counts[POSTPONED] == len(silent) - erased
    later.green("refine")
    assert later.value("SELECT count(*) FROM silver.customers") == people - erased
    assert find_expired(later.site, later.ops, later.instance).leads == silent[erased:]


def test_a_round_at_work_postpones_the_erasure_of_leads(folder, monkeypatch):
    monkeypatch.setattr(retention, "find_expired", lambda *_: Expired({}, 0, 0, (cus(1),), 0))
    monkeypatch.setattr(retention, "_records", lambda *_: {cus(1): ["manychat:1"]})
    with hold(run_lock(folder.site), "crm run", 0):
        counts = folder.clear()
    assert (counts[LEADS], counts[POSTPONED]) == (0, 1)


def test_what_cannot_be_read_again_is_told(folder, tmp_path):
    from typer.testing import CliRunner

    from crm_cli.app import app

    folder.raw(400)
    folder.clear()
    recover(folder.site, folder.ops)
    environ = {"ENVIRONMENT": "prd", "CRM_HOME": str(tmp_path), "CRM_NOW": NOON.isoformat()}
    said = CliRunner().invoke(app, ["status"], env=environ).output
    assert f"perdido contatos.csv: {GONE}" in said


@pytest.mark.slow
def test_a_round_refines_what_is_left_when_warehouse_and_copies_are_gone(world, finished_home):
    shutil.copytree(finished_home, world.home, dirs_exist_ok=True)
    shutil.rmtree(world.folder / "raw")
    (world.folder / "warehouse.duckdb").unlink()
    world.green()
    assert {load.reason for load in world.ops.loads("manychat")} == {GONE}
    sources = world.rows("SELECT DISTINCT source FROM silver.contact_records")
    assert sources == [{"source": "hotmart"}]
