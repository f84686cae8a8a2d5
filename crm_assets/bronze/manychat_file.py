"""A ManyChat contact file: bytes in, typed rows and rejected cells out.

Here belongs everything between the bytes of a file (or of a sheet's CSV address) and the columns of
`bronze.manychat_contacts`: encoding, separator, ragged rows, spreadsheet damage, typed values.
Nothing is read from or written to disk, and phones and e-mails are not normalised.

Neither polars nor DuckDB keeps the surplus cells of long rows, pads short ones, reads quoted line
breaks and numbers the lines, all at once. So a text without quotes is cut at its separators as
columns, one with quotes by the standard library; rows not as wide as the header are mended singly.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice

import polars as pl

from crm_assets.contact.dates import NULL_WORDS, OUT_OF_RANGE, UNREADABLE, parse_dates
from crm_assets.contact.headers import CANONICAL, HeaderMatch, match_headers
from crm_assets.contact.tags import split_tags

MAX_LINES = 2_000_000
MAX_LINE_LENGTH = 200_000
MAX_COLUMNS = 500

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
REJECT_SCHEMA = pl.Schema(
    {"line": pl.Int64(), "column": pl.String(), "reason": pl.String(), "raw": pl.String()}
)

FUTURE = "data_no_futuro"
LOSSY = "lossy_scientific"
TRUNCATED = "id_truncado"
UNKNOWN_ANSWER = "resposta_desconhecida"
SURPLUS = "celula_sobrando"

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

_SEPARATORS = "\t;,|"
_SEP_LINE = re.compile(r'\A"?sep=([^\w\s"]|\t)"?[ \t]*(?=[\r\n]|\Z)', re.IGNORECASE)
_SNIFFED = 65_536
_END = "\0"  # in no accepted text
_BOM = b"\xef\xbb\xbf"
_YES = ("true", "1", "1.0", "1,0", "sim", "s", "yes", "y", "verdadeiro")
_NO = ("false", "0", "0.0", "0,0", "não", "nao", "n", "no", "falso")
_ANSWERS = dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False)
_PROFILE_URL = r"^(?i:(?:https?://)?(?:www\.|m\.)?instagram\.com/)"
_CELL_VALUE = re.compile(r"@|\d{5}")
_MOJIBAKE = (
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013-\u203a\u20ac\u2122]"
)


class RefusedFile(Exception):
    """The file as a whole cannot be imported.

    Attributes:
        reason: One sentence in Portuguese with at most header names in it, never cell values.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ContactsFile:
    """What one file holds.

    Attributes:
        frame: One row per contact row, columns and types of `CONTACT_SCHEMA`.
        rejects: One row per cell that could not be taken as it stands, `REJECT_SCHEMA`; `column` is
            the header as written in the file, `reason` a key of `REASONS`.
        encoding: Python codec that read the bytes.
        separator: Character between the cells.
        unmapped: Headers kept as custom fields.
        duplicated: Headers whose column an earlier header already fills.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    encoding: str
    separator: str
    unmapped: list[str]
    duplicated: list[str]


def read_contacts(content: bytes, *, timezone: str, now: datetime) -> ContactsFile:
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
    text, encoding = _decode(content)
    text, separator = _find_separator(text)
    match, cells, surplus = _split(text, separator)
    clean = cells.select(
        "line",
        *(_repaired(cells[name]).str.strip_chars().replace("", None) for name in cells.columns[1:]),
    )
    filled = clean.select(~pl.all_horizontal(pl.exclude("line").is_null())).to_series()
    cells, clean = cells.filter(filled), clean.filter(filled)

    if _is_uncut(clean, separator):
        raise RefusedFile(
            "As linhas usam outro separador que o cabeçalho; salve o arquivo de novo."
        )

    columns = {"line": cells["line"]}
    rejects = [surplus]
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
    columns["custom_fields"] = _json(clean, custom)
    columns["raw"] = _json(cells, kept)
    absent = pl.Series([None], dtype=pl.Null).new_from_index(0, cells.height)
    return ContactsFile(
        frame=pl.DataFrame({name: columns.get(name, absent) for name in CONTACT_SCHEMA}).cast(
            CONTACT_SCHEMA
        ),
        rejects=pl.concat(rejects).sort("line", maintain_order=True),
        encoding=encoding,
        separator=separator,
        unmapped=list(custom),
        duplicated=match.duplicated,
    )


def _is_uncut(cells: pl.DataFrame, separator: str) -> bool:
    """Whether every row is a single cell that another separator cuts into the header's columns."""
    columns = cells.width - 1
    if cells.is_empty() or columns < 3:
        return False
    first, rest = cells["0"].fill_null(""), cells.select(pl.exclude("line", "0"))
    return all(column.is_null().all() for column in rest) and any(
        (first.str.count_matches(re.escape(other)) == columns - 1).all()
        for other in _SEPARATORS.replace(separator, "")
    )


def _decode(content: bytes) -> tuple[str, str]:
    encodings = ["utf-8-sig" if content.startswith(_BOM) else "utf-8", "cp1252"]
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    for encoding in encodings:
        try:
            text = content.removeprefix(_BOM).decode(encoding)
        except UnicodeDecodeError:
            continue
        if _END in text:
            raise RefusedFile("O arquivo contém bytes nulos e não é um CSV de texto.")
        if not re.search(r"\w", text):
            raise RefusedFile("O arquivo está vazio.")
        lines = text.split("\n" if "\n" in text else "\r")
        if len(lines) > MAX_LINES:
            raise RefusedFile(f"O arquivo tem mais de {MAX_LINES} linhas.")
        if max(map(len, lines)) > MAX_LINE_LENGTH:
            raise RefusedFile(f"O arquivo tem uma linha com mais de {MAX_LINE_LENGTH} caracteres.")
        return text, encoding
    raise RefusedFile("A codificação do arquivo não é UTF-8, UTF-16 nem Windows-1252.")


def _find_separator(text: str) -> tuple[str, str]:
    """Return the text ready to be split, its line numbers unchanged, and its separator."""
    if said := _SEP_LINE.match(text):
        return text[said.end() :], said[1]
    separator = max(_SEPARATORS, key=lambda candidate: _fit(text[:_SNIFFED], candidate))
    header = text.lstrip().split("\n", 1)[0].rstrip()
    if separator == "," and header.endswith(";"):
        # whole comma rows in column A, saved beside empty columns
        text = re.sub(r";+(?=\r?$)", "", text, flags=re.MULTILINE)
    return text, separator


def _fit(head: str, separator: str) -> tuple[int, float, int]:
    """Rate a separator: headers it reveals, share of rows as wide as the header, width."""
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
    rows = [_unwrapped(row, separator) for row in islice(reader, 20) if any(row)]
    header = rows[0] if rows else []
    equal = sum(len(row) == len(header) for row in rows) if len(header) > 1 else 0
    return len(match_headers(header).columns), equal / max(len(rows), 1), len(header)


def _unwrapped(row: list[str], separator: str) -> list[str]:
    """Split a row that a spreadsheet saved whole into its first cell."""
    if row and separator in row[0] and not any(row[1:]):
        return next(csv.reader(io.StringIO(row[0], newline=""), delimiter=separator))
    return row


def _split(text: str, separator: str) -> tuple[HeaderMatch, pl.DataFrame, pl.DataFrame]:
    """Return the headers, the cells as text (`line`, then `0`, `1`, …), and the surplus cells."""
    rows = _rows(text, separator)
    start, top = next(((line, row) for line, row in rows if any(map(str.strip, row))), (1, []))
    header = [_undo_mojibake(text) for text in _unwrapped(top, separator)]
    match = match_headers(header)
    _refuse_strangers(header, match)
    width = len(header)
    names = [str(index) for index in range(width)]
    if '"' in text:
        records, cut = _quoted_records(rows), _END
    else:
        records, cut = _plain_records(text, start), separator
    cells = pl.col("text").str.split_exact(cut, width - 1).struct.rename_fields(names)
    fits = pl.col("text").str.count_matches(cut, literal=True) == width - 1
    even = records.filter(fits).select("line", cells).unnest("text")
    mended: list[list[int | str | None]] = []
    surplus: list[tuple[int, str, str, str]] = []
    for line, record in records.filter(~fits).rows():
        row = record.split(cut)
        whole = _unwrapped(row, separator)
        row = whole if len(whole) == width else row
        if len(row) > MAX_COLUMNS:
            raise RefusedFile(f"A linha {line} tem mais de {MAX_COLUMNS} colunas.")
        mended.append([line, *row[:width], *[None] * (width - len(row))])
        surplus += [
            (line, f"coluna {position}", SURPLUS, cell)
            for position, cell in enumerate(row[width:], start=width + 1)
            if cell.strip()
        ]
    frame = pl.concat([even, pl.DataFrame(mended, even.schema, orient="row")]).sort("line")
    return match, frame, pl.DataFrame(surplus, REJECT_SCHEMA, orient="row")


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield every row with the number of the line it starts on."""
    reader = csv.reader(chain(io.StringIO(text, newline=""), [_END]), delimiter=separator)
    line = 1
    try:
        while (row := next(reader)) != [_END]:
            if row and row[-1].endswith(_END):
                raise RefusedFile(f"A linha {line} abre aspas que não fecham.")
            yield line, row
            line = reader.line_num + 1
    except csv.Error:
        raise RefusedFile(f"A célula aberta na linha {line} não termina.") from None


def _quoted_records(rows: Iterator[tuple[int, list[str]]]) -> pl.DataFrame:
    """Return `line` and `text` of each row, its cells unquoted and joined by `_END`."""
    lines: list[int] = []
    texts: list[str] = []
    for line, row in rows:
        lines.append(line)
        texts.append(_END.join(row))
    return pl.DataFrame({"line": lines, "text": texts}, {"line": pl.Int64, "text": pl.String})


def _plain_records(text: str, start: int) -> pl.DataFrame:
    """Return `line` and `text` of each line below the header on line `start`."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    texts = pl.Series("text", lines[start:], pl.String)
    return texts.to_frame().select(
        pl.int_range(start + 1, pl.len() + start + 1, dtype=pl.Int64).alias("line"), "text"
    )


def _refuse_strangers(header: list[str], match: HeaderMatch) -> None:
    wanted = "e-mail, telefone, WhatsApp, Instagram ou id do ManyChat"
    if len(header) > MAX_COLUMNS:
        raise RefusedFile(f"O cabeçalho tem mais de {MAX_COLUMNS} colunas.")
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


def _repaired(column: pl.Series) -> pl.Series:
    """Undo UTF-8 read as Windows-1252, in the cells that come out whole."""
    suspects = column.filter(column.str.contains(_MOJIBAKE)).unique()
    if suspects.is_empty():
        return column
    return column.replace(suspects, pl.Series([_undo_mojibake(cell) for cell in suspects]))


def _undo_mojibake(cell: str) -> str:
    try:
        return b"".join(
            char.encode("latin-1" if "\x80" <= char <= "\x9f" else "cp1252") for char in cell
        ).decode()
    except UnicodeError:
        return cell


def _json(frame: pl.DataFrame, keys: dict[str, int]) -> pl.Series:
    if not keys:
        return pl.Series(["{}"]).new_from_index(0, frame.height)
    record = pl.struct(pl.col(str(index)).alias(key) for key, index in keys.items())
    return frame.select(record.struct.json_encode()).to_series()


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
