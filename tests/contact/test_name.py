"""Names that are shown, first names for greetings, and the words that mean nothing."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.contact.name import clean_names
from crm_assets.contact.placeholders import is_missing_text


def one(cell):
    return clean_names(pl.Series([cell], dtype=pl.String)).row(0)


@pytest.mark.parametrize(
    ("cell", "name", "first_name"),
    [
        ("  Maria   da Silva ", "Maria da Silva", "Maria"),
        ("MARIA SILVA", "MARIA SILVA", "Maria"),
        ("joão", "joão", "João"),
        ("Mari 🌸", "Mari 🌸", "Mari"),
        ("🌸 Mari", "🌸 Mari", "Mari"),
        ("mar\u200bia\tlima\u00a0", "maria lima", "Maria"),
        ("Jose\u0301 Lima", "José Lima", "José"),
        ("𝓜𝓪𝓻𝓲𝓪", "𝓜𝓪𝓻𝓲𝓪", "Maria"),
        ("ana-clara souza", "ana-clara souza", "Ana-Clara"),
        ("J. Souza", "J. Souza", None),
        ("Dra. Ana Lima", "Dra. Ana Lima", "Ana"),
        ("Drauzio", "Drauzio", "Drauzio"),
        ("Sem Nome da Silva", "Sem Nome da Silva", "Sem"),
    ],
)
def test_name(cell, name, first_name):
    assert one(cell) == (name, first_name)


@pytest.mark.parametrize(
    "cell",
    [
        None, "", " ", "null", "NaN", "-", "N/A", "Unknown Buyer", "unknown", "Sem nome",
        "SEM NOME!", "Não informado", "Desconhecido", "Cliente", "teste", "{{first_name}}",
        "ana@example.com", "🌸", "123", ".", "\u200b",
    ],
)  # fmt: skip
def test_no_name(cell):
    assert one(cell) == (None, None)


@pytest.mark.parametrize(
    "cells", [pl.Series([], dtype=pl.String), pl.Series([None, None]), pl.Series(["-"])]
)
def test_any_series_gives_one_row_per_row(cells):
    seen = clean_names(cells)
    assert seen.schema == {"name": pl.String, "first_name": pl.String}
    assert seen["name"].null_count() == cells.len()


@settings(max_examples=60, deadline=None)
@given(st.text("aBÉ '-.@1🌸\u200b\t", max_size=12))
def test_cleaning_twice_changes_nothing(cell):
    name, first_name = one(cell)
    if name is not None:
        assert one(name) == (name, first_name)
        assert name == name.strip()
        assert "  " not in name


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " \t",
        "\u200b\ufeff",
        "Null",
        "NAN",
        "none",
        "-",
        "--",
        "–",
        "n/a",
        " N/A ",
        "#N/D",
        "- -",
        "nan null",
    ],
)
def test_missing_text(text):
    assert missing(text) is True


@pytest.mark.parametrize("text", ["0", "nulla", "Nan Li", "não", "a-", "null Lima"])
def test_present_text(text):
    assert missing(text) is False


def missing(text):
    frame = pl.DataFrame({"text": [text]}, schema={"text": pl.String})
    return frame.select(is_missing_text(pl.col("text"))).item()
