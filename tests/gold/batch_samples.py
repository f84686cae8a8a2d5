"""Silver as the batch of the day reads it, and the rounds that select from it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
from lake import Lake, cus, local, site

from crm_assets.checks.gold import RemarketingBatches
from crm_assets.checks.silver import ContactHistory, Customers, Sales
from crm_assets.gold.remarketing import _outside_windows, _within_limit, _write

D = date(2026, 3, 15)
LOG = pl.Schema(
    {"kind": pl.String, "day": pl.Date, "customer_id": pl.String}
    | {"id": pl.Int64, "idempotency_key": pl.String}
)


def days_before(days, at="12:00"):
    return local(f"{D - timedelta(days=days)} {at}")


def person(number, **fields):
    return {"customer_id": cus(number), "phone": f"+55119{number:08}", **fields}


def bought(paid_at, **fields):
    return {
        "sale_id": "s",
        "order_id": "o",
        "customer_id": cus(1),
        "gross": Decimal("10.00"),
        "paid_at": paid_at,
        **fields,
    }


class House(Lake):
    """Silver as the batch reads it, and the action log."""

    def __init__(self, *people, sales=(), history=()):
        super().__init__()
        self.log: list[tuple] = []
        self.people(*people)
        self.put("silver.sales", Sales, *sales)
        self.put("silver.contact_history", ContactHistory, *history)

    def people(self, *people):
        self.put("silver.customers", Customers, *people)
        self.tx.execute("DELETE FROM silver.customer_ids")
        for row in people:
            self.redirect(row["customer_id"], row["customer_id"])

    def redirect(self, old, survivor):
        self.tx.execute("DELETE FROM silver.customer_ids WHERE customer_id = ?", [old])
        self.tx.execute(
            "INSERT INTO silver.customer_ids VALUES (?, 'x', now(), ?)", [old, survivor]
        )

    def say(self, kind, number, day=D):
        self.log.append((kind, day, cus(number)))

    def round(self, now=None, days=None, **rules):
        """One refine run; returns the ids of the day's batch in their order."""
        tenant = site(now or local(f"{D} 09:00"), remarketing=rules)
        today = tenant.settings.today(tenant.tenant.timezone)
        numbered = ((*said, number, "") for number, said in enumerate(self.log, start=1))
        log = pl.DataFrame(list(numbered), schema=LOG, orient="row")
        self.told = _write(tenant, days or [today], today, log, self.tx)
        assert self.keeps("gold.remarketing_batches", RemarketingBatches)
        assert _within_limit(self.tx).passed
        assert _outside_windows(tenant.tenant.remarketing, self.tx).passed
        return self.batch(today)

    def batch(self, day=D):
        ids = self.column(
            """
            SELECT customer_id FROM gold.remarketing_batches WHERE batch_date = ?
            ORDER BY position
            """,
            [day],
        )
        return [int(found.removeprefix("cus_"), 16) for found in ids]

    def statuses(self, day=D):
        return self.column(
            "SELECT status FROM gold.remarketing_batches WHERE batch_date = ? ORDER BY position",
            [day],
        )
