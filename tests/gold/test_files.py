"""Files made from the snapshot: columns, flavours, opt-outs, and what counts as delivered (4.8)."""

from __future__ import annotations

import csv
import io
import stat
from datetime import date
from decimal import Decimal

import duckdb
import polars as pl
import pytest
from lake import NOON, cus, frame_of, local, site

from crm_assets.checks.gold import Audience, RemarketingBatches
from crm_assets.checks.silver import Customers
from crm_assets.gold import files
from crm_assets.gold.files import Format, export_audience, export_remarketing, write_csv
from crm_assets.gold.snapshot import NothingPublished, open_snapshot, serving_pointer
from crm_resources.ops.store import Action, OpsStore
from crm_resources.serving import point
from crm_resources.warehouse import Transaction

TODAY = date(2026, 3, 15)
PLACE = {
    "batch_date": TODAY,
    "audiences": ["ilpi"],
    "reason": "contato_antigo",
    "last_purchase_at": local("2026-01-10 23:30"),
    "last_contact_at": local("2026-02-01 23:30"),
    "status": "selecionado",
}


class Desk:
    """A published snapshot, the action log beside it, and the exports made from both."""

    def __init__(self, folder, members=(), batch=(), customers=(), keys=(), last_action_id=0):
        self.site = site(NOON, folder)
        self.ops = OpsStore(folder / "ops.sqlite", "default")
        pointer = serving_pointer(self.site.settings, self.site.tenant)
        pointer.parent.mkdir(parents=True)
        with duckdb.connect(pointer.parent / "a.duckdb") as con:
            tx = Transaction(con)
            member = {"ltv": Decimal("0.00"), "ltv_foreign": [], "orders": 1, "exportable": True}
            tx.replace_table(
                "gold.audience_ilpi", frame_of(Audience, ({**member, **m} for m in members))
            )
            tx.replace_table(
                "gold.remarketing_batches",
                frame_of(
                    RemarketingBatches,
                    ({"position": i, **PLACE, **b} for i, b in enumerate(batch, start=1)),
                ),
            )
            tx.replace_table("silver.customers", frame_of(Customers, customers))
            schema = dict.fromkeys(("kind", "key", "customer_id"), pl.String)
            tx.replace_table("silver.customer_keys", pl.DataFrame(keys, schema, orient="row"))
            tx.replace_table("meta.contents", f"SELECT {last_action_id} AS last_action_id")
        point(pointer, "a.duckdb")

    def opt_out(self, **keys):
        self.ops.append_actions([Action(kind="opt_out", idempotency_key=str(keys), **keys)])

    def audience(self, flavour=Format.CSV):
        return export_audience(self.site.settings, self.site.tenant, self.ops, "ilpi", flavour)

    def remarketing(self, day=TODAY, flavour=Format.CSV):
        return export_remarketing(self.site.settings, self.site.tenant, self.ops, day, flavour)

    def delivered(self):
        log = self.ops.actions()
        return log.filter(pl.col("kind") == "batch_delivered").select("day", "customer_id").rows()


def lines(path):
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))


ANA = {"customer_id": cus(1), "name": "Ana", "email": "ana@example.com", "phone": "+5511900000001",
       "country": "BR", "state": "SP", "ltv": Decimal("10.50")}  # fmt: skip
BIA = {**ANA, "customer_id": cus(2), "name": "Bia", "ltv": Decimal("99.00"), "state": None}


def test_audience_file(tmp_path):
    rich = {"currency": "USD", "amount": Decimal("5.00")}
    desk = Desk(
        tmp_path,
        members=[
            ANA,
            BIA,
            {**ANA, "customer_id": cus(3), "ltv": Decimal("0.00"), "ltv_foreign": [rich]},
            {**ANA, "customer_id": cus(4), "exportable": False},
        ],
    )
    export = desk.audience()
    assert export.path.name == "publico_casas_2026-03-15.csv", "the label that may leave the house"
    assert (export.rows, export.excluded) == (2, 1)
    assert lines(export.path) == [
        ["name", "email", "phone", "country", "state", "value"],
        ["Bia", "ana@example.com", "+5511900000001", "BR", "", "99.00"],
        ["Ana", "ana@example.com", "+5511900000001", "BR", "SP", "10.50"],
    ]
    assert "ilpi" not in str(export.path)


def test_files_and_folders_are_private(tmp_path):
    path = Desk(tmp_path, members=[ANA]).audience().path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    tenant_folder = path.parent.parent
    for folder in (path.parent, tenant_folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_batch_file(tmp_path):
    customer = {"customer_id": cus(2), "segment": "AMBOS"}
    desk = Desk(
        tmp_path,
        batch=[
            {"customer_id": cus(1), "name": "Ana", "email": "ana@example.com", "phone": "+55119"},
            {"customer_id": cus(2), "audiences": ["estetica", "ilpi"], "last_contact_at": None},
            {"customer_id": cus(3), "audiences": ["estetica", "ilpi"], "last_purchase_at": None},
            {"customer_id": cus(4), "audiences": [], "status": "entregue"},
            {"customer_id": cus(5), "status": "pulado"},
            {"customer_id": cus(6), "status": "retirado"},
            {"customer_id": cus(7), "batch_date": date(2026, 3, 14)},
        ],
        customers=[customer],
    )
    export = desk.remarketing()
    assert export.path.name == "remarketing_2026-03-15.csv"
    assert (export.rows, export.excluded) == (4, 2)
    assert lines(export.path) == [
        ["email", "phone", "last_remarketing_at", "last_purchase_at", "name", "segmento"],
        ["ana@example.com", "+55119", "2026-02-01", "2026-01-10", "Ana", "casas"],
        ["", "", "", "2026-01-10", "", "AMBOS"],
        ["", "", "2026-02-01", "", "", "estetica + casas"],
        ["", "", "2026-02-01", "2026-01-10", "", ""],
    ]
    assert desk.delivered() == [(TODAY, cus(n)) for n in (1, 2, 3, 4)]
    desk.remarketing(flavour=Format.EXCEL_CSV)
    assert len(desk.delivered()) == 4


def test_another_day_is_no_delivery(tmp_path):
    yesterday = date(2026, 3, 14)
    desk = Desk(tmp_path, batch=[{"customer_id": cus(1), "batch_date": yesterday}])
    assert desk.remarketing(yesterday).rows == 1
    assert desk.delivered() == []


@pytest.mark.parametrize(
    ("keys", "asked", "leaves"),
    [
        ([("email", "ana@example.com", cus(1))], {"email_key": "ana@example.com"}, True),
        ([("phone", "+5511900000001", cus(1))], {"phone_key": "+5511900000001"}, True),
        ([], {"phone_key": "+5511900000001"}, True),  # shown, though it is no key
        ([("phone", "+5511900000001", cus(1))], {"phone_key": "+5511900000002"}, False),
    ],
)
def test_opted_out_after_the_snapshot_is_out_of_every_file(tmp_path, keys, asked, leaves):
    desk = Desk(
        tmp_path,
        members=[ANA, BIA],
        batch=[{"customer_id": cus(1)}, {"customer_id": cus(2)}],
        customers=[{"customer_id": cus(1), "phone": "+5511900000001"}],
        keys=keys,
    )
    desk.opt_out(**asked)
    for export in (desk.audience(), desk.remarketing()):
        assert (export.rows, export.excluded) == ((1, 1) if leaves else (2, 0))
    reached = [cus(2)] if leaves else [cus(1), cus(2)]
    assert desk.delivered() == [(TODAY, customer) for customer in reached]


def test_what_the_snapshot_already_knows_is_not_asked_again(tmp_path):
    desk = Desk(
        tmp_path, members=[ANA], keys=[("email", "ana@example.com", cus(1))], last_action_id=1
    )
    desk.opt_out(email_key="ana@example.com")
    assert desk.audience().rows == 1


def test_nobody_means_no_file_and_no_delivery(tmp_path):
    desk = Desk(tmp_path, batch=[{"customer_id": cus(1), "status": "retirado"}])
    export = desk.remarketing()
    assert (export.path, export.rows, export.excluded) == (None, 0, 1)
    assert desk.audience().path is None
    assert not list(tmp_path.rglob("*.csv"))
    assert desk.delivered() == []


def test_a_file_of_people_who_have_all_left_goes_away(tmp_path):
    desk = Desk(tmp_path, members=[ANA], keys=[("email", "ana@example.com", cus(1))])
    path = desk.audience().path
    desk.opt_out(email_key="ana@example.com")
    assert desk.audience().path is None
    assert not path.exists()


def test_a_failed_write_delivers_nobody_and_leaves_no_draft(tmp_path, monkeypatch):
    desk = Desk(tmp_path, batch=[{"customer_id": cus(1)}])

    def full_disk(draft, target):
        raise OSError("disco cheio")

    monkeypatch.setattr(files, "put", full_disk)
    with pytest.raises(OSError, match="disco cheio"):
        desk.remarketing()
    assert desk.delivered() == []
    assert not [path for path in (tmp_path / "output").rglob("*") if path.is_file()]


def test_nothing_published_says_what_to_run(tmp_path):
    tenant = site(NOON, tmp_path)
    with (
        pytest.raises(NothingPublished, match="uv run crm run"),
        open_snapshot(tenant.settings, tenant.tenant),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=SOMA(A1)", "'=SOMA(A1)"),
        ("+1+1", "'+1+1"),
        ("-2", "'-2"),
        ("@cmd", "'@cmd"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t=1"),
        ("\rx", "'\rx"),
        ("\x00x", "'\x00x"),
        ("+5511900000001", "+5511900000001"),
        ("+55119\n=1", "'+55119\n=1"),
        ("a=1", "a=1"),
        ("José & Cia", "José & Cia"),
        ("", ""),
        (None, ""),
    ],
)
def test_formula_guard(tmp_path, text, written):
    frame = pl.DataFrame({"a": ["x"], "b": pl.Series([text], dtype=pl.String)})
    path = write_csv(frame, tmp_path / "o" / "f.csv", Format.CSV)
    content = path.read_bytes().decode().replace("\x00", "\N{SYMBOL FOR NULL}")
    with io.StringIO(content, newline="") as file:
        assert list(csv.reader(file))[1][1] == written.replace("\x00", "\N{SYMBOL FOR NULL}")


def test_excel_flavour_bytes(tmp_path):
    frame = pl.DataFrame(
        {
            "name": ["José; Filho", None],
            "value": [Decimal("1234.50"), Decimal("0.05")],
            "day": [TODAY, None],
            "phone": ["+5511900000001", "=1"],
        },
        schema_overrides={"value": pl.Decimal(18, 2)},
    )
    path = write_csv(frame, tmp_path / "o" / "f.csv", Format.EXCEL_CSV)
    assert (
        path.read_bytes()
        == (
            "\ufeffname;value;day;phone\r\n"
            '"José; Filho";1234,50;15/03/2026;+5511900000001\r\n'
            ";0,05;;'=1\r\n"
        ).encode()
    )


def test_machine_flavour_bytes(tmp_path):
    frame = pl.DataFrame({"name": ["José, Filho"], "value": [Decimal("1234.50")]})
    path = write_csv(frame, tmp_path / "o" / "f.csv", Format.CSV)
    assert path.read_bytes() == 'name,value\n"José, Filho",1234.50\n'.encode()
