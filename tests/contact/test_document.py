"""CPF, CNPJ and foreign documents."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.contact.document import normalize_documents

ALNUM = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def one(cell, country=None):
    countries = pl.Series([country], dtype=pl.String)
    return normalize_documents(pl.Series([cell], dtype=pl.String), countries).row(0)


def cpf(body):
    digits = [int(c) for c in body]
    for start in (10, 11):
        rest = sum(d * (start - i) for i, d in enumerate(digits)) * 10 % 11
        digits.append(rest % 10)
    return "".join(map(str, digits))


def cnpj(body):
    for _ in range(2):
        weights = [2 + i % 8 for i in range(len(body))][::-1]
        rest = sum((ord(c) - 48) * w for c, w in zip(body, weights, strict=True)) % 11
        body += str(0 if rest < 2 else 11 - rest)
    return body


@pytest.mark.parametrize(
    ("cell", "country", "expected"),
    [
        ("123.456.789-09", None, ("12345678909", "cpf", True)),
        ("123.456.789-09", "br", ("12345678909", "cpf", True)),
        ("012.345.678-90", None, ("01234567890", "cpf", True)),
        ("1234567890", None, ("01234567890", "cpf", True)),
        ("1234567890,0", None, ("01234567890", "cpf", True)),
        ("CPF: 123.456.789-09", None, ("12345678909", "cpf", True)),
        ("'12345678909", "", ("12345678909", "cpf", True)),
        ("111.111.111-11", None, ("11111111111", "cpf", False)),
        ("12345678900", None, ("12345678900", "cpf", False)),
        ("1234567891", None, ("1234567891", "cpf", False)),
        ("11.222.333/0001-81", None, ("11222333000181", "cnpj", True)),
        ("12ABC34501DE35", None, ("12ABC34501DE35", "cnpj", True)),
        ("12.abc.345/01de-35", "BR", ("12ABC34501DE35", "cnpj", True)),
        ("12ABC34501DE36", None, ("12ABC34501DE36", "cnpj", False)),
        ("00000000000000", None, ("00000000000000", "cnpj", False)),
        ("AB123456", "BR", ("AB123456", None, False)),
        ("12.345.678-X", None, ("12345678X", None, False)),
        ("20-12345678-9", "AR", ("20123456789", "foreign", None)),
        ("12345678909", "PT", ("12345678909", "foreign", None)),
        ("123.456.789-09", "PT", ("12345678909", "cpf", True)),
        ("1,23457E+10", None, (None, None, False)),
        ("---", None, (None, None, None)),
        ("null", "PT", (None, None, None)),
        (None, "BR", (None, None, None)),
    ],
)
def test_worked_example(cell, country, expected):
    assert one(cell, country) == expected


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.text("0123456789", min_size=9, max_size=9).filter(lambda body: len(set(body)) > 1))
def test_every_cpf_survives_the_loss_of_its_zeros(body):
    number = cpf(body)
    written = number.lstrip("0")
    if len(written) >= 9:
        assert one(written) == (number, "cpf", True)
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert one(wrong)[2] is False


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.text(ALNUM, min_size=12, max_size=12).filter(lambda body: len(set(body)) > 1))
def test_every_cnpj_with_or_without_letters(body):
    number = cnpj(body)
    assert one(number.lower()) == (number, "cnpj", True)
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert one(wrong) == (wrong, "cnpj", False)


def test_cnpj_from_a_spreadsheet_gets_its_zeros_back():
    number = cnpj("001234560001")
    assert one(number.lstrip("0")) == (number, "cnpj", True)


@pytest.mark.parametrize(
    "cells", [pl.Series([], dtype=pl.String), pl.Series([None, None]), pl.Series([12345678909])]
)
def test_any_series_gives_one_row_per_row(cells):
    seen = normalize_documents(cells)
    assert seen.schema == {
        "document": pl.String,
        "document_kind": pl.String,
        "document_valid": pl.Boolean,
    }
    assert seen.height == cells.len()
    assert seen["document"].null_count() == cells.null_count()
