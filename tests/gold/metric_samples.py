"""Subscriptions, sales and carts of the tests of metrics, in few words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from lake import Lake, cus, site

from crm_assets.checks.events import Carts
from crm_assets.checks.silver import Sales
from crm_assets.checks.subscriptions import SubscriptionHistory, SubscriptionPeriods, Subscriptions
from crm_assets.gold import metrics
from crm_assets.steps import Site

ZERO = Decimal("0.00")


def day(text: str) -> date:
    """A day of 2026 as `03-15`, or any day with its year."""
    return date.fromisoformat(text if len(text) > 5 else f"2026-{text}")


def money(amount: object) -> Decimal:
    return Decimal(str(amount)).quantize(Decimal("0.01"))


def stretch(
    of: int | str,
    start: str,
    end: str | None,
    mrr: object = 100,
    *,
    net: object = None,
    **more: Any,
) -> dict[str, Any]:
    """A stretch of subscription `of`, by default its own customer's, active and in reais.

    `home` is what one unit of its currency is worth; None where nobody knows.
    """
    rate = more.pop("home", 1)
    who = more.pop("who", of)
    state = more.get("state", "active")
    gross = ZERO if state == "trial" else money(mrr)
    share = ZERO if state == "trial" else money(mrr if net is None else net)
    return {
        "subscriber_code": f"SUB{of}",
        "customer_id": cus(int(who)) if str(who).isdigit() else who,
        "product_id": "1",
        "from_day": day(start),
        "to_day": day(end) if end else None,
        "state": state,
        "is_committed": state in {"active", "delayed"},
        "currency": "BRL",
        "mrr_gross": gross,
        "mrr_net": share,
        "mrr_gross_home": None if rate is None else money(gross * Decimal(str(rate))),
        "mrr_net_home": None if rate is None else money(share * Decimal(str(rate))),
        **more,
    }


class Metrics:
    """A lake whose metrics are made from stretches, sales, carts and history."""

    def __init__(self, today: str = "03-15") -> None:
        self.lake = Lake()
        self.today = day(today)
        self.put()

    def put(
        self,
        *stretches: dict[str, Any],
        sales: Any = (),
        carts: Any = (),
        history: Any = (),
    ) -> Metrics:
        """Write the silver tables, and nothing else of them."""
        codes = {row["subscriber_code"]: row["currency"] for row in stretches}
        subscriptions = [
            {
                "subscriber_code": code,
                "currency": currency,
                "segment": "ativa",
                "source": "api",
                **dict.fromkeys(("is_trial", "is_at_risk", "is_at_risk_inactive"), False),
                "is_archived": False,
            }
            for code, currency in codes.items()
        ]
        self.lake.put("silver.subscription_periods", SubscriptionPeriods, *stretches)
        self.lake.put("silver.subscriptions", Subscriptions, *subscriptions)
        self.lake.put("silver.subscription_history", SubscriptionHistory, *history)
        self.lake.put("silver.sales", Sales, *sales)
        self.lake.put("silver.carts", Carts, *carts)
        return self

    @property
    def site(self) -> Site:
        noon = datetime.combine(self.today, datetime.min.time(), UTC) + timedelta(hours=15)
        return site(noon)

    def run(self, run_id: str = "run") -> Metrics:
        """What the step does, its checks included."""
        self.make()
        metrics._write(self.site, [self.today], run_id, self.lake.tx)
        self.check()
        return self

    def make(self) -> None:
        """The fresh tables."""
        here = self.site
        metrics.make(self.lake.tx, here.settings.now(), here.today(), here.tenant.currency)

    def on(self, today: str) -> Metrics:
        """The same lake on another day."""
        self.today = day(today)
        return self

    def check(self) -> None:
        for table in metrics.TABLES:
            assert self.lake.keeps(table.name, table.contract), table.name
        assert metrics._movements_add_up(self.lake.tx).passed
        assert metrics._closings_match(self.lake.tx).passed
        assert metrics._recounted(self.site, self.lake.tx).passed
        assert metrics._revenue_matches(self.site, self.lake.tx).passed

    def level(self, on: str, currency: str = "BRL") -> dict[str, Any]:
        """The row of a day, `{}` where there is none."""
        sql = "FROM gold.subscription_metrics WHERE day = ? AND currency = ?"
        return (self.lake.rows(sql, [day(on), currency]) or [{}])[0]

    def moved(self, grain: str, start: str, currency: str = "BRL") -> dict[str, Any]:
        """What a period's movements were, without zeros and levels; counts are of customers."""
        row = self.row("gold.mrr_movements", grain, start, currency)
        named = {
            name.removesuffix("_gross").removesuffix("_customers"): value
            for name, value in row.items()
            if name.endswith("_gross") and value
        }
        return {n: v for n, v in named.items() if n not in {"opening", "closing"}}

    def row(self, table: str, grain: str, start: str, currency: str = "BRL") -> dict[str, Any]:
        sql = f"FROM {table} WHERE grain = ? AND period_start = ? AND currency = ?"
        return (self.lake.rows(sql, [grain, day(start), currency]) or [{}])[0]
