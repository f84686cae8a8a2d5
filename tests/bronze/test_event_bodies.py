"""Every documented body, as recorded, damaged and made up, becomes a row or a reason."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from event_samples import (
    FOLDER,
    LIA,
    RECEIVED,
    SAID,
    body,
    day,
    form,
    posted,
    told,
    typed,
    with_value,
)
from hypothesis import given
from hypothesis import strategies as st
from lake import Lake

from crm_assets.bronze.event_bodies import (
    BEYOND_RANGE,
    NO_EVENT,
    TEST_BODY,
    TOO_DEEP,
    UNKNOWN_EVENT,
    UNNAMED,
    UNREADABLE_BODY,
    WITHOUT_DATA,
    read_body,
)
from crm_assets.bronze.hotmart_event_rows import (
    ALIASES,
    CELLS,
    KINDS,
    STATUSES_OF_V1,
    kind_of,
)


def test_every_event_is_recorded():
    assert {file.stem for file in FOLDER.glob("*.json")} == set(KINDS) == set(SAID)


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, Any]]:
    """The rows of all recorded bodies, by event; the form of version 1 by the name it gives."""
    rows = typed(Lake().tx, [*(posted(body(kind)) for kind in KINDS), form()])
    return {row["event"]: row for row in rows}


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_body_says_what_is_documented(kind, recorded):
    read = read_body(posted(body(kind)))
    assert (read.kind, read.ignored, read.failure, read.novelties) == (kind, None, None, ())
    said = {**SAID[kind], "unread": []}
    assert {name: recorded[kind][name] for name in said} == said


def test_a_form_of_version_1_says_the_same_as_far_as_it_goes(recorded):
    row = recorded["approved"]
    said = {
        "kind": "PURCHASE_APPROVED",
        "event": "approved",
        "transaction": "HP2603120007",
        "subscriber_code": "OTTO4T9X",
        "email": "otto.invento@example.com",
        "name": "Otto Invento",
        "phone": "21961234504",
        "document": None,
        "city": "Niterói",
        "price_value": Decimal("97.00"),
        "full_price_value": Decimal("104.76"),
        "order_at": day(12, 11, 59),
        "approved_at": day(12),
        "occurred_at": RECEIVED,
        "installments": 2,
        "unread": [],
    }
    assert {name: row[name] for name in said} == said


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything inside a body."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else ()
    for name, each in enumerate(value) if isinstance(value, list) else inner:
        yield from leaves(each, (*path, name))


def without(value: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(value)
    *parents, last = path
    place = changed
    for name in parents:
        place = place[name]
    del place[last]
    return changed


WRONG = (
    None,
    True,
    -1,
    1.5e300,
    "",
    "  ",
    "texto",
    "9" * 400,
    [],
    [1],
    {},
    {"a": {"b": 1}},
    "\x00",
)


NOTHING = (None, "", "  ", "\x00", [])
"""What holds nothing, so that nothing is told of it; an object may hold what nobody documents."""


OF_PLANS = {"plan_id", "plan_name", "offer_code"}
"""What a list may say as well."""


def damages(kind: str) -> list[tuple[Any, Any]]:
    """A recorded body without each of its fields, and with each of them wrong in every way.

    Each with what stands there now.
    """
    whole = body(kind)
    missing = [(without(whole, path), None) for path in leaves(whole)]
    wrong = [(with_value(whole, path, new), new) for path in leaves(whole) for new in WRONG]
    return missing + wrong


@pytest.mark.parametrize(
    "kind",
    [
        "SWITCH_PLAN",
        *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k != "SWITCH_PLAN"),
    ],
)
def test_a_field_that_is_missing_null_or_of_the_wrong_type_spoils_nothing(kind):
    """And nothing is lost without a word: where a column got empty, what stands there is told."""
    damaged = [*damages(kind), (body(kind), None)]
    events = [posted(each, i, event_key=str(i)) for i, (each, _) in enumerate(damaged)]
    *rows, whole = typed(Lake().tx, events)
    read = sum(read_body(event).failure is None for event in events)
    assert len(rows) == read - 1 > len(events) * 0.9
    for row in rows:
        lost = {name for name in CELLS if whole.get(name) is not None and row[name] is None}
        _, now = damaged[row["inbox_id"]]
        if lost - OF_PLANS and row["kind"] is not None:
            assert row["unread"] or now in NOTHING or isinstance(now, dict), (lost, now)


def test_what_cannot_be_read_becomes_empty_and_the_rest_stays():
    whole = body("PURCHASE_APPROVED")
    whole["data"]["purchase"]["full_price"] = {"value": {"amount": 3}, "currency_value": 7}
    whole["data"]["purchase"]["order_date"] = "ontem"
    whole["data"]["purchase"]["recurrence_number"] = 1.5
    whole["data"]["buyer"]["name"] = ["Lia"]
    (row,) = typed(Lake().tx, [posted(whole)])
    expected = {
        "full_price_value": None,
        "order_at": None,
        "recurrence_number": None,
        "name": "Lia Invento Prado",  # of first and last
        "currency": None,
        "price_value": Decimal("97.00"),
        "email": LIA["email"],
    }
    assert {name: row[name] for name in expected} == expected
    assert told(row) == {
        ("full_price_value", "valor_ilegivel", '{"amount":3}'),
        ("currency", "valor_ilegivel", "7"),
        ("order_at", "valor_ilegivel", "ontem"),
        ("recurrence_number", "valor_ilegivel", "1.5"),
        ("whole_name", "valor_ilegivel", '["Lia"]'),
    }


DATES: list[tuple[Any, datetime | None]] = [
    (1773316800000, day(12)),
    ("1773316800000", day(12)),
    (1773316800, day(12)),
    ("2026-03-12T12:00:00Z", day(12)),
    ("2026-03-12T12:00:00.000Z", day(12)),
    ("2026-03-12T09:00:00-03:00", day(12)),
    ("2026-03-12T09:00:00-0300", day(12)),
    ("2026-03-12 12:00:00 +00:00Z", day(12)),
    ("2026-03-12 12:00:00", day(12)),
    ("2026-03-12", day(12, 0)),
    (0, None),
    (-1773316800000, None),
    ("12/03/2026", None),
    ("9999-12-31T00:00:00Z", None),
    ("infinity", None),
    (True, None),
]


def test_dates_come_in_milliseconds_seconds_and_iso():
    bodies = [body("PURCHASE_APPROVED") for _ in DATES]
    for whole, (date, _) in zip(bodies, DATES, strict=True):
        whole["data"]["purchase"]["order_date"] = date
    events = [posted(whole, i, event_key=str(i)) for i, whole in enumerate(bodies)]
    found = {row["inbox_id"]: row["order_at"] for row in typed(Lake().tx, events)}
    assert [(date, found[i]) for i, (date, _) in enumerate(DATES)] == DATES


@pytest.mark.parametrize(("name", "kind"), [*ALIASES.items(), *((k, k) for k in KINDS)])
def test_names_and_aliases(name, kind):
    assert kind_of(name) == kind_of(f" {name.lower()} ") == kind


@pytest.mark.parametrize(
    "name", ["PURCHASE_REFUND_REQUESTED", "CART_ABANDONMENT", "", None, 7, [], "approved"]
)
def test_a_name_that_nobody_documents_is_never_guessed(name):
    assert kind_of(name) is None
    read = read_body(posted({**body("PURCHASE_APPROVED"), "event": name}, event=None))
    assert (read.kind, read.ignored, read.failure) == (None, UNKNOWN_EVENT, None)


@pytest.mark.parametrize(("status", "kind"), STATUSES_OF_V1.items())
def test_statuses_of_version_1(status, kind):
    assert read_body(posted({"status": status, "transaction": "HP1"})).kind == kind


def test_what_is_no_object_is_no_event_and_is_kept():
    values = [[], [1], "texto", 7, None, True]
    events = [posted(json.dumps(value), i) for i, value in enumerate(values)]
    assert {(read_body(e).ignored, read_body(e).failure) for e in events} == {(NO_EVENT, None)}
    rows = typed(Lake().tx, events)
    assert [(row["kind"], json.loads(row["raw"])) for row in rows] == [(None, v) for v in values]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        *((text, UNREADABLE_BODY) for text in ("", "{", "NaN", '{"a": -Infinity}', "a=b")),
        *((f'{{"a": {number}}}', BEYOND_RANGE) for number in ("1e400", "-1e400", "9" * 5000)),
        *((text, TOO_DEEP) for text in ("[" * 100_000, *("[" * n + "]" * n for n in (600, 9000)))),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_for_what_it_is(text, told):
    assert read_body(posted(text)).failure == told


@pytest.mark.parametrize("data", [None, [], "x", 7])
def test_an_event_without_data_cannot_be_read(data):
    assert read_body(posted({**body("SWITCH_PLAN"), "data": data})).failure == WITHOUT_DATA


@pytest.mark.parametrize("code", [0, "0", 0.0])
def test_the_vendors_test_is_ignored(code):
    whole = body("PURCHASE_APPROVED")
    whole["data"]["product"]["id"] = code
    read = read_body(posted(whole))
    assert (read.kind, read.ignored) == (None, TEST_BODY)
    whole["data"]["product"]["id"] = False
    assert read_body(posted(whole)).kind == "PURCHASE_APPROVED"


def test_what_may_not_be_kept_is_not():
    whole = {**body("PURCHASE_BILLET_PRINTED"), "hottok": "segredo"}
    whole["data"]["purchase"]["buyer_ip"] = "203.0.113.7"
    raw = read_body(posted(whole)).raw
    assert raw is not None
    for gone in ("segredo", "203.0.113.7", "00020126invented", "hottok"):
        assert gone not in raw


def test_half_an_emoji_and_a_null_character_are_held():
    whole = body("PURCHASE_OUT_OF_SHOPPING_CART")
    whole["data"]["buyer"]["name"] = "Caio \ud83c"
    whole["data"]["offer"]["code"] = "k2\x00v8"
    (row,) = typed(Lake().tx, [posted(whole)])
    assert row["name"] == "Caio \ufffd"


def test_novelties_are_names_never_values():
    whole = {**body("PURCHASE_APPROVED"), "version": "3.0.0", "trace": "ana@example.com"}
    whole["data"]["purchase"]["tip"] = 5
    whole["data"]["wallet"] = {"ana@example.com": 1}
    whole["data"]["ana@example.com"] = 1
    assert read_body(posted(whole)).novelties == (
        ("versão", "3.0.0"),
        ("campo", "data.purchase.tip"),
        ("campo", "data.wallet"),
        ("campo", UNNAMED),
        ("campo", "trace"),
    )
    unknown = read_body(posted({**whole, "event": "PURCHASE_TIPPED"}))
    assert unknown.novelties == (("evento", "PURCHASE_TIPPED"),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.data())
def test_no_body_is_an_exception(data):
    whole = body(data.draw(st.sampled_from(KINDS)))
    paths = list(leaves(whole))
    for path in data.draw(st.lists(st.sampled_from(paths), max_size=4, unique=True)):
        try:
            whole = with_value(whole, path, data.draw(JSON))
        except (KeyError, IndexError, TypeError):
            continue
    if read_body(posted(whole)).failure is None:
        (row,) = typed(Lake().tx, [posted(whole, event_key="k")])
        assert row.keys() >= {"event_id", "kind", "transaction"}


def test_every_place_of_a_field_is_read():
    """A path that no body of any version holds would be a typing mistake."""
    held = {".".join(map(str, path)) for kind in KINDS for path in leaves(body(kind))}
    flat = {path for paths in CELLS.values() for path in paths if "." not in path}
    unused = {path for paths in CELLS.values() for path in paths} - held - flat
    assert unused == {
        "data.purchase.full_price.currency_code",
        "data.purchase.price.currency_code",
        "data.purchase.recurrency_number",
        "data.subscription.user.name",
        "data.purchase.order_bump.parent_purchase_transaction",
    }
