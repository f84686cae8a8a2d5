"""A sales export of Hotmart's own panel: bytes in, typed rows and rejected cells out."""

from collections.abc import Iterable

import polars as pl

from crm_assets.bronze.hotmart_csv_words import (
    ALIASES,
    NEVER_KEPT,
    ROLE_OF,
    STATUS_OF,
    columns_of,
    price_currencies,
)
from crm_assets.bronze.text_table import (
    SURPLUS,
    RefusedFile,
    TypedFile,
    json_records,
    read_table,
)
from crm_assets.contact.dates import OUT_OF_RANGE, UNREADABLE, parse_dates
from crm_assets.contact.headers import match_headers, normalise_header

_SYMBOLS = {"R$": "BRL", "US$": "USD", "€": "EUR"}
_CENTS = r"([.,])(?:\d{1,2}|\d{4,})$"
_UNSURE = r"^-?[1-9]\d{0,2}[.,]\d{3}$"
_EMPTY = ["(none)", "(nenhum)", "null", "none", "-", "--"]
_DATES = ("ordered_at", "approved_at")
_AMOUNTS = ("price_value", "net_value")
_CURRENCIES = ("price_currency", "net_currency")
_COUNTS = ("installments", "recurrence_number")

SALE_SCHEMA = pl.Schema(
    {"line": pl.Int64()}
    | {name: pl.String() for name in ALIASES if name != "area_code"}
    | dict.fromkeys(_DATES, pl.Datetime("us", "UTC"))
    | dict.fromkeys(_AMOUNTS, pl.Decimal(18, 2))
    | dict.fromkeys(_COUNTS, pl.Int64())
    | {"raw": pl.String()}
)

NO_TRANSACTION = "transacao_ausente"
BAD_AMOUNT = "valor_ilegivel"
NEGATIVE = "preco_negativo"
BAD_COUNT = "numero_ilegivel"
BAD_CURRENCY = "moeda_desconhecida"
SEVERAL_CURRENCIES = "moeda_ambigua"

REASONS = {
    NO_TRANSACTION: "A linha não tem o código da transação e ficou fora da tabela.",
    UNREADABLE: "A célula não contém uma data reconhecida e ficou vazia.",
    OUT_OF_RANGE: "A data está fora dos anos 2000 a 2099 e ficou vazia.",
    BAD_AMOUNT: "A célula não contém um valor em dinheiro reconhecido e ficou vazia.",
    NEGATIVE: "O preço é menor que zero e ficou vazio.",
    BAD_COUNT: "A célula não contém um número inteiro e ficou vazia.",
    BAD_CURRENCY: "A célula não contém o código de uma moeda e ficou vazia.",
    SEVERAL_CURRENCIES: "A linha cita moedas diferentes e a do preço ficou vazia.",
    SURPLUS: "A linha tem mais células que o cabeçalho e esta ficou fora da tabela.",
}
"""Reject code → what the person who sent the file reads beside the line and the column."""


def read_sales(content: bytes, *, timezone: str) -> TypedFile:
    """Read a sales export of Hotmart's panel (rules 1.7, 1.12 and 8).

    Args:
        content: The whole file.
        timezone: IANA zone of the account, in which its dates are meant.

    Returns:
        The rows as received and typed, in the columns of `SALE_SCHEMA`; the rejected cells, with
        whole rows that have no transaction; and how the file was read.

    Raises:
        RefusedFile: The file is no table, or has no transaction column.
    """
    table = read_table(content, _recognised, _refuse_strangers)
    labels = match_headers(table.header).labels
    keys = [normalise_header(text) for text in table.header]
    columns = columns_of(keys)
    hidden = {index for index, key in enumerate(keys) if key in NEVER_KEPT}
    clean = table.clean.with_columns(
        pl.when(~pl.exclude("line").str.to_lowercase().is_in(_EMPTY)).then(pl.exclude("line"))
    )
    code = clean[str(columns["transaction"])]
    is_sale = code.str.contains(r"^\S+$").fill_null(value=False)
    raw = json_records(table.cells, {label: i for i, label in enumerate(labels) if i not in hidden})
    stray = pl.DataFrame({"line": clean["line"], "raw": raw}).filter(~is_sale)
    rejects = [
        table.surplus,
        stray.select(
            "line",
            pl.lit(labels[columns["transaction"]]).alias("column"),
            pl.lit(NO_TRANSACTION).alias("reason"),
            "raw",
        ),
    ]
    clean, raw = clean.filter(is_sale), raw.filter(is_sale)
    typed: dict[str, pl.Series] = {"line": clean["line"], "raw": raw}

    def take(name: str, label: str, cells: pl.Series, read: pl.DataFrame) -> None:
        typed[name] = read["value"]
        rejects.append(
            pl.DataFrame({"line": clean["line"], "raw": cells})
            .select("line", pl.lit(label).alias("column"), read["reason"], "raw")
            .drop_nulls("reason")
        )

    mark = _decimal_mark([clean[str(columns[name])] for name in _AMOUNTS if name in columns])
    for name, index in columns.items():
        cells = clean[str(index)]
        take(name, labels[index], cells, _typed(name, cells, timezone, mark))
    bare = price_currencies(keys)
    if "price_currency" not in columns and bare:
        cells, read = _agreed(clean, bare)
        take("price_currency", labels[bare[0]], cells, read)
    if "area_code" in typed and "buyer_phone" in typed:
        typed["buyer_phone"] = _with_area_code(typed["area_code"], typed["buyer_phone"])
    absent = pl.Series([None], dtype=pl.Null).new_from_index(0, clean.height)
    used = {*columns.values(), *hidden, *bare}
    return TypedFile(
        frame=pl.DataFrame({name: typed.get(name, absent) for name in SALE_SCHEMA}).cast(
            SALE_SCHEMA
        ),
        rejects=pl.concat(rejects).sort("line", maintain_order=True),
        encoding=table.encoding,
        separator=table.separator,
        unmapped=[label for index, label in enumerate(labels) if index not in used],
        duplicated=[],
        table=table,
    )


def _recognised(header: list[str]) -> int:
    return len(columns_of([normalise_header(text) for text in header]))


def _refuse_strangers(header: list[str]) -> None:
    if "transaction" in columns_of([normalise_header(text) for text in header]):
        return
    labels = match_headers(header).labels
    if any("@" in label for label in labels):
        raise RefusedFile("A primeira linha não é um cabeçalho com os nomes das colunas.")
    names = ", ".join(label[:40] for label in labels[:30]) or "nenhuma"
    raise RefusedFile(
        "O arquivo não tem a coluna do código da transação (Código da transação ou Transação); "
        f"colunas encontradas: {names}."
    )


def _typed(name: str, cells: pl.Series, timezone: str, mark: str | None) -> pl.DataFrame:
    """Return `value` and `reason` (null where nothing is wrong) of one column's cells."""
    if name in _DATES:
        return parse_dates(cells, timezone).rename({"at": "value"})
    if name == "price_value":
        return _prices(cells, mark)
    value, reason = cells, None
    if name in _AMOUNTS:
        value, reason = parse_amounts(cells, mark), BAD_AMOUNT
    elif name in _COUNTS:
        value, reason = cells.str.extract(r"^(\d{1,6})(?:[.,]0+)?$").cast(pl.Int64), BAD_COUNT
    elif name in _CURRENCIES:
        value, reason = _currencies(cells), BAD_CURRENCY
    elif name == "status":
        value = _translated(cells, STATUS_OF).fill_null(cells)
    elif name == "commission_as":
        value = _translated(cells, ROLE_OF)
    return _judged(cells, value, reason)


def _prices(cells: pl.Series, mark: str | None) -> pl.DataFrame:
    """`value` and `reason` of amounts that cannot be negative, as a commission can."""
    read = _judged(cells, parse_amounts(cells, mark), BAD_AMOUNT)
    is_negative = pl.col("value") < 0
    return read.select(
        value=pl.when(~is_negative).then("value"),
        reason=pl.when(is_negative).then(pl.lit(NEGATIVE)).otherwise("reason"),
    )


def parse_amounts(cells: pl.Series, mark: str | None = None) -> pl.Series:
    """Money as spreadsheets of Brazil and abroad write it, to cents; null where it is unreadable.

    Args:
        cells: String cells.
        mark: What stands before the cents in this file. Without it `1.234` and `1,234`, which may
            be thousands or thousandths, are not read.
    """
    frame = _bare(cells).select(
        comma=_number(r"^(-?)([1-9]\d{0,2}(?:\.\d{3})+|\d+)(?:,(\d+))?$"),
        dot=_number(r"^(-?)([1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.(\d+))?$"),
        unsure=pl.col("text").str.contains(_UNSURE),
    )
    best = pl.coalesce("dot", "comma") if mark == "." else pl.coalesce("comma", "dot")
    if mark is None:
        best = pl.when(~pl.col("unsure")).then(best)
    exact = best.cast(pl.Decimal(38, 12), strict=False)
    cents = exact.round(2, mode="half_away_from_zero").cast(pl.Decimal(18, 2), strict=False)
    return frame.select(cents).to_series()


def _decimal_mark(columns: Iterable[pl.Series]) -> str | None:
    """The one mark that all amounts of a file which leave no doubt have before their cents."""
    found: set[str] = set()
    for cells in columns:
        found.update(_bare(cells)["text"].str.extract(_CENTS).drop_nulls())
    return found.pop() if len(found) == 1 else None


def _bare(cells: pl.Series) -> pl.DataFrame:
    """`text`: the cells without currency and blanks."""
    text = cells.str.replace_all(r"(?i)^(?:r\$|us\$|\$|€|[a-z]{3})|\s", "")
    return text.to_frame("text")


def _number(pattern: str) -> pl.Expr:
    """Sign, digits and decimals that a pattern finds, as a plain number."""
    part = pl.col("text").str.extract_groups(pattern).struct
    whole = part["2"].str.replace_all(r"[.,]", "")
    return pl.format("{}{}.{}", part["1"], whole, part["3"].fill_null("0"))


def _currencies(cells: pl.Series) -> pl.Series:
    code = cells.replace(_SYMBOLS).str.to_uppercase()
    return code.set(~code.str.contains(r"^[A-Z]{3}$").fill_null(value=True), None)


def _translated(cells: pl.Series, meaning: dict[str, str]) -> pl.Series:
    words = cells.unique().drop_nulls()
    said = [meaning.get(normalise_header(word)) for word in words]
    return cells.replace_strict(
        words, pl.Series(said, dtype=pl.String), default=None, return_dtype=pl.String
    )


def _agreed(clean: pl.DataFrame, indexes: Iterable[int]) -> tuple[pl.Series, pl.DataFrame]:
    """The currency that all bare currency cells of a row name; what they say, and the reading."""
    names = [str(index) for index in indexes]
    read = pl.DataFrame([_currencies(clean[name]).alias(name) for name in names])
    several = pl.concat_list(names).list.drop_nulls().list.n_unique() > 1
    told = clean.select(pl.concat_str(names, separator=" ", ignore_nulls=True).replace("", None))
    bad = pl.any_horizontal(read[name].is_null() & clean[name].is_not_null() for name in names)
    verdict = read.select(
        value=pl.when(~several).then(pl.coalesce(names)),
        reason=pl.when(several)
        .then(pl.lit(SEVERAL_CURRENCIES))
        .when(bad)
        .then(pl.lit(BAD_CURRENCY)),
    )
    return told.to_series(), verdict


def _with_area_code(area_codes: pl.Series, phones: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"area": area_codes, "phone": phones})
    joined = pl.concat_str("area", "phone", separator=" ")
    return frame.select(pl.coalesce(joined, "phone")).to_series()


def _judged(cells: pl.Series, value: pl.Series, reason: str | None) -> pl.DataFrame:
    lost = cells.is_not_null() & value.is_null()
    return pl.DataFrame({"value": value, "lost": lost}).select(
        "value", reason=pl.when("lost").then(pl.lit(reason, dtype=pl.String))
    )
