"""A delimited text file as people save it: bytes in, header and text cells out.

Here belongs what is the same for every kind of file: encoding, separator, ragged rows, quotes and
the damage spreadsheets do. What a header means, and what type a cell has, is the reader's part.
Nothing is read from or written to disk.

Neither polars nor DuckDB keeps the surplus cells of long rows, pads short ones, reads quoted line
breaks and numbers the lines, all at once. So a text without quotes is cut at its separators as
columns, one with quotes by the standard library; rows not as wide as the header are mended singly.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice

import polars as pl

MAX_LINES = 2_000_000
MAX_LINE_LENGTH = 200_000
MAX_COLUMNS = 500

REJECT_SCHEMA = pl.Schema(
    {"line": pl.Int64(), "column": pl.String(), "reason": pl.String(), "raw": pl.String()}
)
SURPLUS = "celula_sobrando"

_SEPARATORS = "\t;,|"
_SEP_LINE = re.compile(r'\A"?sep=([^\w\s"]|\t)"?[ \t]*(?=[\r\n]|\Z)', re.IGNORECASE)
_SNIFFED = 65_536
_END = "\0"  # in no accepted text
_BOM = b"\xef\xbb\xbf"
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
class TextTable:
    """The cells of a file, all of them text.

    Attributes:
        header: The header cells, left to right.
        cells: One row per line that is not empty: `line`, then `0`, `1`, … as they are written.
        clean: The same rows without blanks around, mended, and null where nothing is left.
        surplus: Cells of rows longer than the header, `REJECT_SCHEMA`.
        encoding: Python codec that read the bytes.
        separator: Character between the cells.
    """

    header: list[str]
    cells: pl.DataFrame
    clean: pl.DataFrame
    surplus: pl.DataFrame
    encoding: str
    separator: str


@dataclass(frozen=True)
class TypedFile:
    """What a reader makes of one file.

    Attributes:
        frame: One row per record, in the reader's columns and types.
        rejects: One row per cell that could not be taken as it stands, `REJECT_SCHEMA`; `column` is
            the header as written in the file.
        encoding: Python codec that read the bytes.
        separator: Character between the cells.
        unmapped: Headers that fill no column of their own.
        duplicated: Headers whose column an earlier header already fills.
        table: The cells that it was made of.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    encoding: str
    separator: str
    unmapped: list[str]
    duplicated: list[str]
    table: TextTable = field(repr=False)


def read_table(
    content: bytes, recognised: Callable[[list[str]], int], admit: Callable[[list[str]], None]
) -> TextTable:
    """Cut a file into its cells.

    Args:
        content: The whole file.
        recognised: How many headers of a row have a meaning; tells the separator.
        admit: Raises `RefusedFile` for a header that cannot be read.

    Raises:
        RefusedFile: The file is empty, binary, absurdly large in some direction, or not admitted.
    """
    text, encoding = _decode(content)
    text, separator = _find_separator(text, recognised)
    header, cells, surplus = _split(text, separator, admit)
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
    return TextTable(header, cells, clean, surplus, encoding, separator)


def json_records(frame: pl.DataFrame, keys: Mapping[str, int]) -> pl.Series:
    """One JSON object per row, from the columns numbered in `keys`."""
    if not keys:
        return pl.Series(["{}"], dtype=pl.String).new_from_index(0, frame.height)
    record = pl.struct(pl.col(str(index)).alias(key) for key, index in keys.items())
    return frame.select(record.struct.json_encode()).to_series()


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


def _find_separator(text: str, recognised: Callable[[list[str]], int]) -> tuple[str, str]:
    """Return the text ready to be split, its line numbers unchanged, and its separator."""
    if said := _SEP_LINE.match(text):
        return text[said.end() :], said[1]
    separator = max(_SEPARATORS, key=lambda candidate: _fit(text[:_SNIFFED], candidate, recognised))
    header = text.lstrip().split("\n", 1)[0].rstrip()
    if separator == "," and header.endswith(";"):
        # whole comma rows in column A, saved beside empty columns
        text = re.sub(r";+(?=\r?$)", "", text, flags=re.MULTILINE)
    return text, separator


def _fit(
    head: str, separator: str, recognised: Callable[[list[str]], int]
) -> tuple[int, float, int]:
    """Rate a separator: headers it reveals, share of rows as wide as the header, width."""
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
    rows = [_unwrapped(row, separator) for row in islice(reader, 20) if any(row)]
    header = rows[0] if rows else []
    equal = sum(len(row) == len(header) for row in rows) if len(header) > 1 else 0
    return recognised(header), equal / max(len(rows), 1), len(header)


def _unwrapped(row: list[str], separator: str) -> list[str]:
    """Split a row that a spreadsheet saved whole into its first cell."""
    if row and separator in row[0] and not any(row[1:]):
        return next(csv.reader(io.StringIO(row[0], newline=""), delimiter=separator))
    return row


def _split(
    text: str, separator: str, admit: Callable[[list[str]], None]
) -> tuple[list[str], pl.DataFrame, pl.DataFrame]:
    """Return the header, the cells as text (`line`, then `0`, `1`, …), and the surplus cells."""
    rows = _rows(text, separator)
    start, top = next(((line, row) for line, row in rows if any(map(str.strip, row))), (1, []))
    header = [_undo_mojibake(text) for text in _unwrapped(top, separator)]
    if len(header) > MAX_COLUMNS:
        raise RefusedFile(f"O cabeçalho tem mais de {MAX_COLUMNS} colunas.")
    admit(header)
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
    return header, frame, pl.DataFrame(surplus, REJECT_SCHEMA, orient="row")


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
