"""What may identify a person, what surrounds a number, and the forms derived from it."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.contact.phone import (
    STATE_OF_AREA_CODE,
    normalize_phones,
    state_of_area_code,
    whatsapp_variants,
)

COLUMNS = ["e164", "kind", "region", "area_code", "flags", "phone_key", "reason", "others"]


def one(cell, country=None, brazilian=None):
    numbers = normalize_phones(
        pl.Series([cell], dtype=pl.String),
        pl.Series([country], dtype=pl.String),
        pl.Series([brazilian], dtype=pl.Boolean),
    )
    return numbers.row(0, named=True)


@pytest.mark.parametrize(
    ("cell", "country", "brazilian", "key", "reason"),
    [
        ("11961234567", None, None, "+5511961234567", None),
        ("1123456788", None, None, "+551123456788", None),
        ("1181234567", None, None, "+5511981234567", None),
        ("1171234567", None, None, None, "low_confidence"),
        ("1171234567", None, False, None, "low_confidence"),
        ("1171234567", None, True, "+5511971234567", None),
        ("1171234567", "BR", None, "+5511971234567", None),
        ("1171234567", " br ", None, "+5511971234567", None),
        ("+55 11 7123-4567", None, None, "+5511971234567", None),
        ("551171234567", None, None, "+5511971234567", None),
        ("1181234567", "PT", None, None, "low_confidence"),
        ("1181234567", "PT", True, "+5511981234567", None),
        ("1181234567", "ZZ", None, "+5511981234567", None),
        ("11961234567", "PT", None, "+5511961234567", None),
        ("51912345670", "PE", None, "+51912345670", None),
        ("51912345670", "pe", True, "+51912345670", None),
        ("51912345670", None, None, "+5551912345670", None),
        ("+351 912 345 670", None, None, "+351912345670", None),
        ("00351912345670", None, None, "+351912345670", None),
        ("351912345670", None, None, None, "foreign_guess"),
        ("351912345670", "PT", None, "+351912345670", None),
        ("5212221234567", "MX", None, "+522221234567", None),
        ("(351) 912345670", None, None, None, "invalid"),
        ("11987654321", "BR", True, None, "suspect"),
        ("11 99999-0000", "BR", True, None, "suspect"),
        ("11 98888-8888", "BR", True, None, "suspect"),
        ("961234567", "BR", True, None, "missing_ddd"),
        ("08007771234", None, None, None, "service_number"),
        ("+55 800 777 1234", None, None, None, "service_number"),
        ("+1 800 555 0199", None, None, None, "service_number"),
        ("+34 666666666", None, None, None, "placeholder"),
        ("+0511961234567", None, None, None, "invalid"),
    ],
)
def test_identity_key(cell, country, brazilian, key, reason):
    seen = one(cell, country, brazilian)
    assert (seen["phone_key"], seen["reason"]) == (key, reason)


def test_a_number_is_shown_even_where_it_is_no_key():
    seen = one("1171234567")
    assert seen["e164"] == "+5511971234567"
    assert seen["flags"] == ["ninth_digit_added", "low_confidence"]
    seen = one("1181234567", "PT")
    assert seen["flags"] == ["ninth_digit_added", "country_mismatch", "low_confidence"]


@pytest.mark.parametrize(
    ("cell", "e164", "reason"),
    [
        ("tel: (11) 96123-4567 (zap)", "+5511961234567", None),
        ("(0xx11) 2345-6788", "+551123456788", None),
        ('="5511961234567"', "+5511961234567", None),
        ("5511961234567:3@s.whatsapp.net", "+5511961234567", None),
        ("51912345670@c.us", "+51912345670", None),
        ("https://api.whatsapp.com/send?phone=%2B5511961234567&text=1", "+5511961234567", None),
        ("(11) 3979-0903 x92", "+551139790903", None),
        ("11961234567\u00a0", "+5511961234567", None),
        ("11 90952-FFDD", None, "invalid"),
        ("11 9095A2-1234", None, "not_a_phone"),
        ("maria@example.com", None, "not_a_phone"),
        ("5,5E+12", None, "lossy_scientific"),
        ("5E12", None, "lossy_scientific"),
        ("11.96123.4567", "+5511961234567", None),
        ("11961234567.00", "+5511961234567", None),
        ("11961234567 11961234568", None, "invalid"),
        ("+", None, "not_a_phone"),
        ("()", None, "not_a_phone"),
        ("null", None, "missing"),
        (" NaN ", None, "missing"),
        ("N/A", None, "missing"),
        ("-", None, "missing"),
        ("'", None, "missing"),
        ("\u200b", None, "missing"),
        (None, None, "missing"),
        ("7", None, "placeholder"),
    ],
)
def test_what_surrounds_a_number(cell, e164, reason):
    seen = one(cell)
    assert (seen["e164"], seen["reason"]) == (e164, reason)


@pytest.mark.parametrize(
    ("cell", "e164", "others"),
    [
        ("11961234567 ou 11961234568", "+5511961234567", ["+5511961234568"]),
        ("961234567; 11961234568", "+5511961234568", []),
        ("11987654321, 11961234568", "+5511961234568", ["+5511987654321"]),
        ("11961234567 | +55 11 96123-4567", "+5511961234567", []),
        ("11961234567\n1123456788\n+351912345670", "+5511961234567",
         ["+551123456788", "+351912345670"]),
        ("961234567 / 961234568", None, []),
    ],
)  # fmt: skip
def test_several_numbers_in_a_cell(cell, e164, others):
    seen = one(cell)
    assert (seen["e164"], seen["others"]) == (e164, others)
    assert "several_numbers" in seen["flags"]


@pytest.mark.parametrize(
    "cells",
    [
        pl.Series([], dtype=pl.String),
        pl.Series([None, None]),
        pl.Series([None, "11961234567", None, "sem", "11961234567 / 11961234568"]),
        pl.Series([5511961234567, None]),
    ],
)
def test_any_series_gives_one_row_per_row(cells):
    numbers = normalize_phones(cells)
    assert numbers.columns == COLUMNS
    assert numbers.height == cells.len()
    assert numbers["flags"].dtype == numbers["others"].dtype == pl.List(pl.String)
    assert numbers["e164"].dtype == numbers["phone_key"].dtype == pl.String
    assert numbers["e164"].null_count() == sum("1196123" not in str(cell) for cell in cells)


def test_order_is_kept_when_rows_take_different_ways():
    ways = ["11961234567", None, "+351912345670", "11 2345-6788 / 1123456799", "x", "51912345670"]
    countries = pl.Series(["BR", "BR", "BR", "BR", "BR", "PE"] * 50)
    numbers = normalize_phones(pl.Series(ways * 50), countries)
    expected = ["+5511961234567", None, "+351912345670", "+551123456788", None, "+51912345670"]
    assert numbers["e164"].to_list() == expected * 50


def test_whatsapp_variants():
    e164 = pl.Series(
        "phone", ["+5511961234567", "+551123456788", "+5511912345670", "+351912345670", None]
    )
    variants = whatsapp_variants(e164)
    assert variants.name == "phone"
    assert variants.to_list() == [
        ["5511961234567", "551161234567"],
        ["551123456788"],
        ["5511912345670"],
        ["351912345670"],
        None,
    ]
    assert whatsapp_variants(pl.Series([None])).to_list() == [None]


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(STATE_OF_AREA_CODE)),
    st.from_regex(r"\A9[0-9]{8}\Z") | st.from_regex(r"\A[2-9][0-9]{7}\Z"),
)
def test_every_variant_leads_back_to_its_number(area, local):
    e164 = normalize_phones(pl.Series([f"+55{area}{local}"]))["e164"].drop_nulls()
    variants = whatsapp_variants(e164).explode()
    again = normalize_phones(variants)["e164"]
    assert set(again) == set(e164)


@settings(max_examples=50, deadline=None)
@given(st.text("0123456789+() -", max_size=16))
def test_reading_a_number_again_changes_nothing(cell):
    first = one(cell)
    if first["e164"] is not None:
        again = one(first["e164"])
        assert again["e164"] == first["e164"]
        assert again["kind"] == first["kind"]


def test_states():
    codes = pl.Series("ddd", ["11", "61", "55", "99", "20", None])
    assert state_of_area_code(codes).to_list() == ["SP", "DF", "RS", "MA", None, None]
    assert len(STATE_OF_AREA_CODE) == 67
    assert len(set(STATE_OF_AREA_CODE.values())) == 27
