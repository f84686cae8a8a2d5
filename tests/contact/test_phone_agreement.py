"""The columns' reading of phones agrees with the row-by-row oracle on anything people may type."""

import phone_oracle
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_assets.contact.phone import normalize_phones

pytestmark = pytest.mark.slow

PREFIXES = [
    "", "", "", "+", "+55", "+55 ", "55", "550", "0", "00", "0055", "+550", "0015", "0021 55 ",
    "0 15 ", "021", "9090", "(0xx", "+1 ", "+351", "+521", "+54 9 ", "34", "351", "52", "tel: ",
    "wa.me/", "https://wa.me/55", "whatsapp://send?phone=%2B", "'", '="', "=+",
]  # fmt: skip
AREAS = ["11", "21", "55", "51", "41", "47", "71", "79", "20", "52", "10", "(11)", "(55) ", ""]
SUFFIXES = ["", "", "", " ", ".0", ",0", " ramal 12", " x92", "@c.us", "@lid", "E+12", " (zap)"]
JUNK = "0123456789" * 3 + " ()-+.,/;|xeE@éO\n\u200b\u202a\u00a0\uff11٣"
COUNTRIES = [None, None, "BR", "br", "", "US", "PE", "PT", "MX", "GB", "ES", "AR", "XX"]

digits = st.text("0123456789", max_size=10) | st.sampled_from(
    ["961234567", "81234567", "71234567", "23456788", "912345678", "99999999", "12345678"]
)
structured = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(PREFIXES),
    st.sampled_from(AREAS),
    digits,
    st.sampled_from(SUFFIXES),
)
twice = st.builds(
    "{}{}{}".format, structured, st.sampled_from([" / ", ";", " ou ", " e ", ","]), structured
)
cells = st.none() | structured | structured | twice | st.text(JUNK, max_size=30)
rows = st.tuples(cells, st.sampled_from(COUNTRIES), st.sampled_from([None, True, False]))


def assert_agrees(sample):
    texts, countries, evidence = (list(column) for column in zip(*sample, strict=True))
    numbers = normalize_phones(
        pl.Series(texts, dtype=pl.String),
        pl.Series(countries, dtype=pl.String),
        pl.Series(evidence, dtype=pl.Boolean),
    )
    for row, seen in zip(sample, numbers.iter_rows(named=True), strict=True):
        expected = phone_oracle.read(*row)
        assert set(seen.pop("flags")) == expected.flags, row
        assert seen == {name: getattr(expected, name) for name in seen}, row


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(rows, min_size=1, max_size=40))
def test_agrees_with_the_oracle(sample):
    assert_agrees(sample)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.from_regex(r"\A(\+|00)?[1-9][0-9]{7,13}\Z"), min_size=1, max_size=60))
def test_agrees_on_numbers_written_as_foreign(texts):
    assert_agrees([(text, None, None) for text in texts])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.from_regex(r"\A[1-9][1-9][2-9][0-9]{7,8}\Z"), min_size=1, max_size=60))
def test_agrees_on_bare_digits(texts):
    assert_agrees([(text, None, True) for text in texts])
