"""Looking for a person's texts in files and databases: what is found was not erased. No Dagster.

A text counts where it stands as a word or number of its own: "ana@example.com" is not in
"joana@example.com".
"""

from __future__ import annotations

import gzip
import io
import re
import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from crm_resources.warehouse import Transaction

NOTHING = re.compile(r"(?!)")

_ESCAPED = re.compile(r"\\u([0-9a-f]{4})")
_EDGES = (
    (r"(?<![\w.-])", r"(?![\w-]|\.(?!(?:csv|tsv|txt)\b)\w)"),
    (r"(?<![\w.-])", r"(?![\w-])"),
    (r"(?<!\d)", r"(?!\d)"),
)
"""What may not stand before and after an address, a word and a number."""

_EDGES_OF_RE2 = (
    (r"(?:^|[^\pL\pN_.-])", r"(?:$|[^\pL\pN_.-]|\.(?:$|[^\pL\pN_]))"),
    (r"(?:^|[^\pL\pN_.-])", r"(?:$|[^\pL\pN_-])"),
    ("(?:^|[^0-9])", "(?:$|[^0-9])"),
)
_SIDE_FILES = ("-wal", "-shm", "-journal")
_TABLES = """
    SELECT schema_name || '.' || table_name FROM duckdb_tables()
    WHERE database_name = current_database() AND NOT temporary ORDER BY ALL
"""


def pattern_of(texts: Sequence[str]) -> re.Pattern[str]:
    """What finds one of the texts, all of them in lower case, in a text in lower case."""
    parts = [
        f"{before}(?:{'|'.join(map(re.escape, part))}){after}"
        for part, (before, after) in zip(_split(texts), _EDGES, strict=True)
        if part
    ]
    return re.compile("|".join(parts)) if parts else NOTHING


def mentions(path: Path, pattern: re.Pattern[str]) -> bool:
    """Whether a file that is no database of DuckDB, or its name, says a text, packed or not."""
    if path.name.endswith(_SIDE_FILES):
        return False
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    if said(path.name.encode(), pattern):
        return True
    if content.startswith(b"SQLite format 3\0"):
        return any(pattern.search(row) for row in _sqlite_rows(path))
    return said(content, pattern)


def said(content: bytes, pattern: re.Pattern[str]) -> bool:
    """Whether bytes say a text, in any encoding that our files come in."""
    return any(pattern.search(text) for part in _unpacked(content) for text in _spoken(part))


def tables_mentioning(tx: Transaction, texts: Sequence[str]) -> dict[str, int]:
    """Rows of each table of a database that say one of the texts in any column."""
    parts = [
        f"{before}(?:{'|'.join(map(_for_re2, part))}){after}"
        for part, (before, after) in zip(_split(texts), _EDGES_OF_RE2, strict=True)
        if part
    ]
    if not parts:
        return {}
    counts = {
        table: tx.scalar(
            f"SELECT count(*) FROM {table} AS line WHERE regexp_matches(lower(line::VARCHAR), ?)",
            ["|".join(parts)],
        )
        for table in tx.read(_TABLES).to_series()
    }
    return {table: count for table, count in counts.items() if count}


def _for_re2(text: str) -> str:
    """A text as a pattern of DuckDB's regular expressions."""
    return re.sub(r"([^\w@ -])", r"\\\1", text)


def _split(texts: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Addresses, words, and what has no letter."""
    addresses = [text for text in texts if "@" in text]
    words = [text for text in texts if "@" not in text and any(map(str.isalpha, text))]
    return addresses, words, [text for text in texts if text not in {*addresses, *words}]


def _sqlite_rows(path: Path) -> Iterator[str]:
    """Rows of every table as text in lower case; their bytes would run into each other."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in tables.fetchall():
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                for value in row:
                    content = value if isinstance(value, bytes) else str(value).encode()
                    yield from _spoken(content)


def _unpacked(content: bytes) -> Iterator[bytes]:
    """The content, and what is inside of an archive or an Excel file."""
    yield content
    if content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield archive.read(name)


def _spoken(content: bytes) -> Iterator[str]:
    """The content as text; what is not UTF-8 may be of Windows.

    Folded lines are joined (vCard), and escaped letters and line ends are read (JSON).
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield content.decode("utf-16", "ignore").casefold()
    text = content.decode("utf-8", "ignore").casefold()
    yield text
    if "\r\n " in text:
        yield text.replace("\r\n ", "")
    if "\\" in text:
        read = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), text)
        yield re.sub(r"\\[nrt]", " ", read).casefold()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        yield content.decode("cp1252", "ignore").casefold()
