"""What a post says of itself: any bytes at all, and the shapes that vendors send."""

import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_web.posts import read_post

NOW = datetime(2026, 3, 15, 12, 0, 30, tzinfo=UTC)
SALE = {
    "creation_date": 1_773_570_061_123,
    "event": "PURCHASE_APPROVED",
    "data": {
        "purchase": {"transaction": "HP1"},
        "subscription": {"subscriber": {"code": "ABC"}},
    },
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = ("id", "event", "version", "creation_date", "creationDate", "data", "hottok", "HotTok")
TYPES = st.sampled_from(
    [None, "", "application/json", "text/plain; charset=latin-1", "x; charset=nope",
     "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)  # fmt: skip


def event(body, content_type="application/json", kind="hotmart"):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return read_post(body, content_type).event(kind, content_type, NOW)


def keepable(found):
    """Every text of an event can be stored in every database."""
    for name in ("event_key", "event", "version", "content_type", "body"):
        if text := getattr(found, name):
            text.encode()
            assert "\x00" not in text


@given(st.binary(max_size=200), TYPES, st.sampled_from(["hotmart", "manychat"]))
def test_any_bytes_are_an_event(body, content_type, kind):
    keepable(event(body, content_type, kind))


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES), TYPES)
def test_any_json_is_an_event_without_its_token(fields, content_type):
    found = event(fields, content_type)
    keepable(found)
    names = set()

    def walk(value):
        if isinstance(value, dict):
            names.update(name.casefold() for name in value)
            list(map(walk, value.values()))
        elif isinstance(value, list):
            list(map(walk, value))

    walk(json.loads(found.body))
    assert "hottok" not in names
    assert event(fields, content_type).event_key == found.event_key


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1))
def test_a_form_keeps_all_its_fields(fields):
    fields = {name: text for name, text in fields.items() if name.casefold() != "hottok"}
    body = urlencode(fields, errors="replace").encode()
    if fields:
        kept = json.loads(event(body, "application/x-www-form-urlencoded").body)
        assert kept == {
            name.encode(errors="replace").decode(): text.encode(errors="replace").decode()
            for name, text in fields.items()
        }


@pytest.mark.parametrize(
    "text",
    ['{"a": 1.10, "b": "Zo\u00e9", "c":[ ]}', '{"a": "Zo\\u00e9"}', "not json", '["x"]', "a=b\nc"],
)
def test_a_text_without_a_token_stays_as_it_came(text):
    assert event(text.encode()).body == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"hottok": "x", "a": 1}', '{"a": 1}'),
        ('{"HOTTOK": "x", "data": {"hottok": ["x"], "n": null}}', '{"data": {"n": null}}'),
        ('[{"hot\\u0074ok": "x"}]', "[{}]"),
        ('{"hottok": "x", broken', '{"hottok": "", broken'),
        ("{'hottok' : x, broken", "{'hottok' : x, broken"),
        ('{"hottok": "x", "a": "\\ud800"}', '{"a": "\\ud800"}'),
    ],
)
def test_a_token_is_taken_out_of_a_body(text, left):
    assert event(text.encode()).body == left


@pytest.mark.parametrize(
    ("body", "token"),
    [
        ({"hottok": "t"}, "t"),
        ({"hottok": 5}, None),
        ({"data": {"hottok": "t"}}, None),
        (["t"], None),
    ],
)
def test_the_token_is_a_text_of_the_root(body, token):
    assert read_post(json.dumps(body).encode(), None).token == token


def test_a_token_goes_from_a_body_that_is_too_deep_to_be_written_again():
    for depth in range(900, 1000):
        body = f'{{"hottok": "secret", "a": {"[" * depth}{"]" * depth}}}'
        assert "secret" not in event(body.encode()).body


@pytest.mark.parametrize("body", [b"", b"&".join([b"a=1"] * 1001)], ids=["empty", "too many"])
def test_a_form_that_cannot_be_read_stays_text(body):
    post = read_post(body, "application/x-www-form-urlencoded")
    assert (post.text, post.said, post.is_form) == (body.decode(), None, False)


@pytest.mark.parametrize(
    ("body", "version"),
    [
        ({"version": "2\x07"}, "2\ufffd"),
        ({"version": "2.0.0"}, "2.0.0"),
        ({"version": 2}, "2"),
        ({"event": "X"}, None),
        ({"data": {}, "transaction": "HP1"}, None),
        ({"transaction": "HP1", "status": "approved"}, "1.0.0"),
        ({"callback_type": "1"}, "1.0.0"),
        (b"status=approved", "1.0.0"),
        ([1], None),
        ({}, None),
    ],
)
def test_the_old_format_is_marked(body, version):
    assert event(body).version == version


# The key


@pytest.mark.parametrize(
    ("stated", "key"), [("e1", "e1"), ("  e1 ", "e1"), (12, "12"), ("0d-Ünï", "0d-Ünï")]
)
def test_the_id_is_the_key(stated, key):
    assert event({**SALE, "id": stated}).event_key == key


@pytest.mark.parametrize("stated", [None, "", " ", "null", "0", 0, True, [], {"a": 1}])
def test_without_an_id_the_key_is_what_happened_to_what_and_when(stated):
    key = event({**SALE, "id": stated}).event_key
    assert key.startswith("sha256:")
    assert event({**SALE, "version": "2.0.0"}).event_key == key
    assert event({**SALE, "id": "1" * 300}).event_key not in {key, "1" * 200}
    changed = [
        {**SALE, "event": "PURCHASE_COMPLETE"},
        {**SALE, "creation_date": 1_773_570_061_124},
        {**SALE, "data": {**SALE["data"], "purchase": {"transaction": "HP2"}}},
        {**SALE, "data": {**SALE["data"], "subscription": {"subscriber": {"code": "ABD"}}}},
    ]
    assert len({key, *(event(each).event_key for each in changed)}) == 5


@pytest.mark.parametrize("missing", ["event", "creation_date", "data"])
def test_an_event_that_tells_too_little_is_told_apart_by_all_of_its_text(missing):
    left = {name: value for name, value in SALE.items() if name != missing}
    key = event(left).event_key
    assert event({**left, "note": 1}).event_key != key
    assert event(left).event_key == key


def test_old_posts_of_one_sale_are_apart_and_repeated_ones_are_not():
    posts = [b"transaction=HP1&status=approved", b"transaction=HP1&status=refunded"]
    first, second = (event(post).event_key for post in posts)
    assert first != second
    assert event(posts[0] + b"&hottok=x").event_key == first


def test_a_contact_counts_once_a_minute():
    contact = read_post(b'{"id": "1", "name": "Ana"}', None)
    first, again, later = (
        contact.event("manychat", None, NOW.replace(second=second, minute=minute)).event_key
        for second, minute in ((1, 0), (59, 0), (0, 1))
    )
    assert first == again != later


# The time


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"creation_date": 1_773_570_061_123}, datetime(2026, 3, 15, 10, 21, 1, 123000, UTC)),
        ({"creation_date": "1773570061123"}, datetime(2026, 3, 15, 10, 21, 1, 123000, UTC)),
        ({"creation_date": 1_773_570_061}, datetime(2026, 3, 15, 10, 21, 1, tzinfo=UTC)),
        ({"creationDate": 1_773_570_061}, datetime(2026, 3, 15, 10, 21, 1, tzinfo=UTC)),
        ({"creation_date": "2026-03-15T07:21:01-03:00"}, datetime(2026, 3, 15, 10, 21, 1, 0, UTC)),
        ({"creation_date": "2026-03-15T10:21:01"}, datetime(2026, 3, 15, 10, 21, 1, 0, UTC)),
        ({"creation_date": "ontem"}, None),
        ({"creation_date": -1}, None),
        ({"creation_date": 10**40}, None),
        ({"creation_date": float("nan")}, None),
        ({"creation_date": []}, None),
        ({}, None),
    ],
)
def test_the_time_is_the_envelopes(fields, at):
    assert event(fields).event_at == at
