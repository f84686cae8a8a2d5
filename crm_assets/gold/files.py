"""Files for people and tools, made from the serving snapshot (rules 4.8). No Dagster here.

People who asked to be left alone are dropped from every file, also when they asked after the
snapshot was published; how many is told. Whoever stands in the written file of today's batch has
been delivered.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

import duckdb
import polars as pl

from crm_assets.gold.snapshot import open_snapshot
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_resources.ops import Action, OpsStore
from crm_resources.serving import put


class Format(StrEnum):
    """File flavours: for machines, and for Excel as it is set up in Brazil."""

    CSV = "csv"
    EXCEL_CSV = "excel-csv"

    @property
    def ending(self) -> str:
        """End of a file's name, so that no flavour takes the place of another."""
        return ".csv" if self is Format.CSV else "_excel.csv"


@dataclass(frozen=True)
class Export:
    """A file that was asked for.

    Attributes:
        path: where it is; None when there was nobody to list, and no file was made.
        rows: people in it.
        excluded: people left out because they asked to be, or were skipped.
    """

    path: Path | None
    rows: int
    excluded: int


def export_audience(
    settings: Settings, tenant: Tenant, ops: OpsStore, slug: str, flavour: Format = Format.CSV
) -> Export:
    """Write `publico_<label>_<day>.csv`: members with value above zero, highest first."""
    with open_snapshot(settings, tenant) as con:
        members = con.sql(_MEMBERS.format(slug=slug)).pl()
        refusing = _newly_refusing(con, ops)
    people = members.filter("exportable", ~pl.col("customer_id").is_in(refusing)).select(
        "name", "email", "phone", "country", "state", pl.col("ltv").alias("value")
    )
    today = settings.today(tenant.timezone)
    label = tenant.audiences[slug].public_label
    folder = settings.output_folder(tenant.slug) / "publico"
    path = write_csv(people, folder / f"publico_{label}_{today}{flavour.ending}", flavour)
    return Export(path, len(people), len(members) - len(people))


def export_remarketing(
    settings: Settings, tenant: Tenant, ops: OpsStore, day: date, flavour: Format = Format.CSV
) -> Export:
    """Write `remarketing_<day>.csv`; the people in today's are thereby delivered.

    Without anybody there is no file and no delivery.
    """
    with open_snapshot(settings, tenant) as con:
        batch = con.sql(_BATCH, params={"day": day}).pl()
        refusing = _newly_refusing(con, ops)
    labels = {slug: audience.public_label for slug, audience in tenant.audiences.items()}
    reached = batch.filter(
        pl.col("status").is_in(["selecionado", "entregue"]),
        ~pl.col("customer_id").is_in(refusing),
    )
    people = reached.select(
        "email",
        "phone",
        pl.col("last_contact_at").dt.date().alias("last_remarketing_at"),
        pl.col("last_purchase_at").dt.date(),
        "name",
        pl.when(pl.col("segment") == "AMBOS")
        .then("segment")
        .otherwise(pl.col("audiences").list.eval(pl.element().replace(labels)).list.join(" + "))
        .alias("segmento"),
    )
    folder = settings.output_folder(tenant.slug) / "remarketing"
    path = write_csv(people, folder / f"remarketing_{day}{flavour.ending}", flavour)
    if path and day == settings.today(tenant.timezone):
        ops.append_actions(
            [
                Action(
                    kind="batch_delivered",
                    idempotency_key=f"batch_delivered:{day}:{customer_id}",
                    customer_id=customer_id,
                    day=day,
                    actor="crm",
                    at=settings.now(),
                )
                for customer_id in reached["customer_id"]
            ]
        )
    return Export(path, len(people), len(batch) - len(people))


def write_csv(frame: pl.DataFrame, path: Path, flavour: Format) -> Path | None:
    """Write a frame under its final name at once; an empty one leaves no file.

    Text that a spreadsheet would run as a formula gets a leading apostrophe, phones excepted.
    """
    if frame.is_empty():
        path.unlink(missing_ok=True)
        return None
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = pl.col(pl.String)
    is_formula = text.str.contains(r"^\s*[=+\-@\t\r\x00]") & ~text.str.contains(r"^\+[0-9]+$")
    guarded = frame.with_columns(
        pl.when(is_formula).then(text.str.replace("^", "'")).otherwise(text)
    )
    draft = path.with_name(f".{path.name}.tmp")
    try:
        if flavour is Format.CSV:
            guarded.write_csv(draft)
        else:
            _write_excel_csv(guarded, draft)
        put(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _write_excel_csv(frame: pl.DataFrame, path: Path) -> None:
    """UTF-8 with BOM, semicolons, decimal commas, dd/mm/yyyy, CRLF."""
    shown = frame.with_columns(
        pl.col(pl.Date).dt.strftime("%d/%m/%Y"),
        pl.selectors.decimal().cast(pl.String).str.replace(".", ",", literal=True),
    ).fill_null("")
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(shown.columns)
        writer.writerows(shown.iter_rows())


def _newly_refusing(con: duckdb.DuckDBPyConnection, ops: OpsStore) -> list[str]:
    """Customers who opted out after the snapshot was published."""
    last_id = con.execute("SELECT last_action_id FROM meta.contents").fetchall()[0][0]
    asked = ops.actions(after_id=last_id).filter(pl.col("kind") == "opt_out")
    keys = pl.concat([asked["email_key"], asked["phone_key"]]).drop_nulls().to_list()
    return [row[0] for row in con.execute(_HOLDERS, {"keys": keys}).fetchall()]


_HOLDERS = """
    SELECT customer_id FROM silver.customer_keys WHERE key IN (SELECT unnest($keys::VARCHAR[]))
    UNION
    SELECT customer_id FROM silver.customers WHERE phone IN (SELECT unnest($keys::VARCHAR[]))
"""
_MEMBERS = "FROM gold.audience_{slug} WHERE ltv > 0 ORDER BY ltv DESC, customer_id"
_BATCH = """
    SELECT batches.*, customers.segment
    FROM gold.remarketing_batches AS batches
    LEFT JOIN silver.customers AS customers USING (customer_id)
    WHERE batch_date = $day ORDER BY position
"""
