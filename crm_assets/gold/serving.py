"""The end of a round: the serving snapshot, and the day's files made from it.

The snapshot is published whole or not at all. It depends on every table it holds, so that a failed
table stops the publication, while a stale source is published with its age. The newest are kept
(rules 7.4).
"""

from time import perf_counter

import dagster as dg

from crm_assets.gold.audiences import audience_table
from crm_assets.gold.files import Exporter, write_report
from crm_assets.gold.metric_changes import PUBLISHED
from crm_assets.gold.metrics import METRIC_CHANGES
from crm_assets.gold.snapshot import serving_pointer
from crm_assets.silver.contacts import LOG_POSITION
from crm_assets.steps import DATABASE_ERRORS, FRESH, Events, Output, Site, refine_pool
from crm_assets.words import counted
from crm_resources.serving import point, prune

_KEYS = """
    SELECT DISTINCT kind, key, customer_id
    FROM silver.customer_xref AS xref
    JOIN silver.contact_records AS records USING (record_id)
    CROSS JOIN LATERAL (VALUES ('email', email_key), ('phone', phone_key)) AS k(kind, key)
    WHERE valid_to IS NULL AND key IS NOT NULL
    ORDER BY key
"""


def serving_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The snapshot of one tenant."""
    audiences = [audience_table(site, slug).name for slug in site.tenant.audiences]
    tables = {
        "silver.customers": "FROM silver.customers ORDER BY customer_id",
        "silver.customer_keys": _KEYS,
        "silver.customer_ids": "FROM silver.customer_ids ORDER BY customer_id",
        "silver.sales": "FROM silver.sales ORDER BY customer_id, paid_at",
        "silver.products": "FROM silver.products ORDER BY source, product_id",
        "silver.subscriptions": "FROM silver.subscriptions ORDER BY customer_id, subscriber_code",
        "silver.subscription_history": "FROM silver.subscription_history",
        "silver.access": "FROM silver.access ORDER BY customer_id, product_id",
        "silver.access_log": "FROM silver.access_log ORDER BY customer_id, noted_at",
        "silver.carts": "FROM silver.carts ORDER BY customer_id, cart_at",
        "gold.triggers": "FROM gold.triggers ORDER BY trigger, since DESC, customer_id",
        "silver.contact_history": "FROM silver.contact_history ORDER BY customer_id, occurred_at",
        "gold.daily_report": "FROM gold.daily_report ORDER BY report_date, currency",
        "gold.remarketing_batches": "FROM gold.remarketing_batches ORDER BY batch_date, position",
        "gold.identity_review": "FROM gold.identity_review ORDER BY position",
        **{f"gold.{table.name}": f"FROM gold.{table.name} ORDER BY ALL" for table in PUBLISHED},
        METRIC_CHANGES.name: f"FROM {METRIC_CHANGES.name} ORDER BY ALL",
        **{name: f"FROM {name} ORDER BY ltv DESC, customer_id" for name in audiences},
        "meta.loads": "FROM bronze.loads ORDER BY source, slice",
        "meta.rejects": "SELECT source, reason, count(*) AS cells FROM bronze.rejects GROUP BY ALL",
        "meta.contents": f"FROM {LOG_POSITION}",
    }
    key = site.key("gold.serving")

    @dg.multi_asset(
        name=site.op_name("serving"),
        specs=[
            site.spec(
                Output(
                    "gold.serving",
                    "A cópia de leitura que as páginas, os arquivos e o BI usam. Só é trocada "
                    "quando tudo o que ela contém passou nas conferências.",
                    reads=(
                        "silver.contact_history",
                        "gold.remarketing_batches",
                        "gold.daily_report",
                        "gold.identity_review",
                        *(f"gold.{table.name}" for table in PUBLISHED),
                        METRIC_CHANGES.name,
                        "gold.triggers",
                        "silver.subscriptions",
                        "silver.access",
                        *audiences,
                    ),
                ),
                freshness_policy=FRESH,
            )
        ],
        pool=refine_pool(site),
        required_resource_keys=site.resource_keys("warehouse", "refine_lock"),
    )
    def serving(context: dg.AssetExecutionContext) -> Events:
        started = perf_counter()
        pointer = serving_pointer(site.settings, site.tenant)
        name = f"{site.settings.now():%Y%m%dT%H%M%S}-{context.run.run_id[:8]}.duckdb"
        snapshot = pointer.parent / name
        try:
            rows = site.warehouse(context).publish(
                snapshot,
                tables,
                {
                    "silver.customers": ["customer_id"],
                    "silver.customer_keys": ["key"],
                    "silver.sales": ["customer_id"],
                },
            )
        except DATABASE_ERRORS as error:
            raise dg.Failure(
                f"A cópia de leitura não foi publicada; a anterior continua: {error}",
                allow_retries=False,
            ) from None
        point(pointer, name)
        prune(pointer.parent, site.tenant.privacy.snapshots)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "dagster/row_count": sum(rows.values()),
                "bytes": snapshot.stat().st_size,
                **{table: count for table, count in rows.items() if table.startswith("gold.")},
                "segundos": round(perf_counter() - started, 2),
            },
        )

    return [serving]


def export_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The day's files of one tenant."""
    key = site.key("gold.exports")

    @dg.multi_asset(
        name=site.op_name("exports"),
        specs=[
            site.spec(
                Output(
                    "gold.exports",
                    "Os arquivos do dia em data/output: um CSV por público, o CSV do lote de "
                    "remarketing e o relatório geral. O lote conta como entregue quando o arquivo "
                    "existe.",
                    reads=("gold.serving",),
                ),
                kinds={"csv"},
                freshness_policy=FRESH,
            )
        ],
        pool=refine_pool(site),
        required_resource_keys=site.resource_keys("ops", "refine_lock"),
    )
    def exports(context: dg.AssetExecutionContext) -> Events:
        started = perf_counter()
        settings, tenant = site.settings, site.tenant
        exporter = Exporter(settings, tenant, site.ops(context))
        written = {slug: exporter.audience(slug) for slug in tenant.audiences}
        written["lote de remarketing"] = exporter.remarketing(site.today())
        report = write_report(settings, tenant)
        files = [report, *(export.path for export in written.values() if export.path)]
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "relatório": report.name,
                **{
                    name: f"{export.path.name if export.path else 'sem arquivo'}: "
                    f"{counted(export.rows, 'pessoa')}, {export.excluded} fora"
                    for name, export in written.items()
                },
                "bytes": sum(file.stat().st_size for file in files),
                "segundos": round(perf_counter() - started, 2),
            },
        )

    return [exports]
