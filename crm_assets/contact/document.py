"""Tax documents: CPF, CNPJ (with letters since 2026) and the documents of other countries.

A Brazilian document counts only when its check digits agree; zeros that a spreadsheet dropped are
put back only when the result then agrees.
"""

import polars as pl

from crm_assets.contact.placeholders import fold_text, is_missing_text

_CPF_WEIGHTS = ((10, 9, 8, 7, 6, 5, 4, 3, 2), (11, 10, 9, 8, 7, 6, 5, 4, 3, 2))
_CNPJ_WEIGHTS = ((5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))
_CNPJ = r"^[0-9A-Z]{12}[0-9]{2}$"
_PUNCTUATED = (
    r"^(?:[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"
    r"|[0-9A-Z]{2}\.[0-9A-Z]{3}\.[0-9A-Z]{3}/[0-9A-Z]{4}-[0-9]{2})$"
)
_ALL_EQUAL = r"^(?:0+|1+|2+|3+|4+|5+|6+|7+|8+|9+)$"


def normalize_documents(text: pl.Series, country: pl.Series | None = None) -> pl.DataFrame:
    """Read a column of documents (manychat-contacts 4.10 and 1.5, rules 2.5).

    Args:
        text: What the source holds; nulls allowed.
        country: ISO-2 country per row, any case; null or empty = unknown, read as Brazilian.

    Returns:
        One row per input row, in order: `document` (upper case, letters and digits only),
        `document_kind` (cpf, cnpj, foreign; null when it is neither form of a Brazilian one) and
        `document_valid` (whether the check digits agree; null for missing and foreign documents).
    """
    raw = fold_text(pl.col("text")).str.to_uppercase()
    raw = raw.str.strip_chars_start("'\"= ").str.strip_chars_end("'\" ")
    raw = raw.str.replace(r"^(?:CPF/CNPJ|CNPJ/CPF|CPF|CNPJ)[^0-9A-Z]+", "")
    raw = raw.str.replace(r"^([0-9]+)[.,]0{1,2}$", "$1")
    frame = text.cast(pl.String).rename("text").to_frame()
    places = pl.lit(None, dtype=pl.String) if country is None else country.cast(pl.String)
    cells = frame.with_columns(country=places).lazy()
    place = pl.col("country").str.strip_chars().str.to_uppercase()
    cells = cells.with_columns(
        raw=pl.when(~is_missing_text(raw)).then(raw),
        abroad=~place.is_in(["", "BR"]).fill_null(True),
    ).with_columns(bare=_bare())
    bare, digits = pl.col("bare"), pl.col("bare").str.contains("^[0-9]+$")
    size = bare.str.len_bytes()
    cells = cells.with_columns(
        cpf=pl.when(digits & size.is_between(9, 11)).then(bare.str.zfill(11)),
        cnpj=pl.when(digits & size.is_between(12, 13))
        .then(bare.str.zfill(14))
        .when(bare.str.contains(_CNPJ))
        .then(bare),
    )
    cells = cells.with_columns(
        agrees=_agrees("cpf", _CPF_WEIGHTS) | _agrees("cnpj", _CNPJ_WEIGHTS),
    )
    brazilian = ~pl.col("abroad") | (pl.col("agrees") & pl.col("raw").str.contains(_PUNCTUATED))
    canonical = pl.when("agrees").then(pl.coalesce("cpf", "cnpj")).otherwise(bare)
    kind = (
        pl.when(~brazilian)
        .then(pl.lit("foreign"))
        .when(pl.col("cpf").is_not_null())
        .then(pl.lit("cpf"))
        .when(pl.col("cnpj").is_not_null())
        .then(pl.lit("cnpj"))
    )
    present = pl.col("raw").is_not_null()
    return cells.select(
        document=pl.when(brazilian).then(canonical).otherwise(bare),
        document_kind=pl.when(bare.is_not_null()).then(kind),
        document_valid=pl.when(present & brazilian).then("agrees"),
    ).collect()


def _bare() -> pl.Expr:
    """Letters and digits alone; nothing of a number a spreadsheet cut short (`1,23457E+10`)."""
    raw = pl.col("raw")
    bare = raw.str.replace_all("[^0-9A-Z]", "")
    lossy = raw.str.contains(r"^[0-9][.,]?[0-9]*E\+[0-9]+$")
    return pl.when(~lossy & (bare != "")).then(bare)


def _agrees(column: str, weights: tuple[tuple[int, ...], tuple[int, ...]]) -> pl.Expr:
    """Whether both check digits follow from what precedes them; all-equal digits never do.

    A character counts as its ASCII code less 48, a remainder below 2 gives 0.
    """
    size = len(weights[1]) + 1
    values = pl.col(column).cast(pl.Binary).bin.reinterpret(dtype=pl.Array(pl.UInt8, size))
    value = [values.arr.get(i).cast(pl.Int32) - 48 for i in range(size)]
    right = ~pl.col(column).str.contains(_ALL_EQUAL)
    for row in weights:
        total = sum((value[i] * weight for i, weight in enumerate(row)), start=pl.lit(0))
        rest = total % 11
        right &= value[len(row)] == pl.when(rest < 2).then(0).otherwise(11 - rest)
    return right.fill_null(False)
