"""Where each field of a golden record comes from: the marks of records, and a view over them.

`silver.field_choices` keeps, for every record of a customer, which fields it won, by which
strategy, and where it came second; `silver.customer_lineage` tells the same field by field, with
the runner-up. Golden records are made of the same choices, so that they cannot disagree.
"""

from __future__ import annotations

from crm_assets.checks.silver import DECIDED_BY
from crm_assets.silver.survivorship import FIELDS, PINNED_PARTS, RUNNER_UP, sources_sql
from crm_resources.warehouse import Transaction

CHOICES = "silver.field_choices"
LINEAGE = "silver.customer_lineage"


def store_choices(tx: Transaction, scope: str | None = None) -> None:
    """Bring `silver.field_choices` to what `survive` chose, within the same scope."""
    if scope is None:
        tx.replace_table(CHOICES, "FROM chosen")
    else:
        tx.execute(f"DELETE FROM {CHOICES} WHERE customer_id IN (SELECT customer_id FROM {scope})")
        tx.execute(f"INSERT INTO {CHOICES} BY NAME FROM chosen")


def replace_lineage(tx: Transaction) -> None:
    """Define the view `silver.customer_lineage` over the choices and the records."""
    values = " ".join(f"WHEN '{name}' THEN {field.value}" for name, field in FIELDS.items())
    values += " ".join(f" WHEN '{part}' THEN {part}" for part in PINNED_PARTS)
    marks = ", ".join([*FIELDS, *PINNED_PARTS])
    tx.execute(
        f"CREATE OR REPLACE VIEW {LINEAGE} AS"
        + _LINEAGE.format(sources=sources_sql(), values=values, marks=marks)
    )


_LINEAGE = f"""
    WITH sources AS NOT MATERIALIZED ({{sources}}), marked AS NOT MATERIALIZED (
        FROM {CHOICES} UNPIVOT (mark FOR field IN ({{marks}}))
    ), told AS NOT MATERIALIZED (
        SELECT marked.customer_id, field, mark, record_id, source, source_id, observed_at,
               md5(CASE field {{values}} END) AS value_hash
        FROM marked JOIN sources USING (record_id)
    )
    SELECT winner.customer_id, winner.field, winner.record_id, winner.source, winner.source_id,
           winner.value_hash, winner.observed_at,
           {DECIDED_BY}[winner.mark - {RUNNER_UP}] AS strategy,
           second.record_id AS runner_up, second.source AS runner_up_source
    FROM told AS winner
    LEFT JOIN told AS second
        ON second.customer_id = winner.customer_id AND second.field = winner.field
       AND second.mark = {RUNNER_UP}
    WHERE winner.mark > {RUNNER_UP}
"""
