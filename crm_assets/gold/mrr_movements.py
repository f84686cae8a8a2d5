"""What moved recurring revenue, how much of it was lost, what a subscriber is worth (rules 6.2).

What belongs here: the SQL of `gold.mrr_movements`, `gold.churn` and `gold.subscription_ltv`.
Movements of money and customers are those of customers, from one day to the next; the headline
counts subscriptions. Weeks begin on Monday. A subscription that ran to the end of its term has
`ended`, apart from churn (rules 6.3). What was bought and lost on one day moves both ways on it:
new and churn (rules 6.2), or expansion and contraction of who paid for something else before or
after. In every row, opening + new + reactivation + expansion + fx − contraction − churn − ended =
closing.
"""

from __future__ import annotations

from datetime import date

from crm_assets.gold.periods import HOME, UNKNOWN, each_grain, is_partial, rate
from crm_assets.gold.subscription_metrics import BOOKS, KINDS
from crm_resources.warehouse import Transaction

GAINS: tuple[str, ...] = ("new", "reactivation", "expansion", "fx")
LOSSES: tuple[str, ...] = ("contraction", "churn", "ended")
"""Movements of money, all above zero but `fx`, which goes both ways."""

ARRIVALS: tuple[str, ...] = ("new", "reactivated")
DEPARTURES: tuple[str, ...] = ("churned", "ended")
"""Movements of subscriptions and of customers."""

COUNTED = ("subscriptions", "customers")

CHURN_MONTHS = 6
"""Months before the one at hand, whose mean churn tells how long a subscriber stays."""


def make_movements(tx: Transaction, today: date) -> None:
    """Make `fresh_mrr_movements`; needs `stretches`, `customer_moves` and `levels`."""
    tx.execute(_SUBSCRIPTION_MOVES)
    tx.execute(_MOVES)
    tx.execute(_MOVEMENTS, {"today": today})


def make_churn(tx: Transaction, today: date) -> None:
    """Make `fresh_churn` from the movements, and from the cancellations that people asked for.

    Rates are parts of what there was when the period began, empty when that was nothing: of
    subscriptions (the headline), of customers, and of revenue before and after what the remaining
    customers added (gold-metrics 2.3). Hotmart's own divides the cancellations asked for in the
    period by the subscriptions on time and late at its end.
    """
    tx.execute(_CHURN, {"today": today})


def make_ltv(tx: Transaction, today: date) -> None:
    """Make `fresh_subscription_ltv`: per month, what was paid so far, and ARPA ÷ mean churn.

    The mean is that of the six months before; without churn in them a subscriber would stay for
    ever, and the figure is empty.
    """
    tx.execute(_LTV, {"today": today})


_SUBSCRIPTION_MOVES = f"""
    CREATE OR REPLACE TEMP TABLE subscription_moves AS
    WITH books AS (
        SELECT currency AS book, subscriber_code, from_day, to_day, ended_by
        FROM stretches WHERE state <> 'trial'
        UNION ALL
        SELECT '{HOME}', subscriber_code, from_day, to_day, ended_by
        FROM stretches WHERE state <> 'trial'
    ), linked AS (
        SELECT *, lag(to_day) OVER life IS DISTINCT FROM from_day AS begins,
               row_number() OVER life = 1 AS is_first,
               to_day IS NOT NULL AND lead(from_day) OVER life IS DISTINCT FROM to_day AS stops
        FROM books WINDOW life AS (PARTITION BY book, subscriber_code ORDER BY from_day)
    )
    SELECT book, from_day AS day, count(*) FILTER (is_first) AS new_subscriptions,
           count(*) FILTER (NOT is_first) AS reactivated_subscriptions,
           0 AS churned_subscriptions, 0 AS ended_subscriptions
    FROM linked WHERE begins GROUP BY ALL
    UNION ALL
    SELECT book, to_day, 0, 0, count(*) FILTER (ended_by IS DISTINCT FROM 'fim_de_ciclo'),
           count(*) FILTER (ended_by = 'fim_de_ciclo')
    FROM linked WHERE stops GROUP BY ALL
"""
_NEW = "before = 0 AND is_first"
_BACK = "before = 0 AND NOT is_first"
_STAYS = "before > 0 AND after > 0"
_LOST = "after = 0 AND lost > 0"
_ENDED = "after = 0 AND lost = 0"


def _money_moves(kind: str, suffix: str) -> str:
    """The movements of one kind of money on a day; what a rate did stands in `fx`."""
    fx = f"fx_{kind}" if suffix else "0"
    change, brief = f"{kind}{suffix}", f"brief_{kind}{suffix}"
    own = f"CASE WHEN {_STAYS} THEN {change} - {fx} ELSE 0 END"
    return f"""
        sum({change} + {brief}) FILTER ({_NEW}) AS new_{kind},
        sum({change} + {brief}) FILTER ({_BACK}) AS reactivation_{kind},
        sum(greatest({own}, 0) + {brief}) FILTER (before > 0) AS expansion_{kind},
        sum({fx}) AS fx_{kind},
        sum(greatest(-({own}), 0) + {brief}) FILTER (after > 0) AS contraction_{kind},
        sum({brief} - {change}) FILTER ({_LOST}) AS churn_{kind},
        sum({brief} - {change}) FILTER ({_ENDED}) AS ended_{kind}
    """


def _moves_of(book: str, rows: str, suffix: str) -> str:
    return f"""
        SELECT {book} AS book, day,
               count(*) FILTER ({_NEW}) AS new_customers,
               count(*) FILTER ({_BACK}) AS reactivated_customers,
               count(*) FILTER ({_LOST}) AS churned_customers,
               count(*) FILTER ({_ENDED}) AS ended_customers,
               {", ".join(_money_moves(kind, suffix) for kind in KINDS)}
        FROM customer_moves WHERE {rows} GROUP BY ALL
    """


_MOVES = f"""
    CREATE OR REPLACE TEMP TABLE moves AS
    {" UNION ALL BY NAME ".join(_moves_of(book, *which) for book, which in BOOKS.items())}
    UNION ALL BY NAME
    FROM subscription_moves
"""


def _movements_sql() -> str:
    counted = [f"{move}_{what}" for what in COUNTED for move in (*ARRIVALS, *DEPARTURES)]
    money = [f"{move}_{kind}" for kind in KINDS for move in (*GAINS, *LOSSES)]
    level = {
        **{what: (what, "BIGINT") for what in COUNTED},
        **{kind: (f"mrr_{kind}", "DECIMAL(18, 2)") for kind in KINDS},
    }
    before = [
        f"lag({column}, 1, 0) OVER (PARTITION BY book ORDER BY day) AS before_{name}"
        for name, (column, _) in level.items()
    ]
    sums = ", ".join(f"sum({name}) AS {name}" for name in [*counted, *money])
    columns = []
    for name, (column, kind) in level.items():
        mine = [move for move in [*counted, *money] if move.endswith(f"_{name}")]
        columns += [
            f"arg_min(before_{name}, day)::{kind} AS opening_{name}",
            *(f"coalesce(sum({move}), 0)::{kind} AS {move}" for move in mine),
            f"arg_max({column}, day)::{kind} AS closing_{name}",
        ]
    return f"""
        CREATE OR REPLACE TEMP TABLE fresh_mrr_movements AS
        WITH moved AS (
            SELECT book, day, {sums} FROM moves GROUP BY ALL
        ), days AS (
            SELECT *, {", ".join(before)} FROM levels LEFT JOIN moved USING (book, day)
        ), periods AS ({each_grain("days")})
        SELECT grain, period_start, book AS currency, {is_partial("$today")} AS is_partial,
               {", ".join(columns)}
        FROM periods GROUP BY grain, period_start, book ORDER BY ALL
    """


_MOVEMENTS = _movements_sql()
_REQUESTS = """
    SELECT subscriber_code, valid_from::DATE AS day
    FROM (
        SELECT *, lag(status) OVER life AS status_before
        FROM silver.subscription_history
        WINDOW life AS (PARTITION BY subscriber_code ORDER BY valid_from)
    )
    WHERE starts_with(status, 'CANCELLED')
      AND NOT starts_with(coalesce(status_before, ''), 'CANCELLED')
"""
_CHURN = f"""
    CREATE OR REPLACE TEMP TABLE fresh_churn AS
    WITH asked AS (
        SELECT coalesce(currency, '{UNKNOWN}') AS currency, day, count(*) AS requests
        FROM ({_REQUESTS}) JOIN silver.subscriptions USING (subscriber_code)
        WHERE day <= $today GROUP BY ALL
    ), booked AS (
        FROM asked
        UNION ALL
        SELECT '{HOME}', day, requests FROM asked
    ), requested AS (
        SELECT grain, period_start, currency, sum(requests)::BIGINT AS requests
        FROM ({each_grain("booked")}) GROUP BY ALL
    ), current AS (
        SELECT grain, period_start, book AS currency,
               arg_max(active + delayed, day)::BIGINT AS current_subscriptions
        FROM ({each_grain("levels")}) GROUP BY ALL
    )
    SELECT grain, period_start, currency, is_partial,
           opening_subscriptions, churned_subscriptions, ended_subscriptions,
           {rate("churned_subscriptions", "opening_subscriptions")} AS churn_rate,
           opening_customers, churned_customers,
           {rate("churned_customers", "opening_customers")} AS customer_churn_rate,
           {
    ", ".join(
        f"{rate(lost, f'opening_{kind}')} AS {which}_{name}_churn"
        for kind, name in (("gross", "revenue"), ("net", "commission"))
        for which, lost in (
            ("gross", f"churn_{kind} + contraction_{kind}"),
            (
                "net",
                f"churn_{kind} + contraction_{kind} - expansion_{kind} - reactivation_{kind}",
            ),
        )
    )
},
           coalesce(requests, 0)::BIGINT AS cancellations_requested, current_subscriptions,
           {rate("coalesce(requests, 0)", "current_subscriptions")} AS hotmart_rate
    FROM fresh_mrr_movements
    JOIN current USING (grain, period_start, currency)
    LEFT JOIN requested USING (grain, period_start, currency)
    ORDER BY ALL
"""
# Paid by the end of the month and not given back by then; what was partly given back or is in
# dispute has no amount that could be told (rules 1.6).
_LTV = f"""
    CREATE OR REPLACE TEMP TABLE fresh_subscription_ltv AS
    WITH charges AS (
        SELECT customer_id, paid_at::DATE AS paid_on,
               CASE WHEN is_refunded THEN coalesce(refunded_at, paid_at)::DATE END AS returned_on,
               coalesce(currency, '{UNKNOWN}') AS currency, gross,
               CASE WHEN net_currency = currency THEN net END AS net, value, net_value
        FROM silver.sales
        WHERE is_purchase AND is_subscription AND status_class NOT IN ('partial', 'disputed')
          AND coalesce(payment_mode, 'SUBSCRIPTION') = 'SUBSCRIPTION'
    ), books AS (
        SELECT currency, customer_id, paid_on, returned_on, gross, net FROM charges
        UNION ALL
        SELECT '{HOME}', customer_id, paid_on, returned_on, value, net_value FROM charges
    ), ledger AS (
        SELECT currency, customer_id, date_trunc('month', paid_on)::DATE AS month, 1 AS sign,
               gross, net
        FROM books WHERE paid_on <= $today
        UNION ALL
        SELECT currency, customer_id, date_trunc('month', returned_on)::DATE, -1, gross, net
        FROM books WHERE returned_on <= $today
    ), customers AS (
        SELECT currency, customer_id, min(month) AS month, min(sign) AS least
        FROM ledger GROUP BY ALL
    ), balances AS (
        SELECT *, sum(charges) OVER (PARTITION BY currency, customer_id ORDER BY month) AS held
        FROM (
            SELECT currency, customer_id, month, sum(sign) AS charges
            FROM ledger SEMI JOIN (FROM customers WHERE least < 0) USING (currency, customer_id)
            GROUP BY ALL
        )
    ), by_month AS (
        SELECT currency, month, sum(sign * gross) AS gross, sum(sign * net) AS net, 0 AS payers
        FROM ledger GROUP BY ALL
        UNION ALL
        SELECT currency, month, 0, 0, count(*) FROM customers WHERE least > 0 GROUP BY ALL
        UNION ALL
        SELECT currency, month, 0, 0,
               count(*) FILTER (held > 0 AND held <= charges)
               - count(*) FILTER (held <= 0 AND held > charges)
        FROM balances GROUP BY ALL
    ), months AS (
        SELECT currency, period_start, is_partial, closing_customers, closing_gross, closing_net,
               {rate("churned_customers", "opening_customers")} AS churn_rate
        FROM fresh_mrr_movements WHERE grain = 'month'
    ), told AS (
        SELECT months.currency, period_start, is_partial, closing_customers, churn_rate,
               coalesce(sum(gross), 0)::DECIMAL(18, 2) AS historic_gross,
               coalesce(sum(net), 0)::DECIMAL(18, 2) AS historic_net,
               coalesce(sum(payers), 0)::BIGINT AS payers,
               {
    ", ".join(
        f"CASE WHEN closing_customers > 0 "
        f"THEN (closing_{kind} / closing_customers)::DECIMAL(18, 2) END AS arpa_{kind}"
        for kind in KINDS
    )
}
        FROM months
        LEFT JOIN by_month
            ON by_month.currency = months.currency AND by_month.month <= months.period_start
        GROUP BY ALL
    ), averaged AS (
        SELECT *, avg(churn_rate) OVER earlier AS mean_churn
        FROM told WINDOW earlier AS (
            PARTITION BY currency ORDER BY period_start
            RANGE BETWEEN INTERVAL {CHURN_MONTHS} MONTH PRECEDING AND INTERVAL 1 MONTH PRECEDING
        )
    )
    SELECT period_start AS month, currency, is_partial, payers AS paying_customers_ever,
           historic_gross, historic_net,
           {
    ", ".join(
        f"CASE WHEN payers > 0 THEN (historic_{kind} / payers)::DECIMAL(18, 2) END "
        f"AS historic_ltv_{kind}"
        for kind in KINDS
    )
},
           closing_customers AS customers, arpa_gross, arpa_net, mean_churn,
           {
    ", ".join(
        f"CASE WHEN mean_churn > 0 THEN (arpa_{kind} / mean_churn)::DECIMAL(18, 2) END "
        f"AS ltv_{kind}"
        for kind in KINDS
    )
}
    FROM averaged ORDER BY ALL
"""
