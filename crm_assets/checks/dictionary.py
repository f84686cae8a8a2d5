"""The data dictionary, written from the contracts: `python -m crm_assets.checks.dictionary`."""

from __future__ import annotations

import sys
from pathlib import Path

from crm_assets.checks import bronze, events, gold, metrics, silver, subscriptions
from crm_assets.checks.contract import Contract
from crm_assets.settings import CHECKOUT

PATH = CHECKOUT / "docs" / "data-dictionary.md"

TABLES: dict[str, type[Contract]] = {
    "bronze.hotmart_transactions": bronze.HotmartTransactions,
    "bronze.hotmart_customers": bronze.HotmartCustomers,
    "bronze.hotmart_commissions": bronze.HotmartCommissions,
    "bronze.hotmart_price_details": bronze.HotmartPriceDetails,
    "bronze.hotmart_subscription_transactions": bronze.HotmartSubscriptionTransactions,
    "bronze.hotmart_subscriptions": bronze.HotmartSubscriptions,
    "bronze.hotmart_csv": bronze.HotmartCsv,
    "bronze.manychat_contacts": bronze.ManychatContacts,
    "bronze.hotmart_events": events.HotmartEvents,
    "bronze.crm_actions": bronze.CrmActions,
    "silver.events": events.Events,
    "silver.contact_records": silver.ContactRecords,
    "silver.sale_records": silver.SaleRecords,
    "silver.customer_xref": silver.CustomerXref,
    "silver.customer_ids": silver.CustomerIds,
    "silver.customer_merges": silver.CustomerMerges,
    "silver.key_status": silver.KeyStatus,
    "silver.identity_findings": silver.IdentityFindings,
    "silver.sales": silver.Sales,
    "silver.products": silver.Products,
    "silver.subscriptions": subscriptions.Subscriptions,
    "silver.subscription_history": subscriptions.SubscriptionHistory,
    "silver.subscription_periods": subscriptions.SubscriptionPeriods,
    "silver.subscription_readings": subscriptions.SubscriptionReadings,
    "silver.access": subscriptions.Access,
    "silver.access_log": subscriptions.AccessLog,
    "silver.carts": events.Carts,
    "silver.contact_history": silver.ContactHistory,
    "silver.consents": silver.Consents,
    "silver.opt_outs": silver.OptOuts,
    "silver.customers": silver.Customers,
    "silver.field_choices": silver.FieldChoices,
    "silver.customer_lineage": silver.CustomerLineage,
    "gold.daily_report": gold.DailyReport,
    "gold.audience_<name>": gold.Audience,
    "gold.remarketing_batches": gold.RemarketingBatches,
    "gold.identity_review": gold.IdentityReview,
    "gold.triggers": events.Triggers,
    "gold.subscription_metrics": metrics.SubscriptionMetrics,
    "gold.mrr_movements": metrics.MrrMovements,
    "gold.churn": metrics.Churn,
    "gold.subscription_ltv": metrics.SubscriptionLtv,
    "gold.revenue": metrics.Revenue,
    "gold.cohorts": metrics.Cohorts,
    "gold.cart_conversion": metrics.CartConversion,
    "gold.metric_changes": metrics.MetricChanges,
}
"""Every table with a contract, in the order of the layers."""

TYPES = {
    "String": "text",
    "Int64": "integer",
    "UInt64": "integer",
    "UInt8": "small integer",
    "Float64": "number",
    "Boolean": "yes or no",
    "Date": "day",
    "Datetime": "instant",
    "Decimal(precision=18, scale=2)": "money",
    "Decimal(precision=18, scale=8)": "number",
    "List": "list",
}


def dictionary() -> str:
    """The dictionary as Markdown."""
    head = "# Data dictionary\n\nWritten from the contracts in `crm_assets/checks`; do not edit.\n"
    return "\n".join([head, *(_table(name, contract) for name, contract in TABLES.items())])


def _table(name: str, contract: type[Contract]) -> str:
    schema = contract.to_schema()
    summary = (contract.__doc__ or "").strip().splitlines()[0]
    rows = [
        f"| `{column}` | {_type(str(spec.dtype))} "
        f"| {'' if spec.nullable else 'always'} | {spec.description} |"
        for column, spec in schema.columns.items()
    ]
    table = ["| column | type | filled | meaning |", "|---|---|---|---|", *rows]
    return "\n".join([f"## {name}\n\n{summary}\n", *table, ""])


def _type(dtype: str) -> str:
    return TYPES.get(dtype) or TYPES[dtype.partition("(")[0]]


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else PATH).write_text(dictionary(), encoding="utf-8")
