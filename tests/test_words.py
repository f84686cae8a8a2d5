"""Words of statuses and counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.words import ACCESS_STATUSES, SEGMENTS, SUBSCRIPTION_STATUSES, counted, meant
from crm_resources.hotmart.statuses import SUBSCRIPTION_STATUSES as KNOWN


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 linhas"), (1, "1 linha"), (2, "2 linhas"), (-1, "-1 linhas")]
)
def test_only_one_is_singular(count, said):
    assert counted(count, "linha") == said


def test_a_plural_that_is_not_an_s_is_given():
    assert counted(2, "mês", "meses") == "2 meses"
    assert counted(1, "mês", "meses") == "1 mês"


def test_every_status_of_hotmart_has_a_word():
    assert set(KNOWN) <= SUBSCRIPTION_STATUSES.keys()


@pytest.mark.parametrize("words", [SUBSCRIPTION_STATUSES, SEGMENTS, ACCESS_STATUSES])
@given(data=st.data())
def test_a_filter_takes_the_word_and_the_value_in_any_case(words, data):
    value = data.draw(st.sampled_from(sorted(words)))
    said = data.draw(st.sampled_from([value, words[value]]))
    said = data.draw(st.sampled_from([said, said.upper(), f" {said} ", said.replace(" ", "_")]))
    assert meant(said, words) == value


def test_accents_may_be_left_out():
    assert meant("Em Tolerancia", ACCESS_STATUSES) == "grace"


def test_another_word_means_nothing():
    assert meant("aberto", ACCESS_STATUSES) is None
    assert meant("", SEGMENTS) is None
