"""A ManyChat contact file: the bytes of a file, or of a sheet's address, to typed rows.

Here belongs what the cells under each header mean in `bronze.manychat_contacts`, and what damage
spreadsheets do to such cells. Phones and e-mails are not normalised.
"""

import re
from datetime import UTC, datetime, timedelta

import polars as pl

from crm_assets.bronze.text_table import (
    SURPLUS,
    RefusedFile,
    TypedFile,
    json_records,
    read_table,
)
from crm_assets.contact.dates import NULL_WORDS, OUT_OF_RANGE, UNREADABLE, parse_dates
from crm_assets.contact.headers import CANONICAL, match_headers
from crm_assets.contact.tags import split_tags

_DATES = tuple(name for name in CANONICAL if name.endswith("_at"))
_NEVER_FUTURE = ("remarketing_at", "last_interaction_at", "subscribed_at")
_OPTINS = ("optin_whatsapp", "optin_sms", "optin_email")
_FLAGS = ("scheduled", "contact_flag")
_IDS = ("manychat_id", "ig_id")
_PHONES = ("phone", "whatsapp_phone")

CONTACT_SCHEMA = pl.Schema(
    {"line": pl.Int64()}
    | dict.fromkeys(CANONICAL, pl.String())
    | dict.fromkeys(_DATES, pl.Datetime("us", "UTC"))
    | dict.fromkeys(_OPTINS, pl.Boolean())
    | {"tags": pl.List(pl.String()), "custom_fields": pl.String(), "raw": pl.String()}
)

FUTURE = "data_no_futuro"
LOSSY = "digitos_perdidos"
TRUNCATED = "id_truncado"
UNKNOWN_ANSWER = "resposta_desconhecida"

REASONS = {
    UNREADABLE: "A célula não contém uma data reconhecida e ficou vazia.",
    OUT_OF_RANGE: "A data está fora dos anos 2000 a 2099 e ficou vazia.",
    FUTURE: "A data está mais de um dia no futuro e ficou vazia.",
    LOSSY: "A planilha gravou o número em notação científica e perdeu dígitos.",
    TRUNCATED: "A planilha trocou os últimos dígitos do id por zeros.",
    UNKNOWN_ANSWER: "A resposta não é sim nem não e ficou vazia.",
    SURPLUS: "A linha tem mais células que o cabeçalho e esta ficou fora da tabela.",
}
"""Reject code → what the person who sent the file reads beside the line and the column."""

_YES = ("true", "1", "1.0", "1,0", "sim", "s", "yes", "y", "verdadeiro")
_NO = ("false", "0", "0.0", "0,0", "não", "nao", "n", "no", "falso")
_ANSWERS = dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False)
_PROFILE_URL = r"^(?i:(?:https?://)?(?:www\.|m\.)?instagram\.com/)"
_CELL_VALUE = re.compile(r"@|\d{5}")


def read_contacts(content: bytes, *, timezone: str, now: datetime) -> TypedFile:
    """Read a contact file of any shape seen in the field (rules 3.1 and 1.12).

    Args:
        content: The whole file.
        timezone: IANA zone of the account, in which dates without an offset are meant.
        now: Aware instant; a contact more than one day after it cannot have happened.

    Returns:
        The rows as received and typed, the rejected cells, and how the file was read.

    Raises:
        RefusedFile: The file is empty, binary, absurdly large in some direction, or has no column
            that says who a contact is.
    """
    table = read_table(content, _recognised, _refuse_strangers)
    match, cells, clean = match_headers(table.header), table.cells, table.clean
    columns = {"line": cells["line"]}
    rejects = [table.surplus]
    latest = now.astimezone(UTC) + timedelta(days=1)
    for name, index in match.columns.items():
        read = _typed(name, clean[str(index)].alias("cell").to_frame(), timezone, latest)
        columns[name] = read["value"]
        rejects.append(
            clean.select("line", pl.lit(match.labels[index]).alias("column"))
            .with_columns(read["reason"], clean[str(index)].alias("raw"))
            .drop_nulls("reason")
        )
    void = {index for index in match.nameless if clean[str(index)].is_null().all()}
    custom = {label: index for label, index in match.custom.items() if index not in void}
    hidden = void.union(match.dropped)
    kept = {label: index for index, label in enumerate(match.labels) if index not in hidden}
    columns["custom_fields"] = json_records(clean, custom)
    columns["raw"] = json_records(cells, kept)
    absent = pl.Series([None], dtype=pl.Null).new_from_index(0, cells.height)
    return TypedFile(
        frame=pl.DataFrame({name: columns.get(name, absent) for name in CONTACT_SCHEMA}).cast(
            CONTACT_SCHEMA
        ),
        rejects=pl.concat(rejects).sort("line", maintain_order=True),
        encoding=table.encoding,
        separator=table.separator,
        unmapped=list(custom),
        duplicated=match.duplicated,
        table=table,
    )


def _recognised(header: list[str]) -> int:
    return len(match_headers(header).columns)


def _refuse_strangers(header: list[str]) -> None:
    match = match_headers(header)
    wanted = "e-mail, telefone, WhatsApp, Instagram ou id do ManyChat"
    if match.has_contact:
        return
    if any(map(_CELL_VALUE.search, header)):
        raise RefusedFile(
            f"A primeira linha não é um cabeçalho com os nomes das colunas ({wanted})."
        )
    names = ", ".join(label[:40] for label in match.labels[:30]) or "nenhuma"
    cause = "não tem coluna de contato"
    if len(header) == 1:
        cause = "ficou com uma só coluna, talvez pelo separador, e não é de contato"
    raise RefusedFile(f"O arquivo {cause} ({wanted}); colunas encontradas: {names}.")


def _typed(name: str, frame: pl.DataFrame, timezone: str, latest: datetime) -> pl.DataFrame:
    """Return `value` and `reason` (null where nothing is wrong) of one column's cells."""
    cell = pl.col("cell")
    value, reason = cell, pl.lit(None, dtype=pl.String)
    if name in _DATES:
        frame = parse_dates(frame["cell"], timezone)
        future = (pl.col("at") > latest) & (name in _NEVER_FUTURE)
        value = pl.when(~future).then("at")
        reason = pl.when(future).then(pl.lit(FUTURE)).otherwise("reason")
    elif name in _OPTINS:
        answer = cell.str.to_lowercase()
        value = answer.replace_strict(_ANSWERS, default=None, return_dtype=pl.Boolean)
        unknown = ~answer.is_in([*_ANSWERS, *NULL_WORDS])
        reason = pl.when(unknown).then(pl.lit(UNKNOWN_ANSWER))
    elif name in _IDS or name in _PHONES:
        value = _unguarded(cell)
        reason = pl.when(_lost_digits(value)).then(pl.lit(LOSSY))
        if name in _IDS:
            reason = pl.coalesce(reason, pl.when(_zeroed(value)).then(pl.lit(TRUNCATED)))
    elif name == "tags":
        names = frame.unique().drop_nulls()
        lists = pl.Series([split_tags(text) for text in names["cell"]], dtype=pl.List(pl.String()))
        frame = frame.join(names.with_columns(tags=lists), "cell", "left", maintain_order="left")
        value = pl.col("tags")
    elif name in _FLAGS:
        value = cell.str.to_uppercase().replace("NÃO", "NAO")
    elif name == "ig_username":
        handle = cell.str.replace(_PROFILE_URL, "").str.replace(r"[/?].*$", "")
        value = handle.str.strip_chars_start("@").replace("", None)
    return frame.select(value=value, reason=reason)


def _unguarded(cell: pl.Expr) -> pl.Expr:
    """Strip apostrophes, formula guards and the float ending that spreadsheets add to digits."""
    bare = cell.str.strip_chars_start("='\"").str.strip_chars_end("'\"").str.strip_chars()
    return bare.str.replace(r"^(\+?\d{5,})[.,]0+$", "$1").replace("", None)


def _lost_digits(number: pl.Expr) -> pl.Expr:
    """Whether scientific notation shows fewer digits than the number has."""
    scientific = r"^\d(?:[.,](\d+))?[eE]\+?(\d{1,3})$"
    decimals = number.str.extract(scientific, 1).fill_null("").str.len_chars()
    return decimals < number.str.extract(scientific, 2).cast(pl.Int64)


def _zeroed(number: pl.Expr) -> pl.Expr:
    """Whether a spreadsheet's 15 significant digits cut an id: two zeros or more fill the rest."""
    return number.str.contains(r"^[1-9]\d{14}00+$")
