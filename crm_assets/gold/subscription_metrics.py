"""How many subscriptions there are on each day, and what they are worth a month (rules 6.1, 6.3).

What belongs here: the SQL of `gold.subscription_metrics`, from the stretches of days in which a
subscription's figures stand still. Every currency is a book of its own, and the book `home` is the
whole house in the tenant's currency. A level is a running sum of what begins and ends at the edges
of the stretches, so that three years of days cost no more than the stretches themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from crm_assets.gold.periods import HOME, UNKNOWN
from crm_resources.warehouse import Transaction

COUNTS: Mapping[str, str] = {
    "trial": "state = 'trial'",
    "active": "state = 'active'",
    "delayed": "state = 'delayed'",
    "cancelled_paid": "state = 'cancelled'",
    "at_risk": "state IN ('delayed', 'cancelled')",
    "subscriptions": "state <> 'trial'",
}
"""Subscriptions counted on a day: column → which."""

SUMS: Mapping[str, str] = {
    "mrr": "state <> 'trial'",
    "committed_mrr": "is_committed",
    "at_risk_mrr": "NOT is_committed OR state = 'delayed'",
}
"""Monthly revenue summed on a day, gross and net: column → of which."""

KINDS = ("gross", "net")
"""What the buyer pays, and the own commission of it."""


def read_stretches(tx: Transaction, today: date) -> None:
    """Make the temporary table `stretches`: what began by `today`, without what it cannot know.

    An end after today is none yet. Who has no customer is one by the subscription itself. A
    subscription whose amount by month is not known counts with nothing, as `is_unpriced`.
    """
    tx.execute(_STRETCHES, {"today": today})


def read_customer_moves(tx: Transaction, home: str) -> None:
    """Make the temporary table `customer_moves`: each day on which a customer pays otherwise.

    Per customer and day: paying subscriptions `before` and `after`, whether it is the first day,
    by how much the amounts changed, the part of it in the house's book that only the exchange
    rate moved, and in `brief` what came and went within the day. `lost` counts ends that are no
    end of term. `BOOKS` says which rows are of which book.

    Args:
        tx: after `read_stretches`.
        home: the tenant's currency.
    """
    tx.execute(_CUSTOMER_MOVES, {"home": home})


def read_levels(tx: Transaction, today: date) -> None:
    """Make the temporary table `levels`: every figure of every book on every day up to `today`.

    Needs `stretches` and `customer_moves`.
    """
    tx.execute(_LEVELS, {"today": today})


def make_subscription_metrics(tx: Transaction, today: date) -> None:
    """Make `fresh_subscription_metrics` of the `levels`; the present day may still change."""
    tx.execute(_METRICS, {"today": today})


def recount(tx: Transaction, day: date) -> dict[str, tuple[object, ...]]:
    """The figures of one day by book, counted straight from the stretches: the slow, plain way."""
    rows = tx.read(_RECOUNT, {"day": day}).rows()
    return {book: tuple(figures) for book, *figures in rows}


RECOUNTED = ("subscriptions", "customers", "mrr_gross", "mrr_net")
"""What `recount` gives, in its order."""

_STRETCHES = f"""
    CREATE OR REPLACE TEMP TABLE stretches AS
    SELECT subscriber_code,
           coalesce(customer_id, subscriber_code) AS customer_id,
           coalesce(currency, '{UNKNOWN}') AS currency,
           from_day,
           CASE WHEN to_day <= $today THEN to_day END AS to_day,
           state, is_committed, ended_by,
           coalesce(mrr_gross, 0) AS gross,
           coalesce(mrr_net, 0) AS net,
           coalesce(mrr_gross_home, 0) AS gross_home,
           coalesce(mrr_net_home, 0) AS net_home,
           mrr_gross > 0 AND mrr_gross_home IS NULL AS is_unconverted,
           mrr_gross IS NULL AND state <> 'trial' AS is_unpriced,
           state <> 'trial' AND (gross > 0 OR net > 0) AS is_paying
    FROM silver.subscription_periods WHERE from_day <= $today
"""
# Only a foreign amount moves with a rate: what it was worth before, at the rate of today.
_FX = """
    SELECT customer_id, currency, from_day AS day, {effects}
    FROM (
        SELECT *, {before}, lag(to_day) OVER life AS ended_on, lag(currency) OVER life AS paid_in
        FROM stretches WHERE is_paying AND currency <> $home
        WINDOW life AS (PARTITION BY subscriber_code ORDER BY from_day)
    ) WHERE ended_on = from_day AND paid_in = currency
""".format(
    before=", ".join(
        f"lag({column}) OVER life AS {column}_before"
        for kind in KINDS
        for column in (kind, f"{kind}_home")
    ),
    effects=", ".join(
        f"CASE WHEN {kind}_home > 0 AND {kind}_home_before > 0 AND {kind} > 0 THEN "
        f"({kind}_before * {kind}_home / {kind})::DECIMAL(18, 2) - {kind}_home_before "
        f"ELSE {kind}_home - {kind}_home_before END AS fx_{kind}"
        for kind in KINDS
    ),
)
_EDGES = """
    SELECT customer_id, currency, from_day AS day, 1 AS paying, 0 AS lost,
           gross, net, gross_home, net_home
    FROM stretches WHERE is_paying
    UNION ALL BY NAME
    SELECT customer_id, currency, to_day AS day, -1 AS paying,
           (ended_by IS DISTINCT FROM 'fim_de_ciclo')::INTEGER AS lost,
           -gross AS gross, -net AS net, -gross_home AS gross_home, -net_home AS net_home
    FROM stretches WHERE is_paying AND to_day IS NOT NULL
    UNION ALL BY NAME
    SELECT customer_id, currency, from_day AS day, gross AS brief_gross, net AS brief_net,
           gross_home AS brief_gross_home, net_home AS brief_net_home
    FROM stretches WHERE is_paying AND to_day = from_day
    UNION ALL BY NAME
    FROM foreign_rates
"""
_SUMMED = ", ".join(
    f"coalesce(sum({name}), 0)::{kind} AS {name}"
    for kind, names in {
        "INTEGER": ("paying", "lost"),
        "DECIMAL(18, 2)": (
            *(
                f"{part}{kind}{book}"
                for part in ("", "brief_")
                for kind in KINDS
                for book in ("", "_home")
            ),
            *(f"fx_{kind}" for kind in KINDS),
        ),
    }.items()
    for name in names
)
_PAYING = """
    sum(paying) OVER life AS after, after - paying AS before, row_number() OVER life = 1 AS is_first
"""
# Nearly everybody pays in one currency, and is then the same in its book and in that of the house.
_CUSTOMER_MOVES = f"""
    CREATE OR REPLACE TEMP TABLE customer_moves AS
    WITH foreign_rates AS ({_FX}), edges AS ({_EDGES}), house AS (
        SELECT customer_id, day, {_SUMMED}, min(currency) AS least, max(currency) AS most
        FROM edges GROUP BY ALL
    ), lives AS (
        SELECT * EXCLUDE (least, most), {_PAYING},
               CASE WHEN min(least) OVER whole = max(most) OVER whole THEN least END AS currency
        FROM house
        WINDOW life AS (PARTITION BY customer_id ORDER BY day),
               whole AS (PARTITION BY customer_id)
    ), several AS (
        SELECT currency, customer_id, day, {_SUMMED}
        FROM edges SEMI JOIN (FROM lives WHERE currency IS NULL) USING (customer_id) GROUP BY ALL
    )
    SELECT *, true AS in_house FROM lives
    UNION ALL BY NAME
    SELECT *, {_PAYING}, false AS in_house
    FROM several WINDOW life AS (PARTITION BY currency, customer_id ORDER BY day)
"""
BOOKS = {"currency": ("currency IS NOT NULL", ""), f"'{HOME}'": ("in_house", "_home")}
"""The books of `customer_moves`: name → its rows, and what its amounts' names end in."""


def _levels_sql() -> str:
    counts = {**COUNTS, "unpriced": "is_unpriced"}
    counted = [f"sum(sign) FILTER ({which}) AS {name}" for name, which in counts.items()]
    money = [
        f"sum(sign * {kind}{{suffix}}) FILTER ({which}) AS {name}_{kind}"
        for name, which in SUMS.items()
        for kind in KINDS
    ]
    named = [*counts, "unconverted", *(f"{name}_{kind}" for name in SUMS for kind in KINDS)]
    figures = ", ".join([*counted, "{unconverted} AS unconverted", *money])
    return f"""
        CREATE OR REPLACE TEMP TABLE levels AS
        WITH edges AS (
            SELECT *, from_day AS day, 1 AS sign FROM stretches
            UNION ALL
            SELECT *, to_day AS day, -1 AS sign FROM stretches WHERE to_day IS NOT NULL
        ), changes AS (
            SELECT currency AS book, day, {figures.format(suffix="", unconverted="0")}
            FROM edges GROUP BY ALL
            UNION ALL BY NAME
            SELECT '{HOME}' AS book, day, {
        figures.format(
            suffix="_home", unconverted="sum(sign) FILTER (is_unconverted AND state <> 'trial')"
        )
    }
            FROM edges GROUP BY ALL
        ), customers AS (
            {
        " UNION ALL ".join(
            f"SELECT {book} AS book, day, count(*) FILTER (before = 0) "
            f"- count(*) FILTER (after = 0) AS customers "
            f"FROM customer_moves WHERE {rows} AND (before = 0 OR after = 0) GROUP BY ALL"
            for book, (rows, _) in BOOKS.items()
        )
    }
        ), days AS (
            SELECT book, unnest(range(min(day), $today::DATE + 1, INTERVAL 1 DAY))::DATE AS day
            FROM changes GROUP BY book
        )
        SELECT book, day,
               {", ".join(f"coalesce(sum({name}) OVER life, 0) AS {name}" for name in named)},
               coalesce(sum(customers) OVER life, 0) AS customers
        FROM days LEFT JOIN changes USING (book, day) LEFT JOIN customers USING (book, day)
        WINDOW life AS (PARTITION BY book ORDER BY day)
    """


_LEVELS = _levels_sql()
_METRICS = f"""
    CREATE OR REPLACE TEMP TABLE fresh_subscription_metrics AS
    SELECT day, book AS currency, day >= $today AS is_partial,
           {", ".join(f"{name}::BIGINT AS {name}" for name in (*COUNTS, "customers"))},
           {
    ", ".join(f"{name}_{kind}::DECIMAL(18, 2) AS {name}_{kind}" for name in SUMS for kind in KINDS)
},
           {", ".join(f"(12 * mrr_{kind})::DECIMAL(18, 2) AS arr_{kind}" for kind in KINDS)},
           unconverted::BIGINT AS unconverted, unpriced::BIGINT AS unpriced
    FROM levels ORDER BY day, book
"""
_RECOUNTED = """
    count(*) FILTER (state <> 'trial'), count(DISTINCT customer_id) FILTER (is_paying),
    coalesce(sum(gross{suffix}) FILTER (state <> 'trial'), 0),
    coalesce(sum(net{suffix}) FILTER (state <> 'trial'), 0)
"""
_RECOUNT = f"""
    WITH on_day AS (
        FROM stretches WHERE from_day <= $day AND coalesce(to_day > $day, true)
    )
    SELECT currency, {_RECOUNTED.format(suffix="")} FROM on_day GROUP BY currency
    UNION ALL
    SELECT '{HOME}', {_RECOUNTED.format(suffix="_home")} FROM on_day HAVING count(*) > 0
"""
