"""The text of the report, its file, and the commands on top of both (S1.84, S1.97, S1.101)."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal

import duckdb
import pytest
from lake import NOON, cus, frame_of, site
from typer.testing import CliRunner

from crm_assets.checks.gold import Audience, DailyReport, RemarketingBatches
from crm_assets.checks.silver import Customers, Products, Sales
from crm_assets.gold.files import Exporter, write_report
from crm_assets.gold.snapshot import NothingPublished, serving_pointer
from crm_assets.gold.summary import money, published, report
from crm_resources.ops import Action
from crm_resources.serving import point
from crm_resources.warehouse import Transaction

TODAY = date(2026, 3, 15)
YESTERDAY = date(2026, 3, 14)
FIGURES = ("buyers", "paid", "pending", "cancellations", "cancelled")


def told(day, figures, compared_with=None, changes=(None,) * 5):
    """A row of the report in reais."""
    changed = {f"{name}_change": change for name, change in zip(FIGURES, changes, strict=True)}
    return {
        "report_date": day,
        "currency": "BRL",
        "compared_with": compared_with,
        **dict(zip(FIGURES, figures, strict=True)),
        **changed,
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with two loads, told on the second day."""
    folder = tmp_path_factory.mktemp("reports")
    here = site(NOON, folder)
    pointer = serving_pointer(here.settings, here.tenant)
    pointer.parent.mkdir(parents=True)
    member = {"customer_id": cus(1), "orders": 1, "ltv_foreign": [], "exportable": True}
    place = {"batch_date": TODAY, "audiences": [], "reason": "nunca_contatado"}
    tables = {
        "gold.daily_report": frame_of(
            DailyReport,
            [
                told(YESTERDAY, (1, Decimal("100.00"), Decimal("1234.50"), 0, Decimal("0.00"))),
                told(
                    TODAY,
                    (2, Decimal("1334.50"), Decimal("0.00"), 1, Decimal("50.00")),
                    YESTERDAY,
                    (1, Decimal("1234.50"), Decimal("-1234.50"), 1, Decimal("50.00")),
                ),
            ],
        ),
        "gold.audience_ilpi": frame_of(
            Audience,
            [
                {**member, "ltv": Decimal("1334.50")},
                {**member, "customer_id": cus(2), "ltv": Decimal("0.00")},
            ],
        ),
        "gold.audience_estetica": frame_of(Audience, []),
        "gold.remarketing_batches": frame_of(
            RemarketingBatches,
            [
                {**place, "position": 1, "customer_id": cus(1), "status": "selecionado"},
                {**place, "position": 2, "customer_id": cus(2), "status": "pulado"},
                {
                    **place,
                    "batch_date": YESTERDAY,
                    "position": 1,
                    "customer_id": cus(3),
                    "status": "entregue",
                },
            ],
        ),
        "silver.customers": frame_of(Customers, [{"customer_id": cus(1), "has_purchased": True}]),
        "silver.sales": frame_of(
            Sales,
            [
                {
                    "sale_id": "a",
                    "order_id": "a",
                    "gross": Decimal("1334.50"),
                    "customer_id": cus(1),
                },
                {"sale_id": "b", "order_id": "b", "gross": Decimal("197.00")},
                {
                    "sale_id": "c",
                    "order_id": "c",
                    "gross": Decimal("27.00"),
                    "product_id": "9",
                    "customer_id": cus(1),
                },
            ],
        ),
        "silver.products": frame_of(
            Products,
            [
                {"product_id": "1", "audiences": ["ilpi"]},
                {"product_id": "9", "name": "E-book", "audiences": []},
            ],
        ),
        "meta.rejects": "SELECT 'manychat' AS source, 'data_ilegivel' AS reason, 2 AS cells",
        "meta.contents": "SELECT 0 AS last_action_id",
        "silver.customer_keys": "SELECT '' AS kind, '' AS key, '' AS customer_id",
    }
    with duckdb.connect(pointer.parent / "a.duckdb") as con:
        for name, rows in tables.items():
            Transaction(con).replace_table(name, rows)
    point(pointer, "a.duckdb")
    return folder


NOW_STANDS = [
    "Clientes: 1 (1 comprou, 0 em mais de uma fonte, 1 alcançável, 0 pediram para sair)",
    "Público ILPI: 1 pessoa, LTV 1.334,50 BRL, mais 1 só em outra moeda",
    "Público Estética: 0 pessoas, LTV 0,00 BRL",
    "Pago fora dos públicos: 197,00 BRL sem e-mail nem telefone",
    "Pago fora dos públicos: 27,00 BRL de produtos sem público (E-book)",
]
NOT_READ = "Não lido, guardado em bronze.rejects: manychat data_ilegivel: 2"
SOLD = (
    "Vendas em BRL: 1.334,50 (+1.234,50) pagas, 0,00 (-1.234,50) pendentes; "
    "2 (+1) compradores; 1 (+1) cancelamento, 50,00 (+50,00) canceladas"
)


@pytest.mark.parametrize(
    ("day", "lines"),
    [
        (
            None,
            ["Relatório geral de 15/03/2026 (comparado com 14/03/2026)", SOLD, *NOW_STANDS,
             "Lote de 15/03/2026: 1 pulado, 1 selecionado; 3 seleções desde o início", NOT_READ],
        ),
        (
            YESTERDAY,
            ["Relatório geral de 14/03/2026 (carga inicial)",
             "Vendas em BRL: 100,00 pagas, 1.234,50 pendentes; 1 comprador; 0 cancelamentos, "
             "0,00 canceladas",
             "Lote de 14/03/2026: 1 entregue; 1 seleção desde o início"],
        ),
        (
            date(2026, 3, 18),
            ["Sem carga em 18/03/2026; a última antes é de 15/03/2026 (comparado com 14/03/2026)",
             SOLD, *NOW_STANDS, "Lote de 18/03/2026: ninguém; 3 seleções desde o início", NOT_READ],
        ),
        (
            date(2026, 3, 1),
            ["Nenhuma carga até 01/03/2026.",
             "Lote de 01/03/2026: ninguém; 0 seleções desde o início"],
        ),
    ],
)  # fmt: skip
def test_the_report_of_a_day(home, day, lines):
    here = site(NOON, home)
    assert report(here.settings, here.tenant, day) == lines


def test_the_text_file_holds_what_is_printed(home, tmp_path):
    shutil.copytree(home, tmp_path / "home")
    here = site(NOON, tmp_path / "home")
    path = write_report(here.settings, here.tenant)
    folder = here.settings.output_folder("default")
    assert path == folder / "relatorio" / "relatorio_geral_2026-03-15.txt"
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    assert head == "default (prd)"
    assert lines == published(here.settings, here.tenant)


def test_before_the_first_round_it_says_what_to_run(tmp_path):
    here = site(NOON, tmp_path)
    (line,) = published(here.settings, here.tenant)
    assert "rode `uv run crm run` primeiro" in line
    with pytest.raises(NothingPublished):
        report(here.settings, here.tenant)


@pytest.mark.parametrize(
    ("value", "sign", "shown"),
    [
        (Decimal("1234567.80"), "", "1.234.567,80"),
        (Decimal("0.00"), "+", "+0,00"),
        (Decimal("-1234.50"), "+", "-1.234,50"),
    ],
)
def test_money_in_portuguese(value, sign, shown):
    assert money(value, sign) == shown


# The commands


@pytest.fixture
def crm(home, monkeypatch, tmp_path):
    """The command over a copy of the home."""
    from crm_cli.app import app

    shutil.copytree(home, tmp_path / "home")
    tenants = tmp_path / "tenants.toml"
    tenants.write_text(
        '[tenants.default.audiences.ilpi]\nlabel = "ILPI"\npublic_label = "casas"\n'
        '[tenants.default.audiences.estetica]\nlabel = "Estética"\npublic_label = "estetica"\n'
    )
    for name, value in {
        "ENVIRONMENT": "prd",
        "CRM_HOME": str(tmp_path / "home"),
        "CRM_NOW": NOON.isoformat(),
        "CRM_TENANTS": str(tenants),
    }.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_crm_report_prints_the_report_of_a_day(crm):
    said = crm("report")
    assert said.exit_code == 0
    assert said.output.splitlines()[0] == "default (default, prd)"
    assert SOLD in said.output
    earlier = crm("report", "--day", "2026-03-14")
    assert "Relatório geral de 14/03/2026 (carga inicial)" in earlier.output
    assert "Clientes:" not in earlier.output


def test_a_dry_run_of_an_export_says_rows_and_path_and_writes_nothing(crm, tmp_path):
    said = crm("export", "customers", "--format", "csv", "--dry-run")
    assert said.output.splitlines() == [
        "Nada foi gravado; o arquivo seria:",
        f"{tmp_path}/home/output/prd/default/clientes/clientes_2026-03-15.csv",
        "1 pessoa, 0 fora (pediram para sair, pulados ou de outro produtor)",
    ]
    assert not (tmp_path / "home" / "output").exists()


@pytest.mark.parametrize(
    ("flavour", "told"),
    [
        ("txt", "Ninguém tem telefone; nenhum arquivo foi feito."),
        ("google", "Ninguém tem telefone nem e-mail; nenhum arquivo foi feito."),
    ],
)
def test_an_export_nobody_fits_into_says_so(crm, flavour, told):
    assert crm("export", "customers", "--format", flavour).output.strip() == told


def test_an_unknown_flavour_is_told_the_known_ones(crm):
    said = crm("export", "customers", "--format", "pdf")
    assert said.exit_code == 2
    told = " ".join(said.output.replace("│", " ").split())
    assert "csv, excel-csv, xlsx, txt, vcf, meta ou google" in told


def test_an_export_is_registered_under_the_name_of_who_asked(crm, tmp_path, monkeypatch):
    from crm_resources.ops import OpsStore

    monkeypatch.setenv("LOGNAME", "operadora")
    said = crm("export", "customers")
    assert (said.exit_code, said.output.splitlines()[1:]) == (
        0,
        ["1 pessoa, 0 fora (pediram para sair, pulados ou de outro produtor)"],
    )
    (made,) = OpsStore(tmp_path / "home/db/prd/default/ops.sqlite", "default").exports()
    assert made.actor == "crm export (operadora)"
    assert made.customer_ids == (cus(1),)


def test_what_was_delivered_a_minute_ago_is_told_as_delivered(home, tmp_path):
    """The snapshot is older than the file that it made."""
    shutil.copytree(home, tmp_path / "home")
    here = site(NOON, tmp_path / "home")
    delivered = Action(
        kind="batch_delivered", idempotency_key="1", customer_id=cus(1), day=TODAY, actor="crm"
    )
    here.ops_store().append_actions([delivered])
    lines = report(here.settings, here.tenant)
    assert "Lote de 15/03/2026: 1 entregue, 1 pulado; 3 seleções desde o início" in lines


def test_an_audience_newer_than_the_snapshot_is_not_told(home):
    audiences = {"nova": {"label": "Nova", "public_label": "nova", "rest": True}}
    here = site(NOON, home, audiences=audiences)
    assert not [line for line in report(here.settings, here.tenant) if "Nova" in line]
    with pytest.raises(NothingPublished, match="O público nova ainda não foi calculado"):
        Exporter(here.settings, here.tenant, here.ops_store()).audience("nova")
