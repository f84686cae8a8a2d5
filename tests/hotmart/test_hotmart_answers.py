"""What a reply means, which item it speaks of, and how the answers of two windows are joined."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_resources.hotmart import (
    PRICE_DETAILS,
    SALES_COMMISSIONS,
    SALES_HISTORY,
    SALES_USERS,
    SUBSCRIPTION_TRANSACTIONS,
    SUBSCRIPTIONS,
    Window,
    WindowRead,
)
from crm_resources.hotmart.statuses import (
    CredentialsError,
    ForbiddenError,
    HotmartError,
    IncompleteAnswer,
    RefusedError,
    UnavailableError,
    accepted_page,
    failure_of,
)

ENDPOINTS = (
    SALES_HISTORY,
    SALES_USERS,
    SALES_COMMISSIONS,
    PRICE_DETAILS,
    SUBSCRIPTIONS,
    SUBSCRIPTION_TRANSACTIONS,
)


@pytest.mark.parametrize(
    ("endpoint", "item", "key"),
    [
        (SALES_HISTORY, {"purchase": {"transaction": "HP1"}}, "HP1"),
        (SALES_HISTORY, {"purchase": {"transaction": " HP1 "}}, "HP1"),
        (SALES_HISTORY, {"purchase": {"transaction": "  "}}, None),
        (SALES_HISTORY, {"purchase": {"transaction": 1}}, None),
        (SALES_HISTORY, {"purchase": {}}, None),
        (SALES_HISTORY, {"purchase": []}, None),
        (SALES_HISTORY, {"transaction": "HP1"}, None),
        (SALES_USERS, {"transaction": "HP1"}, "HP1"),
        (SALES_USERS, {"purchase": {"transaction": "HP1"}}, None),
        (SALES_COMMISSIONS, {"transaction": "HP1"}, "HP1"),
        (PRICE_DETAILS, {"transaction": ""}, None),
        (SUBSCRIPTIONS, {"subscription_id": 7}, 7),
        (SUBSCRIPTIONS, {"subscription_id": "7"}, None),
        (SUBSCRIPTIONS, {}, None),
        (
            SUBSCRIPTION_TRANSACTIONS,
            {"purchase": {"transaction": "HP1"}, "recurrency": {"number": 2}},
            ("HP1", 2),
        ),
        (
            SUBSCRIPTION_TRANSACTIONS,
            {"purchase": {"transaction": "HP1"}, "recurrence": {"number": 2}},
            ("HP1", 2),
        ),
        (
            SUBSCRIPTION_TRANSACTIONS,
            {"purchase": {"transaction": "HP1"}, "recurrency": {"number": "2"}},
            ("HP1", None),
        ),
        (
            SUBSCRIPTION_TRANSACTIONS,
            {"purchase": {"transaction": "HP1"}, "recurrency": 2},
            ("HP1", None),
        ),
        (SUBSCRIPTION_TRANSACTIONS, {"purchase": {"transaction": "HP1"}}, ("HP1", None)),
        (SUBSCRIPTION_TRANSACTIONS, {"recurrency": {"number": 2}}, None),
    ],
)
def test_what_identifies_an_item(endpoint, item, key):
    assert endpoint.key(item) == key


NAMES = st.sampled_from(["purchase", "transaction", "recurrency", "subscription_id", "number"])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(st.sampled_from(ENDPOINTS), st.dictionaries(NAMES, JUNK))
def test_no_item_is_bad_enough_to_raise(endpoint, item):
    hash(endpoint.key(item))


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (200, {}, UnavailableError, "sem uma página de registros"),
        (429, {}, UnavailableError, "limite de chamadas"),
        (500, {}, UnavailableError, "indisponível"),
        (503, {"error": "x"}, UnavailableError, "indisponível"),
        (499, {}, RefusedError, "pedido recusado"),
        (401, {}, CredentialsError, "recusou um token novo"),
        (403, {"error": "access_denied"}, ForbiddenError, "pode ser de sandbox"),
        (403, {}, ForbiddenError, "bloqueio antes da API"),
        (400, {"error": "invalid_token"}, IncompleteAnswer, "página seguinte"),
        (400, {"error": "invalid_parameter"}, RefusedError, "pedido recusado"),
        (401, {"error": "invalid_token"}, CredentialsError, "token novo"),
        (404, {}, RefusedError, "pedido recusado"),
    ],
)
def test_what_a_reply_without_page_means(status, body, kind, told):
    error = failure_of(httpx.Response(status, json=body), "sales/history")
    assert type(error) is kind
    assert error.status == status
    assert str(error).startswith(f"sales/history: resposta {status}")
    assert told in str(error)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b'{"items": 5}'),
        (200, b'{"items": [5]}'),
        (200, b'{"items": [{}, null]}'),
        (200, b"{}"),
        (200, b"[]"),
        (200, b"<html>"),
        (200, b"\xff\xfe"),
        (201, b'{"items": []}'),
        (500, b'{"items": []}'),
    ],
)
def test_a_page_is_a_list_of_objects_with_status_200(status, content):
    with pytest.raises(HotmartError):
        accepted_page(httpx.Response(status, content=content), "sales/history")


def test_a_page_is_given_as_it_came():
    page = {"items": [{"a": 1}], "page_info": {"total_results": 1}}
    assert accepted_page(httpx.Response(200, json=page), "sales/history") == page


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"content-type": "text/html", "server": "cloudflare", "cf-ray": "8a-GRU"}, True),
        ({"content-type": "application/json", "server": "cloudflare"}, False),
    ],
)
def test_html_tells_a_firewall_from_the_api(headers, told):
    error = failure_of(httpx.Response(403, headers=headers, content=b"<html>"), "x")
    assert ("em HTML (server cloudflare" in str(error)) is told


def test_html_without_any_mark():
    reply = httpx.Response(403, headers={"content-type": "text/html", "server": "a b\nc"})
    assert "resposta 403 em HTML, bloqueio" in str(failure_of(reply, "x"))


START = datetime(2026, 1, 1, tzinfo=UTC)
WHOLE = Window(START, START + timedelta(days=1))
ONE = WindowRead(
    window=Window(START, START),
    items=[{"a": 1}],
    total_results=1,
    verified=True,
    pages=2,
    refused_statuses=("STARTED",),
    asked=(Window(START, START),),
)


def test_two_answers_are_one():
    later = replace(ONE, items=[{"a": 2}], total_results=4, pages=3, refused_statuses=("BLOCKED",))
    both = ONE.joined(WHOLE, later)
    assert both == WindowRead(
        window=WHOLE,
        items=[{"a": 1}, {"a": 2}],
        total_results=5,
        verified=True,
        pages=5,
        refused_statuses=("STARTED", "BLOCKED"),
        asked=ONE.asked + later.asked,
    )
    assert both.verification == "conferido"


@pytest.mark.parametrize(
    ("left", "right", "total", "verification"),
    [
        ({}, {}, 2, "conferido"),
        ({"verified": False}, {}, 2, "não conferido"),
        ({}, {"verified": False}, 2, "não conferido"),
        ({"total_results": None}, {}, None, "conferido"),
        ({}, {"total_results": None}, None, "conferido"),
        ({"total_results": 0}, {}, 1, "conferido"),
    ],
)
def test_one_uncounted_half_leaves_the_whole_uncounted(left, right, total, verification):
    both = replace(ONE, **left).joined(WHOLE, replace(ONE, **right))
    assert (both.total_results, both.verification) == (total, verification)
