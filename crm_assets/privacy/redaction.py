"""Lines of files that people handed in, without those of somebody erased. Pure; bytes in and out.

A contact's line becomes an empty one, so that every other line keeps its number and its record its
id. A sale's line keeps its fiscal cells. What no reader takes is looked through line by line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import polars as pl

from crm_assets.bronze.hotmart_csv_file import read_sales
from crm_assets.bronze.hotmart_csv_words import columns_of, price_currencies
from crm_assets.bronze.manychat_file import read_contacts
from crm_assets.bronze.receiving import HOTMART_CSV
from crm_assets.bronze.text_table import RefusedFile, TypedFile
from crm_assets.contact.headers import normalise_header
from crm_assets.privacy.erased_tables import TABLES, Received
from crm_assets.privacy.tombstones import Tombstones
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant

TABLE_OF = {HOTMART_CSV: "bronze.hotmart_csv", "manychat": "bronze.manychat_contacts"}

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def redacted(
    content: bytes, source: str, tombstones: Tombstones, settings: Settings, tenant: Tenant
) -> tuple[bytes, int]:
    """A file without the people behind the tombstones, and how many of its lines were theirs.

    Args:
        content: the whole file.
        source: whose file it is.
        tombstones: the tenant's.
        settings: the clock.
        tenant: the zone of its dates.
    """
    rule = TABLES[TABLE_OF[source]]
    assert isinstance(rule, Received)
    try:
        file = (
            read_sales(content, timezone=tenant.timezone)
            if source == HOTMART_CSV
            else read_contacts(content, timezone=tenant.timezone, now=settings.now())
        )
    except RefusedFile:
        return _unread(content, tombstones)
    erased = tombstones.of_rows(file.frame, rule.traits)
    lines = set(file.frame.filter(erased)["line"])
    lines |= set(file.rejects.filter(tombstones.of_texts(file.rejects["raw"]))["line"])
    if not lines:
        return content, 0
    new = {line: _facts(file, line, rule.kept) for line in lines}
    clean = _rewritten(content, file.encoding, file.separator, new.get)
    return clean, 0 if clean == content else len(lines)


def _facts(file: TypedFile, line: int, kept: Sequence[str]) -> list[str]:
    """The cells of a line that are no one's; none for a line that keeps nothing."""
    cells = file.table.cells.filter(pl.col("line") == line)
    if not kept or cells.is_empty():
        return []
    keys = [normalise_header(text) for text in file.table.header]
    stay = {index for name, index in columns_of(keys).items() if name in kept}
    stay.update(price_currencies(keys))
    row = cells.drop("line").row(0)
    return [(cell or "") if index in stay else "" for index, cell in enumerate(row)]


def _unread(content: bytes, tombstones: Tombstones) -> tuple[bytes, int]:
    """A file that no reader takes, without the lines that mention somebody."""
    encoding = next((name for bom, name in _BOMS.items() if content.startswith(bom)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode(encoding := "latin-1")
    lines = io.StringIO(text, newline="").readlines()
    erased = tombstones.of_texts(pl.Series(lines, dtype=pl.String))
    if not erased.any():
        return content, 0
    kept = [_ending(line) if gone else line for line, gone in zip(lines, erased, strict=True)]
    return "".join(kept).encode(encoding), int(erased.sum())


def _rewritten(
    content: bytes, encoding: str, separator: str, new: Callable[[int], list[str] | None]
) -> bytes:
    """A file with other cells in some records.

    Args:
        content: the whole file.
        encoding: its codec.
        separator: between its cells.
        new: cells of the record that starts on a line, none to empty it, None to leave it.
    """
    lines = io.StringIO(content.decode(encoding), newline="").readlines()
    kept: list[str] = []
    for start, end in _records(lines, separator):
        cells = new(start + 1)
        if cells is None:
            kept += lines[start:end]
            continue
        text = io.StringIO()
        if cells:
            csv.writer(text, delimiter=separator, lineterminator="").writerow(cells)
        kept.append(text.getvalue().replace("\r", " ").replace("\n", " "))
        kept += [_ending(line) for line in lines[start:end]]
    return "".join(kept).encode(encoding)


def _records(lines: Sequence[str], separator: str) -> list[tuple[int, int]]:
    """First line, counted from zero, and the one after the last, of every record."""
    if not any('"' in line for line in lines):
        return [(at, at + 1) for at in range(len(lines))]
    reader = csv.reader(iter(lines), delimiter=separator)
    ends = [reader.line_num for _ in reader]
    return list(zip([0, *ends], ends, strict=False))


def _ending(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
