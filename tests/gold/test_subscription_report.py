"""The report of subscriptions by period, its command and file, and who is at risk (S3.108-126)."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal

import dagster as dg
import duckdb
import openpyxl
import polars as pl
import pytest
from lake import NOON, cus, frame_of, local, site
from metric_samples import Metrics, stretch
from typer.testing import CliRunner

from crm_assets.checks.silver import Customers
from crm_assets.checks.subscriptions import Subscriptions
from crm_assets.gold.churn_report import churn_assets
from crm_assets.gold.files import Exporter
from crm_assets.gold.metric_changes import PUBLISHED
from crm_assets.gold.snapshot import NothingPublished, serving_pointer
from crm_assets.gold.subscription_report import subscription_report, totals
from crm_assets.gold.summary import _subscriptions
from crm_assets.words import AT_RISK
from crm_resources.ops import Action
from crm_resources.ops.resource import OpsResource
from crm_resources.serving import point
from crm_resources.warehouse import Transaction

STRETCHES = [
    stretch(1, "01-10", None, 100, net=80),
    stretch(2, "01-20", "02-15", 50, net=40, ended_by="cancelled"),
    stretch(3, "03-02", None, 30, net=20, state="delayed"),
    stretch(4, "03-10", None, state="trial"),
    stretch(5, "01-05", "02-10", 10, currency="USD", home=5, ended_by="fim_de_ciclo"),
]
PEOPLE = [
    {"customer_id": cus(n), "name": f"Pessoa {n}", "email": f"p{n}@example.com"}
    for n in range(1, 6)
]


def sale(number, paid_on, amount, **more):
    return {
        "sale_id": f"hotmart:HP{number}",
        "order_id": f"HP{number}",
        "customer_id": cus(1),
        "paid_at": local(f"{paid_on} 12:00"),
        "gross": Decimal(amount),
        **more,
    }


def at_risk(code, customer, **more):
    flags = {"is_trial": False, "is_at_risk": True, "is_at_risk_inactive": False}
    known = {"segment": "em_risco", "source": "api", "is_archived": False, "status": "DELAYED"}
    named = {"subscriber_code": code, "customer_id": cus(customer), "product_name": f"Curso {code}"}
    return {**named, **flags, **known, **more}


SUBSCRIPTIONS = [
    at_risk("A", 1, delayed_since=date(2026, 3, 10)),
    at_risk("B", 1, status="CANCELLED_BY_CUSTOMER", paid_through=date(2026, 3, 20)),
    at_risk("C", 2, is_at_risk_inactive=True, delayed_since=date(2026, 3, 12)),
    at_risk("D", 3, status="ACTIVE", is_at_risk=False),
    at_risk("E", 4, status="CANCELLED_BY_SELLER", paid_through=date(2026, 3, 30)),
    at_risk("F", 5, delayed_since=date(2026, 3, 1)),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose snapshot holds metrics of five subscriptions."""
    folder = tmp_path_factory.mktemp("subscriptions")
    pointer = serving_pointer(site(NOON, folder).settings, site(NOON, folder).tenant)
    pointer.parent.mkdir(parents=True)
    undated = {"is_refunded": True, "is_paid": False, "status_class": "reversed"}
    sales = [sale(1, "2026-01-10", "100.00"), sale(2, "2026-02-10", "40.00", **undated)]
    lake = Metrics("03-15").put(*STRETCHES, sales=sales).run().lake
    tables = {f"gold.{table.name}": lake.tx.read(f"FROM gold.{table.name}") for table in PUBLISHED}
    people = [person | {"is_own": person["customer_id"] != cus(5)} for person in PEOPLE]
    tables |= {
        "silver.customers": frame_of(Customers, people),
        "silver.subscriptions": frame_of(Subscriptions, SUBSCRIPTIONS),
        "silver.customer_keys": pl.DataFrame(
            {
                "kind": "email",
                "key": [person["email"] for person in PEOPLE],
                "customer_id": [person["customer_id"] for person in PEOPLE],
            }
        ),
        "meta.contents": pl.DataFrame({"last_action_id": [0]}),
    }
    with duckdb.connect(pointer.parent / "a.duckdb") as con:
        for name, rows in tables.items():
            Transaction(con).replace_table(name, rows)
    point(pointer, "a.duckdb")
    return folder


def asked(home, start, end, grain, currency="home"):
    here = site(NOON, home)
    days = date.fromisoformat(start), date.fromisoformat(end)
    return subscription_report(here.settings, here.tenant, *days, grain, currency)


def test_levels_are_those_at_the_end_of_a_period_and_events_those_in_it(home):
    rows = asked(home, "2026-01-01", "2026-03-15", "month").to_dicts()
    told = [
        tuple(row[n] for n in ("no_inicio", "novas", "perdidas", "fim_de_ciclo", "no_fim"))
        for row in rows
    ]
    assert told == [(0, 3, 0, 0, 3), (3, 0, 1, 1, 1), (1, 1, 0, 0, 2)]
    assert [row["em_aberto"] for row in rows] == [False, False, True]
    assert [row["churn"] for row in rows] == [None, 33.33, 0]
    assert [str(row["mrr_liquido"]) for row in rows] == ["170.00", "80.00", "100.00"]
    assert [str(row["receita"]) for row in rows] == ["100.00", "40.00", "0.00"]
    assert (rows[2]["em_trial"], rows[2]["em_risco"]) == (1, 1)


def test_a_stretch_takes_every_period_that_it_touches(home):
    weeks = asked(home, "2026-02-11", "2026-02-17", "week")
    assert weeks["inicio"].to_list() == [date(2026, 2, 9), date(2026, 2, 16)]
    days = asked(home, "2026-03-14", "2026-03-20", "day")
    assert days["inicio"].to_list() == [date(2026, 3, 14), date(2026, 3, 15)]
    assert asked(home, "2026-03-16", "2026-03-20", "day").is_empty()


def test_one_currency_alone(home):
    rows = asked(home, "2026-01-01", "2026-03-15", "month", "USD").to_dicts()
    assert [str(row["mrr_bruto"]) for row in rows] == ["10.00", "0.00", "0.00"]


def test_totals_never_sum_levels(home):
    assert totals(asked(home, "2026-01-01", "2026-03-15", "month"), "BRL") == [
        "Assinaturas: 0 no início e 2 no fim; 4 novas, 0 reativadas, 1 perdida, 1 em fim de ciclo.",
        "MRR no fim: 130,00 BRL bruto, 100,00 líquido. Receita no período: 140,00 BRL, "
        "140,00 depois de reembolsos e chargebacks.",
        "Dela foram revertidos 40,00 BRL em dias que ninguém informou, que não estão descontados.",
    ]
    assert totals(asked(home, "2026-03-16", "2026-03-20", "day"), "BRL") == []


def test_the_day_s_report_tells_recurring_revenue(home):
    here = site(NOON, home)
    pointer = serving_pointer(here.settings, here.tenant)
    with duckdb.connect(pointer.parent / "a.duckdb", read_only=True) as con:
        assert _subscriptions(con, here.tenant, date(2026, 3, 15)) == [
            f"Assinaturas: 2 pagas, 1 {AT_RISK}, e 1 em trial; MRR 130,00 BRL bruto, 100,00 "
            "líquido; churn de 02/2026: 33,3 %"
        ]
        assert _subscriptions(con, here.tenant, date(2026, 1, 5)) == [
            f"Assinaturas: 1 paga, 0 {AT_RISK}, e 0 em trial; MRR 50,00 BRL bruto, 50,00 líquido"
        ]
        assert _subscriptions(con, here.tenant, date(2025, 12, 31)) == []
    with duckdb.connect() as con:
        assert _subscriptions(con, here.tenant, date(2026, 3, 15)) == []


@pytest.fixture
def crm(home, monkeypatch, tmp_path):
    """The command over the home, its files elsewhere."""
    from crm_cli.app import app

    shutil.copytree(home, tmp_path / "home")
    for name, value in {
        "ENVIRONMENT": "prd",
        "CRM_HOME": str(tmp_path / "home"),
        "CRM_NOW": NOON.isoformat(),
        "CRM_TENANTS": "",
    }.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(
        app, ["report", "subscriptions", *arguments], catch_exceptions=False
    )


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_command_shows_months_from_january_to_now(crm, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    said = crm()
    assert "…" not in said.output
    assert said.exit_code == 0
    months = [line for line in said.output.splitlines() if line[2:7] == "/2026"]
    assert [line.split()[0] for line in months] == ["01/2026", "02/2026", "03/2026*"]
    assert "33,33 %" in months[1]
    assert "* ainda em aberto" in said.output
    assert f"no fim, {AT_RISK} e MRR: no último dia do período" in said.output
    assert max(map(len, said.output.splitlines()[:4])) <= 80
    assert "MRR no fim: 130,00 BRL bruto" in said.output


@pytest.mark.parametrize(
    ("flavour", "group", "named"),
    [("csv", "semana", "semana"), ("excel-csv", "MES", "mes"), ("xlsx", "week", "semana")],
)
def test_the_command_writes_a_file_and_says_where(crm, flavour, group, named, tmp_path):
    said = crm("--format", flavour, "--group-by", group, "--start", "2026-02-01")
    path = tmp_path / "home/output/prd/default/relatorio"
    ending = {"csv": ".csv", "excel-csv": "_excel.csv", "xlsx": ".xlsx"}[flavour]
    file = path / f"assinaturas_2026-02-01_2026-03-15_{named}{ending}"
    assert said.output.splitlines()[0] == str(file)
    if flavour == "csv":
        assert pl.read_csv(file)["perdidas"].sum() == 1
    elif flavour == "xlsx":
        book = openpyxl.load_workbook(file)
        assert book.sheetnames == ["Assinaturas", "Sobre"]
        assert book["Assinaturas"].max_row == 1 + 7
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--group-by", "year"], "--group-by aceita dia, semana, mês, não 'year'"),
        (["--format", "pdf"], "--format aceita tabela, csv, excel-csv, xlsx, não 'pdf'"),
        (["--currency", "../x"], "--currency precisa ser o código de uma moeda"),
        (["--start", "2026-03-15", "--end", "2026-03-01"], "vem depois de --end"),
    ],
)
def test_wrong_use_is_told(crm, arguments, told):
    said = crm(*arguments)
    assert said.exit_code == 2
    assert told in " ".join(said.output.replace("│", " ").split())


def test_a_stretch_without_subscriptions_says_so(crm):
    said = crm("--start", "2020-01-01", "--end", "2020-12-31")
    assert said.output == "Nenhuma assinatura de 01/01/2020 a 31/12/2020.\n"


def test_the_analysis_of_churn_can_be_asked_for_any_time(crm, tmp_path):
    from crm_cli.app import app

    said = CliRunner().invoke(app, ["report", "churn"], catch_exceptions=False)
    output = f"{tmp_path}/home/output/prd/default"
    assert said.output.splitlines() == [
        f"{output}/relatorio/churn_2026-03-15.xlsx",
        f"{output}/em_risco/em_risco_2026-03-15.csv",
        f"3 pessoas com assinatura {AT_RISK}, 0 fora (pediram para sair).",
    ]


def test_subscriptions_without_a_known_price_or_rate_are_told(home, tmp_path):
    shutil.copytree(home, tmp_path / "home")
    here = site(NOON, tmp_path / "home")
    told = "Assinaturas: 2 pagas (1 sem preço conhecido, 2 em moeda sem câmbio conhecido), 1 em"
    with duckdb.connect(serving_pointer(here.settings, here.tenant).parent / "a.duckdb") as con:
        con.execute(
            "UPDATE gold.subscription_metrics SET unpriced = 1, unconverted = 2 "
            "WHERE day >= '2026-03-15'"
        )
        assert _subscriptions(con, here.tenant, date(2026, 3, 15))[0].startswith(told)
    rows = asked(tmp_path / "home", "2026-02-01", "2026-03-15", "month")
    assert rows["sem_preco"].to_list() == [0, 1]
    assert totals(rows, "BRL")[2] == (
        "1 assinatura sem preço conhecido: no número de assinaturas, fora do MRR; `crm "
        "subscriptions list` mostra quais."
    )
    assert totals(rows, "BRL")[3] == (
        "2 assinaturas em moeda sem câmbio conhecido: no número de assinaturas, fora deste MRR; "
        "`crm subscriptions list` mostra quais."
    )


def test_a_snapshot_from_before_the_metrics_says_what_to_do(tmp_path):
    here = site(NOON, tmp_path)
    pointer = serving_pointer(here.settings, here.tenant)
    pointer.parent.mkdir(parents=True)
    duckdb.connect(pointer.parent / "old.duckdb").close()
    point(pointer, "old.duckdb")
    with pytest.raises(NothingPublished, match="As métricas ainda não foram calculadas"):
        asked(tmp_path, "2026-01-01", "2026-03-15", "month")


def test_who_is_at_risk_is_listed_once_the_absent_first(home, tmp_path):
    shutil.copytree(home, tmp_path / "home")
    here = site(NOON, tmp_path / "home")
    ops = here.ops_store()
    ops.append_actions(
        [Action(kind="opt_out", idempotency_key="1", email_key="p4@example.com", actor="crm")]
    )
    made = Exporter(here.settings, here.tenant, ops).at_risk()
    listed = pl.read_csv(made.path)
    assert listed.columns == [
        "name", "email", "phone", "produtos", "situacao", "atrasado_desde", "pago_ate",
        "ultima_atividade",
    ]  # fmt: skip
    assert listed.select("name", "produtos", "situacao").rows() == [
        ("Pessoa 2", "Curso C", "atrasado e ausente"),
        ("Pessoa 1", "Curso A, Curso B", "atrasado"),
    ]
    assert (made.rows, made.excluded) == (2, 1), "one asked to be left alone, one is not ours"
    (record,) = ops.exports()
    assert (record.kind, record.customer_ids) == ("em_risco", (cus(2), cus(1)))


def materialize(folder):
    place = site(NOON, folder)
    ops = OpsResource(url=place.settings.ops_address("default"), tenant="default")
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            churn_assets(place), instance=instance, resources={"ops": ops}, raise_on_error=False
        )


def test_the_weekly_job_leaves_a_report_and_the_list(home, tmp_path):
    shutil.copytree(home, tmp_path / "home")
    done = materialize(tmp_path / "home")
    assert done.success
    output = tmp_path / "home/output/prd/default"
    assert {file.relative_to(output).as_posix() for file in output.rglob("*.*")} == {
        "relatorio/churn_2026-03-15.xlsx",
        "em_risco/em_risco_2026-03-15.csv",
    }
    book = openpyxl.load_workbook(output / "relatorio/churn_2026-03-15.xlsx")
    weeks = [row[0].value.date() for row in book["Assinaturas"].iter_rows(min_row=2)]
    assert (weeks[0], weeks[-1]) == (date(2026, 1, 5), date(2026, 3, 9))
    (event,) = done.get_asset_materialization_events()
    told = event.step_materialization_data.materialization.metadata
    assert told[AT_RISK].value == "em_risco_2026-03-15.csv: 3 pessoas, 0 fora"
    assert "example.com" not in str(told)


def test_the_weekly_job_before_any_round_says_what_to_do(tmp_path):
    done = materialize(tmp_path)
    assert not done.success
    (failure,) = [event for event in done.all_node_events if event.is_step_failure]
    told = failure.event_specific_data.error_display_string
    assert "rode `uv run crm run` primeiro" in told
