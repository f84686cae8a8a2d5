"""A published snapshot to make files from, and the people in it."""

from __future__ import annotations

import csv
import io
from datetime import date
from decimal import Decimal

import duckdb
import polars as pl
from lake import NOON, cus, frame_of, local, site

from crm_assets.checks.gold import Audience, RemarketingBatches
from crm_assets.checks.silver import Customers
from crm_assets.gold.files import Exporter
from crm_assets.gold.formats import Format
from crm_assets.gold.snapshot import serving_pointer
from crm_resources.ops import Action, OpsStore
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
        self.output = self.site.settings.output_folder("default")
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

    def exporter(self, flavour=Format.CSV, **more):
        return Exporter(self.site.settings, self.site.tenant, self.ops, flavour, **more)

    def audience(self, flavour=Format.CSV, **more):
        return self.exporter(flavour, **more).audience("ilpi")

    def remarketing(self, day=TODAY, flavour=Format.CSV, **more):
        return self.exporter(flavour, **more).remarketing(day)

    def customers(self, flavour=Format.CSV, **more):
        return self.exporter(flavour, **more).customers()

    def delivered(self):
        log = self.ops.actions()
        return log.filter(pl.col("kind") == "batch_delivered").select("day", "customer_id").rows()


def lines(path):
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))


def counts(export):
    return export.rows, export.excluded, export.lacking


ANA = {"customer_id": cus(1), "name": "Ana", "email": "ana@example.com", "phone": "+5511900000001",
       "country": "BR", "state": "SP", "ltv": Decimal("10.50")}  # fmt: skip
BIA = {**ANA, "customer_id": cus(2), "name": "Bia", "ltv": Decimal("99.00"), "state": None}
