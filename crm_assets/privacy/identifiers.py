"""What identifies a person in a row: the values that a tombstone is made over (rules 7.1).

Whatever a cell says is brought to every form under which the same person may come again, and the
same cell always gives the same forms. Pure; nothing is read or written here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import polars as pl

from crm_assets.contact.document import normalize_documents
from crm_assets.contact.email import normalize_emails
from crm_assets.contact.phone import normalize_phones, whatsapp_variants
from crm_assets.contact.placeholders import fold_text, is_missing_text

Traits = Mapping[str, tuple[str, ...]]
"""Kind of identifier -> the columns of a table, or SQL over them, that hold it."""

CLAIMED = ("email", "phone", "document")
"""Kinds that people share, as a family does its phone; the others are one account's own."""

SHARED = "shared"
"""A shared value together with the name beside it."""

NAME = "name"
"""The trait that tells who of those who share a value is meant; never an identifier by itself."""

_PIECE_OF_EMAIL = r"[^\s;,/|<>\"'(){}\[\]:=]+@[^\s;,/|<>\"'(){}\[\]:=]+"
_PIECE_OF_NUMBER = r"\+?\d[\d\s().-]{6,}\d"
_PIECE_OF_CODE = r"[\w./@-]{4,}"
_NO_NUMBER = ("missing", "not_a_phone", "lossy_scientific", "placeholder", "suspect", "missing_ddd")
_FOREIGN_LENGTH, _NUMBER_LENGTH = 6, 10
_SHORTEST = dict.fromkeys(("ucode", "subscriber", "manychat"), 6)
"""A shorter id is a line's number in somebody's list, and the next list has it again."""


def identifiers(frame: pl.DataFrame, traits: Traits) -> pl.DataFrame:
    """Every identifier of every row.

    Args:
        frame: rows of a table, or what was selected of one.
        traits: which columns identify, by kind.

    Returns:
        `row` (position in the frame), `kind` and `value`, each once. A value that people may share
        comes a second time, as kind `shared`, for each name of the row.
    """
    found = [
        read(kind, _texts(frame, column)) for kind, columns in traits.items() for column in columns
    ]
    every = pl.concat([_NOTHING, *found]).unique()
    together = (
        every.filter(pl.col("kind").is_in(CLAIMED))
        .join(every.filter(pl.col("kind") == NAME), on="row", suffix="_of_name")
        .select(
            "row",
            pl.lit(SHARED).alias("kind"),
            pl.concat_str("value", "value_of_name", separator=" ").alias("value"),
        )
    )
    return pl.concat([every, together]).unique()


def read(kind: str, texts: pl.Series) -> pl.DataFrame:
    """Identifiers of one kind in a column of cells, as `identifiers` gives them."""
    cells = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_row_index("row")
    distinct = cells["text"].drop_nulls().unique()
    if distinct.is_empty():
        return _NOTHING
    values = _READERS.get(kind, _codes)(distinct)
    values = values.filter(pl.col("value").str.len_chars() >= _SHORTEST.get(kind, 1))
    return (
        cells.join(values.drop_nulls().unique(), on="text")
        .select("row", pl.lit(kind).alias("kind"), "value")
        .unique()
    )


def mentioned(texts: pl.Series, kinds: frozenset[str]) -> pl.DataFrame:
    """Identifiers anywhere inside free texts, as `identifiers` gives them.

    Args:
        texts: cells, lines or JSON.
        kinds: those that are looked for.
    """
    cells = texts.cast(pl.String).rename("text").to_frame().with_row_index("row").drop_nulls()
    found = [_NOTHING]
    for kind in sorted(kinds):
        piece = pl.col("text").str.extract_all(_PIECES.get(kind, _PIECE_OF_CODE))
        pieces = cells.with_columns(piece).explode("text").drop_nulls("text")
        values = read(kind, pieces["text"])
        found.append(values.with_columns(pieces["row"].gather(values["row"])))
    return pl.concat(found).unique()


def _texts(frame: pl.DataFrame, column: str) -> pl.Series:
    return frame.select(pl.sql_expr(column).cast(pl.String).alias("text")).to_series()


def _emails(texts: pl.Series) -> pl.DataFrame:
    """The address of a cell, and each of several."""
    cells = texts.rename("text").to_frame()
    several = cells.with_columns(
        piece=pl.concat_list(
            pl.concat_list("text"), pl.col("text").str.extract_all(_PIECE_OF_EMAIL)
        )
    ).explode("piece")
    keys = normalize_emails(several["piece"])["email_key"]
    return several.select("text", keys.alias("value"))


def _phones(texts: pl.Series) -> pl.DataFrame:
    """Digits of a number with country code, with and without the ninth one, and as written.

    A number is read with and without evidence of Brazil, since the next source may have it or not.
    """
    cells = pl.concat([texts, texts]).rename("text")
    brazilian = pl.repeat(True, len(texts), dtype=pl.Boolean, eager=True)
    numbers = normalize_phones(cells, brazilian=pl.concat([~brazilian, brazilian]))
    forms = whatsapp_variants(numbers["e164"])
    written = cells.str.replace_all(r"\D", "").str.strip_chars_start("0")
    is_number = (written.str.len_chars() >= _NUMBER_LENGTH) & ~numbers["reason"].is_in(
        _NO_NUMBER
    ).fill_null(False)
    is_dummy = numbers["reason"].is_in(["suspect", "placeholder"]).fill_null(False)
    return pl.concat(
        [
            pl.DataFrame({"text": cells, "value": forms}).filter(~is_dummy).explode("value"),
            pl.DataFrame({"text": cells, "value": written}).filter(is_number),
        ]
    )


def _documents(texts: pl.Series) -> pl.DataFrame:
    """A document whose digits agree, or another one that is long enough to be somebody's."""
    count = len(texts)
    country = pl.Series([None, "XX"], dtype=pl.String).gather([0] * count + [1] * count)
    said = normalize_documents(pl.concat([texts, texts]), country)
    home, abroad = said.head(count), said["document"].tail(count)
    other = pl.col("abroad")
    is_somebodys = (other.str.len_chars() >= _FOREIGN_LENGTH) & (
        other.str.strip_chars(other.str.head(1)) != ""
    )
    return home.with_columns(texts.alias("text"), abroad.alias("abroad")).select(
        "text",
        pl.when("document_valid").then("document").when(is_somebodys).then("abroad").alias("value"),
    )


def _names(texts: pl.Series) -> pl.DataFrame:
    """A name without what typing changes: case, accents and repeated blanks."""
    bare = pl.col("text").str.normalize("NFKD").str.replace_all(r"\p{M}", "")
    folded = fold_text(bare).str.to_lowercase().str.replace_all(r"\s+", " ")
    cells = texts.rename("text").to_frame()
    return cells.select("text", pl.when(~is_missing_text(folded)).then(folded).alias("value"))


def _codes(texts: pl.Series) -> pl.DataFrame:
    """An id of a source, as it is written."""
    code = pl.col("text").str.strip_chars().str.strip_chars_start("@").str.to_lowercase()
    cells = texts.rename("text").to_frame()
    return cells.select("text", pl.when(~is_missing_text(code)).then(code).alias("value"))


_NOTHING = pl.DataFrame(schema={"row": pl.UInt32, "kind": pl.String, "value": pl.String})
_READERS: dict[str, Callable[[pl.Series], pl.DataFrame]] = {
    "email": _emails,
    "phone": _phones,
    "document": _documents,
    NAME: _names,
}
_PIECES = {"email": _PIECE_OF_EMAIL, "phone": _PIECE_OF_NUMBER}


def folded(text: str) -> str:
    """A text as searches compare it."""
    return re.sub(r"\s+", " ", text).strip().casefold()
