"""The weekly churn analysis: a report that is kept, and the list of who is at risk (S3.122-126)."""

from datetime import timedelta
from time import perf_counter

import dagster as dg

from crm_assets.gold.files import Exporter
from crm_assets.gold.snapshot import NothingPublished
from crm_assets.gold.subscription_report import write_churn_report
from crm_assets.steps import Events, Output, Site
from crm_assets.words import AT_RISK, counted

CHURN_REPORT = Output(
    "gold.churn_report",
    "O relatório semanal de churn em data/output: as últimas 13 semanas de assinaturas, perdas e "
    "taxas, e a lista de assinantes em risco.",
    reads=("gold.serving",),
)
STALE = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=8))


def churn_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The churn report of one tenant; its own job makes it, refine does not."""

    @dg.multi_asset(
        name=site.op_name("churn_report"),
        specs=[site.spec(CHURN_REPORT, kinds={"xlsx"}, freshness_policy=STALE)],
        required_resource_keys=site.resource_keys("ops"),
    )
    def churn_report(context: dg.AssetExecutionContext) -> Events:
        started = perf_counter()
        try:
            exporter = Exporter(site.settings, site.tenant, site.ops(context))
            report, rows, people = write_churn_report(exporter)
        except NothingPublished as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        files = [report, *([people.path] if people.path else [])]
        week = rows.row(-1, named=True) if len(rows) else {}
        yield dg.MaterializeResult(
            asset_key=site.key(CHURN_REPORT.name),
            metadata={
                "relatório": report.name,
                AT_RISK: f"{people.path.name if people.path else 'sem arquivo'}: "
                f"{counted(people.rows, 'pessoa')}, {people.excluded} fora",
                **{
                    name: week[name] for name in ("perdidas", "churn") if week.get(name) is not None
                },
                "bytes": sum(file.stat().st_size for file in files),
                "segundos": round(perf_counter() - started, 2),
            },
        )

    return [churn_report]
