"""Countries, states, Instagram names, and which of two phone columns speaks for a record."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.contact.phone_choice import choose_phones
from crm_assets.contact.place import (
    COUNTRIES,
    STATES,
    country_codes,
    instagram_handles,
    uf_codes,
)


def one(rule, text):
    (found,) = rule(pl.Series([text], dtype=pl.String))
    return found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Brasil", "BR"),
        (" BRASIL ", "BR"),
        ("br", "BR"),
        ("Estados Unidos da América", "US"),
        ("E.U.A.", "US"),
        ("México", "MX"),
        ("GB", "GB"),
        ("uk", "GB"),
        ("XX", None),
        ("Atlântida", None),
        ("", None),
        (None, None),
    ],
)
def test_a_country_is_known_by_its_name_or_code(text, code):
    assert one(country_codes, text) == code


@pytest.mark.parametrize(
    ("text", "uf"),
    [
        ("SP", "SP"),
        (" sp ", "SP"),
        ("São Paulo", "SP"),
        ("SAO PAULO", "SP"),
        ("Pará", "PA"),
        ("Paraná", "PR"),
        ("Mato Grosso do Sul", "MS"),
        ("XX", None),
        ("Lisboa", None),
        ("", None),
        (None, None),
    ],
)
def test_a_state_is_known_by_its_name_or_letters(text, uf):
    assert one(uf_codes, text) == uf


def test_every_name_gives_two_letters():
    assert country_codes(pl.Series(list(COUNTRIES))).to_list() == list(COUNTRIES.values())
    assert uf_codes(pl.Series(list(STATES))).to_list() == list(STATES.values())
    assert len(set(STATES.values())) == 27


@given(st.lists(st.text(max_size=12) | st.none(), max_size=5))
def test_any_text_is_a_code_or_nothing(texts):
    series = pl.Series(texts, dtype=pl.String)
    for codes in (country_codes(series), uf_codes(series)):
        assert len(codes) == len(texts)
        assert all(code is None or (len(code) == 2 and code.isupper()) for code in codes)


@pytest.mark.parametrize(
    ("text", "handle"),
    [
        ("@Ana.Souza", "ana.souza"),
        (" ana ", "ana"),
        ("https://www.instagram.com/Ana/?hl=pt", "ana"),
        ("instagram.com/ana", "ana"),
        ("HTTP://Instagram.com/ana?x=1", "ana"),
        ("@", None),
        ("", None),
        (None, None),
    ],
)
def test_an_instagram_name_is_bare_and_small(text, handle):
    frame = pl.DataFrame({"text": [text]}, {"text": pl.String})
    assert frame.select(instagram_handles(pl.col("text"))).item() == handle


KEY, OTHER_KEY = "11961234501", "21961234502"
# A number, but no key: a ninth digit before a 7 without Brazilian evidence.
NUMBER = "11 7123-4567"


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        pytest.param(KEY, OTHER_KEY, KEY, id="both are keys"),
        pytest.param(None, OTHER_KEY, OTHER_KEY, id="the first is missing"),
        pytest.param("abc", OTHER_KEY, OTHER_KEY, id="the first is no number"),
        pytest.param(NUMBER, OTHER_KEY, OTHER_KEY, id="only the second is a key"),
        pytest.param(NUMBER, "abc", NUMBER, id="only the first is a number"),
        pytest.param(NUMBER, NUMBER, NUMBER, id="neither is a key"),
        pytest.param("abc", NUMBER, NUMBER, id="only the second is a number"),
        pytest.param(KEY, None, KEY, id="the second is missing"),
        pytest.param("abc", None, "abc", id="neither is a number"),
    ],
)
def test_the_second_phone_counts_when_only_it_is_a_key_or_a_number(first, second, chosen):
    texts = [pl.Series([text], dtype=pl.String) for text in (first, second, chosen)]
    found = choose_phones(texts[0], texts[1])
    assert found.equals(choose_phones(texts[2], pl.Series([None], dtype=pl.String)))


def test_a_number_that_is_no_key_is_one_here():
    number = choose_phones(pl.Series([NUMBER]), pl.Series([None], dtype=pl.String))
    assert number["phone_key"].is_null().all()
    assert number["e164"].is_not_null().all()
