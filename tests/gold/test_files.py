"""Files made from the snapshot: columns, opt-outs, the register, and what was delivered (4.8, 7.3).

What each flavour looks like is told in `test_formats.py`.
"""

from __future__ import annotations

import stat
from datetime import date
from decimal import Decimal

import openpyxl
import pytest
from file_samples import ANA, BIA, TODAY, Desk, counts, lines
from lake import NOON, cus, local, site

from crm_assets.gold import files
from crm_assets.gold.formats import Format
from crm_assets.gold.snapshot import NothingPublished, open_snapshot
from crm_resources.ops import OpsStore


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
    assert counts(export) == (2, 1, 0)
    assert lines(export.path) == [
        ["name", "email", "phone", "country", "state", "value"],
        ["Bia", "ana@example.com", "+5511900000001", "BR", "", "99.00"],
        ["Ana", "ana@example.com", "+5511900000001", "BR", "SP", "10.50"],
    ]
    assert "ilpi" not in str(export.path)


def test_files_and_folders_are_private_at_every_moment(tmp_path, monkeypatch):
    desk = Desk(tmp_path, members=[ANA])
    modes = []
    real = files.write_people

    def watched(people, columns, path, flavour, about):
        real(people, columns, path, flavour, about)
        modes.append(stat.S_IMODE(path.stat().st_mode))

    monkeypatch.setattr(files, "write_people", watched)
    for flavour in Format:
        path = desk.audience(flavour).path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert modes == [0o600] * len(Format), "the draft too"
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(list(path.parent.iterdir())) == len(Format), "no flavour replaces another"


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
    assert counts(export) == (4, 2, 0)
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


def test_only_who_stands_in_the_file_is_delivered(tmp_path):
    batch = [{"customer_id": cus(1), "phone": "+5511900000001"}, {"customer_id": cus(2)}]
    desk = Desk(tmp_path, batch=batch)
    export = desk.remarketing(flavour=Format.TXT)
    assert counts(export) == (1, 0, 1)
    assert export.path.read_bytes() == b"5511900000001\n"
    assert desk.delivered() == [(TODAY, cus(1))]


def test_customers_file_is_the_master_but_for_who_left_and_who_is_not_ours(tmp_path):
    ana = {"customer_id": cus(1), "name": "Ana", "email": "ana@example.com", "country": "BR",
           "sources": ["hotmart", "manychat"], "audiences": ["ilpi"], "orders": 2,
           "last_purchase_at": local("2026-01-10 23:30")}  # fmt: skip
    desk = Desk(
        tmp_path,
        customers=[
            {"customer_id": cus(2), "name": None, "phone": "+5511900000002"},
            ana,
            {"customer_id": cus(3), "opted_out": True},
            {"customer_id": cus(4), "is_own": False},
            {"customer_id": cus(5), "email": "gone@example.com"},
        ],
        keys=[("email", "gone@example.com", cus(5))],
    )
    desk.opt_out(email_key="gone@example.com")
    export = desk.customers()
    assert export.path.name == "clientes_2026-03-15.csv"
    assert counts(export) == (2, 3, 0)
    assert lines(export.path) == [
        ["name", "email", "phone", "instagram", "city", "state", "country", "sources", "segmento",
         "orders", "first_seen_at", "last_purchase_at", "last_contact_at"],
        ["Ana", "ana@example.com", "", "", "", "", "BR", "hotmart + manychat", "casas", "2", "",
         "2026-01-10", ""],
        ["", "", "+5511900000002", "", "", "", "", "manychat", "", "0", "", "", ""],
    ]  # fmt: skip


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
    reach = {"email": "x@example.com"}
    desk = Desk(
        tmp_path,
        members=[ANA, BIA],
        batch=[{"customer_id": cus(1), **reach}, {"customer_id": cus(2), **reach}],
        customers=[
            {"customer_id": cus(1), "phone": "+5511900000001"},
            {"customer_id": cus(2), **reach},
        ],
        keys=keys,
    )
    desk.opt_out(**asked)
    for flavour in (Format.CSV, Format.VCF):
        made = desk.audience(flavour), desk.remarketing(TODAY, flavour), desk.customers(flavour)
        for export in made:
            assert counts(export) == ((1, 1, 0) if leaves else (2, 0, 0))
    reached = [cus(2)] if leaves else [cus(1), cus(2)]
    assert desk.delivered() == [(TODAY, customer) for customer in reached]


def test_what_the_snapshot_already_knows_is_not_asked_again(tmp_path):
    desk = Desk(
        tmp_path, members=[ANA], keys=[("email", "ana@example.com", cus(1))], last_action_id=1
    )
    desk.opt_out(email_key="ana@example.com")
    assert desk.audience().rows == 1


def test_nobody_means_no_file_no_record_and_no_delivery(tmp_path):
    desk = Desk(tmp_path, batch=[{"customer_id": cus(1), "status": "retirado"}])
    export = desk.remarketing()
    assert (export.path, *counts(export)) == (None, 0, 1, 0)
    assert desk.audience().path is None
    assert not list(tmp_path.rglob("*.csv"))
    assert desk.delivered() == []
    assert desk.ops.exports() == []


def test_a_flavour_whose_needed_column_nobody_has_makes_no_file(tmp_path):
    desk = Desk(tmp_path, members=[{**ANA, "phone": None, "email": None}])
    for flavour in (Format.TXT, Format.VCF, Format.META, Format.GOOGLE):
        export = desk.audience(flavour)
        assert (export.path, *counts(export)) == (None, 0, 0, 1)
    assert not desk.output.exists()


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
    assert not [path for path in desk.output.rglob("*") if path.is_file()]


def test_every_file_is_registered_with_who_when_where_what_and_whom(tmp_path):
    desk = Desk(
        tmp_path,
        members=[ANA, BIA],
        batch=[{"customer_id": cus(2), "phone": "+5511900000002"}, {"customer_id": cus(1)}],
        customers=[{"customer_id": cus(3)}],
    )
    desk.audience()
    desk.remarketing(flavour=Format.TXT, actor="ana")
    desk.customers(actor="ana")
    told = [
        (r.kind, r.destination, r.filter, r.customer_ids, r.actor, r.at) for r in desk.ops.exports()
    ]
    assert told == [
        ("publico", "publico/publico_casas_2026-03-15.csv", {"audience": "ilpi"},
         (cus(2), cus(1)), "crm", NOON),
        ("remarketing", "remarketing/remarketing_2026-03-15.txt", {"batch_date": "2026-03-15"},
         (cus(2),), "ana", NOON),
        ("clientes", "clientes/clientes_2026-03-15.csv", {"is_own": "true"},
         (cus(3),), "ana", NOON),
    ]  # fmt: skip
    other = OpsStore(tmp_path / "ops.sqlite", "acme")
    assert other.exports() == [], "no row of another tenant is ever seen"


def test_what_cannot_be_registered_does_not_appear(tmp_path, monkeypatch):
    desk = Desk(tmp_path, members=[ANA])

    def locked(record):
        raise OSError("banco ocupado")

    monkeypatch.setattr(desk.ops, "record_export", locked)
    with pytest.raises(OSError, match="banco ocupado"):
        desk.audience()
    assert not [path for path in desk.output.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_dry_run_tells_the_same_and_writes_nothing(tmp_path):
    phone = {"phone": "+5511900000001"}
    desk = Desk(
        tmp_path,
        members=[ANA, {**BIA, "phone": None, "email": None}],
        batch=[{"customer_id": cus(1), **phone}, {"customer_id": cus(2), "status": "pulado"}],
        customers=[{"customer_id": cus(1), **phone}, {"customer_id": cus(2), "opted_out": True}],
    )

    def every(**more):
        return [
            export
            for flavour in Format
            for export in (
                desk.audience(flavour, **more),
                desk.remarketing(TODAY, flavour, **more),
                desk.customers(flavour, **more),
            )
        ]

    told = every(dry_run=True)
    assert not desk.output.exists()
    assert (desk.delivered(), desk.ops.exports()) == ([], [])
    assert told == every()
    assert all(export.path.exists() for export in told)


def test_a_dry_run_keeps_the_file_of_people_who_have_left(tmp_path):
    desk = Desk(tmp_path, members=[ANA], keys=[("email", "ana@example.com", cus(1))])
    path = desk.audience().path
    desk.opt_out(email_key="ana@example.com")
    assert desk.audience(dry_run=True).path is None
    assert path.exists()


def test_an_excel_file_says_what_it_is_by_public_label_only(tmp_path):
    path = Desk(tmp_path, members=[ANA]).audience(Format.XLSX).path
    notes = openpyxl.load_workbook(path)["Sobre"]
    assert dict(notes.iter_rows(values_only=True)) == {
        "o que é": "Compradores do público casas e o total que pagaram em BRL, sem reembolsos; "
        "do maior valor para o menor.",
        "gerado em": "15/03/2026 12:00",
        "pessoas": "1",
        "fora (pediram para sair, pulados ou de outro produtor)": "0",
    }


def test_an_export_never_shows_who_is_in_it_when_printed(tmp_path):
    export = Desk(tmp_path, members=[ANA]).audience()
    assert "cus_" not in repr(export)


def test_nothing_published_says_what_to_run(tmp_path):
    tenant = site(NOON, tmp_path)
    with (
        pytest.raises(NothingPublished, match="uv run crm run"),
        open_snapshot(tenant.settings, tenant.tenant),
    ):
        pass


@pytest.mark.parametrize("newly", [False, True])
def test_who_refused_one_channel_is_listed_without_its_address(tmp_path, newly):
    ana = {"customer_id": cus(1), "email": "ana@example.com", "phone": "+5511900000001"}
    blocked = {} if newly else {"blocked_channels": ["email"]}
    desk = Desk(
        tmp_path,
        members=[ANA],
        batch=[ana],
        customers=[{**ana, **blocked}],
        keys=[("email", "ana@example.com", cus(1))],
    )
    if newly:
        desk.opt_out(email_key="ana@example.com", channel="email")
    for export in (desk.audience(), desk.remarketing(), desk.customers()):
        assert counts(export) == (1, 0, 0)
        text = export.path.read_text()
        assert "ana@example.com" not in text
        assert "+5511900000001" in text
    assert desk.delivered() == [(TODAY, cus(1))]


def test_who_refused_whatsapp_is_out_of_the_batch_and_keeps_the_e_mail(tmp_path):
    ana = {"customer_id": cus(1), "email": "ana@example.com", "phone": "+5511900000001"}
    blocked = {"blocked_channels": ["whatsapp"]}
    desk = Desk(tmp_path, members=[ANA], batch=[ana], customers=[{**ana, **blocked}])
    assert desk.remarketing().path is None
    assert lines(desk.audience().path)[1][1:3] == ["ana@example.com", ""]
