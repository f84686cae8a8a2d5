"""How subscriptions end: cancellations, refunds, terms, and what does not end them (rules 6.2)."""

from __future__ import annotations

import pytest
from lake import local
from subscription_samples import (
    DELAY,
    MONTHLY,
    cancel,
    event,
    noon,
    paid,
    plan,
    reading,
    telling,
)

STORIES = {
    "a trial cancelled runs to its end": (
        "2026-01-20",
        [
            reading(
                "2026-01-19",
                "CANCELLED_BY_CUSTOMER",
                is_trial=True,
                accession_at=noon("2026-01-05"),
                cancel_requested_at=noon("2026-01-08"),
                next_charge_at=noon("2026-01-12"),
            )
        ],
        [
            ("2026-01-05", "2026-01-08", "trial", "0.00", None),
            ("2026-01-08", "2026-01-12", "trial (pedido)", "0.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED_BY_CUSTOMER", "2026-01-08")],
    ),
    "cancelled, it counts as long as it is paid": (
        "2026-03-10",
        [paid("2026-01-05"), cancel("2026-01-20", "2026-02-05"), MONTHLY],
        [
            ("2026-01-05", "2026-01-20", "active", "100.00", None),
            ("2026-01-20", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-20")],
    ),
    "the API says by whom": (
        "2026-03-10",
        [
            paid("2026-01-05"),
            cancel("2026-01-20", "2026-02-05"),
            reading(
                "2026-01-21",
                "CANCELLED_BY_SELLER",
                cancel_requested_at=noon("2026-01-20"),
                next_charge_at=noon("2026-02-05"),
            ),
        ],
        [
            ("2026-01-05", "2026-01-20", "active", "100.00", None),
            ("2026-01-20", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED_BY_SELLER", "2026-01-20")],
    ),
    "cancelled while late, it ends at once": (
        "2026-03-10",
        [
            paid("2026-01-05"),
            event(DELAY, "2026-02-05"),
            cancel("2026-02-12", "2026-02-05"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-02-05", "active", "100.00", None),
            ("2026-02-05", "2026-02-12", "delayed", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("DELAYED", "2026-02-05"), ("CANCELLED", "2026-02-12")],
    ),
    "cancelled and reactivated without a charge": (
        "2026-02-01",
        [paid("2026-01-05"), cancel("2026-01-10", "2026-02-05"), reading("2026-01-20")],
        [
            ("2026-01-05", "2026-01-10", "active", "100.00", None),
            ("2026-01-10", "2026-01-20", "cancelled (pedido)", "100.00", None),
            ("2026-01-20", None, "active", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10"), ("ACTIVE", "2026-01-20")],
    ),
    "cancelled and back by a payment": (
        "2026-04-20",
        [
            paid("2026-01-05"),
            cancel("2026-01-10", "2026-02-05"),
            paid("2026-04-01", 2, "80.00"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-01-10", "active", "100.00", None),
            ("2026-01-10", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
            ("2026-04-01", None, "active", "80.00", None),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10"), ("ACTIVE", "2026-04-01")],
    ),
    "a late failure of a charge does not undo a cancellation": (
        "2026-02-20",
        [
            paid("2026-01-05"),
            cancel("2026-01-10", "2026-02-05"),
            event(DELAY, "2026-02-06"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-01-10", "active", "100.00", None),
            ("2026-01-10", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10")],
    ),
    "the end of the guarantee does not undo one either": (
        "2026-02-20",
        [
            paid("2026-01-05"),
            cancel("2026-01-10", "2026-02-05"),
            event("PURCHASE_COMPLETE", "2026-01-15", transaction="HP1"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-01-10", "active", "100.00", None),
            ("2026-01-10", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10")],
    ),
    "the first recurrence refunded": (
        "2026-02-20",
        [
            paid("2026-01-05", refunded="2026-01-10"),
            cancel("2026-01-11", "2026-02-05"),
            MONTHLY,
        ],
        [("2026-01-05", "2026-01-10", "active", "100.00", "refunded")],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10")],
    ),
    "the first one refunded after the second was paid": (
        "2026-02-20",
        [paid("2026-01-05", refunded="2026-02-08"), paid("2026-02-05", 2), MONTHLY],
        [("2026-01-05", "2026-02-08", "active", "100.00", "refunded")],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-02-08")],
    ),
    "the present recurrence refunded, and the next one paid": (
        "2026-03-20",
        [
            paid("2026-01-05"),
            paid("2026-02-05", 2, refunded="2026-02-10"),
            paid("2026-03-05", 3),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-02-10", "active", "100.00", "refunded"),
            ("2026-03-05", None, "active", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05")],
    ),
    "an old recurrence refunded changes no day": (
        "2026-03-20",
        [
            paid("2026-01-05"),
            paid("2026-02-05", 2, refunded="2026-03-10"),
            paid("2026-03-05", 3),
            MONTHLY,
        ],
        [("2026-01-05", None, "active", "100.00", None)],
        [("ACTIVE", "2026-01-05")],
    ),
    "refunded at a date nobody knows": (
        "2026-03-20",
        [paid("2026-01-05", refunded="2026-01-10", refunded_at=None), MONTHLY],
        [],
        [],
    ),
    "a plan of two charges ends": (
        "2026-04-20",
        [
            paid("2026-01-05"),
            paid("2026-02-05", 2),
            plan(max_charge_cycles=2),
        ],
        [("2026-01-05", "2026-03-05", "active", "100.00", "fim_de_ciclo")],
        [("ACTIVE", "2026-01-05"), ("OVERDUE", "2026-03-05")],
    ),
    "the API says that the term is over": (
        "2026-04-20",
        [paid("2026-01-05"), reading("2026-02-06", "OVERDUE")],
        [("2026-01-05", "2026-02-06", "active", "100.00", "fim_de_ciclo")],
        [("ACTIVE", "2026-01-05"), ("OVERDUE", "2026-02-06")],
    ),
    "refunded when nobody knows, it is not supposed to have run": (
        "2026-01-20",
        [
            paid("2026-01-05", refunded="2026-01-10", refunded_at=None),
            reading(
                "2026-01-19",
                "CANCELLED_BY_CUSTOMER",
                accession_at=noon("2026-01-05"),
                cancel_requested_at=noon("2026-01-10"),
                next_charge_at=noon("2026-02-05"),
            ),
        ],
        [],
        [("CANCELLED_BY_CUSTOMER", "2026-01-10")],
    ),
    "an old subscription refunded does not end the new one": (
        "2026-03-20",
        [
            paid("2026-01-05", refunded="2026-03-10"),
            cancel("2026-01-20", "2026-02-05"),
            paid("2026-03-05", 1, transaction="HPNEW"),
            plan(),
        ],
        [
            ("2026-01-05", "2026-01-20", "active", "100.00", None),
            ("2026-01-20", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
            ("2026-03-05", None, "active", "100.00", None),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-20"), ("ACTIVE", "2026-03-05")],
    ),
    "bought and refunded on one day": (
        "2026-02-20",
        [
            paid("2026-01-05", refunded="2026-01-05", refunded_at=local("2026-01-05 18:00")),
            cancel("2026-01-06", "2026-02-05"),
            MONTHLY,
        ],
        [("2026-01-05", "2026-01-05", "active", "100.00", "refunded")],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-05")],
    ),
    "given back before it was paid, by the vendor's clock": (
        "2026-02-20",
        [
            paid("2026-01-05", refunded="2026-01-05", refunded_at=local("2026-01-04 18:00")),
            MONTHLY,
        ],
        [("2026-01-05", "2026-01-05", "active", "100.00", "refunded")],
        [("CANCELLED", "2026-01-05")],
    ),
    "bought, refunded and bought again on one day": (
        "2026-01-20",
        [
            paid("2026-01-05", refunded="2026-01-05"),
            paid("2026-01-05", transaction="HPB", paid_at=local("2026-01-05 20:00")),
            MONTHLY,
        ],
        [("2026-01-05", None, "active", "100.00", None)],
        [("CANCELLED", "2026-01-05"), ("ACTIVE", "2026-01-05")],
    ),
    "a renewal refunded on its day ends what ran before": (
        "2026-02-20",
        [paid("2026-01-05"), paid("2026-02-05", 2, "80.00", refunded="2026-02-05"), MONTHLY],
        [("2026-01-05", "2026-02-05", "active", "100.00", "refunded")],
        [("ACTIVE", "2026-01-05")],
    ),
    "a trial refunded on the day it was paid": (
        "2026-01-20",
        [
            paid("2026-01-12", refunded="2026-01-12"),
            plan(is_trial=True, accession_at=noon("2026-01-05")),
        ],
        [
            ("2026-01-05", "2026-01-12", "trial", "0.00", None),
            ("2026-01-12", "2026-01-12", "active", "100.00", "refunded"),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-12")],
    ),
    "back and refunded on one day": (
        "2026-05-10",
        [
            paid("2026-01-05"),
            cancel("2026-01-10", "2026-02-05"),
            paid("2026-04-01", 2, "80.00", refunded="2026-04-01"),
            paid("2026-04-20", 3, "90.00"),
            MONTHLY,
        ],
        [
            ("2026-01-05", "2026-01-10", "active", "100.00", None),
            ("2026-01-10", "2026-02-05", "cancelled (pedido)", "100.00", "cancelled"),
            ("2026-04-01", "2026-04-01", "active", "80.00", "refunded"),
            ("2026-04-20", None, "active", "90.00", None),
        ],
        [("ACTIVE", "2026-01-05"), ("CANCELLED", "2026-01-10"), ("ACTIVE", "2026-04-01")],
    ),
    "bought and cancelled with its end on one day": (
        "2026-01-20",
        [paid("2026-01-05"), cancel("2026-01-05", "2026-01-05"), MONTHLY],
        [("2026-01-05", "2026-01-05", "cancelled (pedido)", "100.00", "cancelled")],
        [("CANCELLED", "2026-01-05")],
    ),
    "bought and at its term's end on one day": (
        "2026-01-20",
        [paid("2026-01-05"), reading("2026-01-05", "OVERDUE")],
        [("2026-01-05", "2026-01-05", "active", "100.00", "fim_de_ciclo")],
        [("OVERDUE", "2026-01-05")],
    ),
    "bought and refunded on one day, of no known period": (
        "2026-01-20",
        [paid("2026-01-05", refunded="2026-01-05")],
        [],
        [("CANCELLED", "2026-01-05")],
    ),
}

told = telling(STORIES)


@pytest.mark.parametrize("story", STORIES)
def test_until_when_it_counts_and_what_ended_it(story):
    _, _, periods, history = STORIES[story]
    assert told(story).periods == periods
    assert told(story).history == history
