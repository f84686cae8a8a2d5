"""What a list of people looks like as a file of each flavour. Who is in it is decided elsewhere.

A list has the columns `name, email, phone, country, state, city`, the phone as E.164, and whatever
else it tells. Spreadsheets show the columns they are asked for; other flavours take what they need.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import duckdb
import polars as pl

from crm_assets.contact.name import clean_names

SHEET_ROWS = 1_048_575
"""People that fit into one Excel sheet, below its header."""

_SHEET_TEXT = 32_767
_FOLD_BYTES = 75


class Format(StrEnum):
    """File flavours: machines, Excel in Brazil, number lists, address books, ad platforms."""

    CSV = "csv"
    EXCEL_CSV = "excel-csv"
    XLSX = "xlsx"
    TXT = "txt"
    VCF = "vcf"
    META = "meta"
    GOOGLE = "google"

    @property
    def ending(self) -> str:
        """End of a file's name, so that no flavour takes the place of another."""
        tables = {"csv": ".csv", "excel-csv": "_excel.csv", "meta": "_meta.csv"}
        return {**tables, "google": "_google.csv"}.get(self, f".{self}")

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of which a person must have one to be listed; none for spreadsheets."""
        if self in {Format.CSV, Format.EXCEL_CSV, Format.XLSX}:
            return ()
        return ("phone",) if self is Format.TXT else ("phone", "email")


class TooManyPeople(RuntimeError):
    """More people than the flavour can hold."""


def usable(people: pl.DataFrame, flavour: Format) -> pl.DataFrame:
    """The people who have what the flavour lists."""
    needs = flavour.needs
    return people.filter(pl.any_horizontal(pl.col(needs).is_not_null())) if needs else people


def write_people(
    people: pl.DataFrame,
    columns: Sequence[str],
    path: Path,
    flavour: Format,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write the people, all of them usable in this flavour, in their order.

    Args:
        people: the list; see the module for its columns.
        columns: what spreadsheets show.
        path: the file, written in place.
        flavour: what it looks like.
        about: lines of the sheet `Sobre` of an Excel file.

    Raises:
        TooManyPeople: an Excel sheet cannot hold them.
    """
    match flavour:
        case Format.CSV | Format.EXCEL_CSV | Format.XLSX:
            write_sheet(people.select(columns), path, flavour, about)
        case Format.TXT:
            _write_lines(digits(people["phone"]).unique(maintain_order=True), path, "\n")
        case Format.VCF:
            _write_lines(vcards(people), path, "\r\n")
        case Format.META:
            meta_audience(people).write_csv(path)
        case Format.GOOGLE:
            google_audience(people).write_csv(path)


def write_sheet(
    sheet: pl.DataFrame,
    path: Path,
    flavour: Format,
    about: Mapping[str, str] | None = None,
    name: str = "Pessoas",
) -> None:
    """Write a table of any columns in one of the flavours of spreadsheets.

    Args:
        sheet: what is shown.
        path: the file, written in place.
        flavour: `csv`, `excel-csv` or `xlsx`.
        about: lines of the sheet `Sobre` of an Excel file.
        name: of the sheet of an Excel file.

    Raises:
        TooManyPeople: an Excel sheet cannot hold the rows.
    """
    shown = _guarded(sheet)
    if flavour is Format.XLSX:
        _write_xlsx(shown, path, about or {}, name)
    elif flavour is Format.EXCEL_CSV:
        _write_excel_csv(shown, path)
    else:
        shown.write_csv(path)


def digits(phones: pl.Series) -> pl.Series:
    """Numbers as bare digits with country code."""
    return phones.str.replace_all(r"[^0-9]", "")


def vcards(people: pl.DataFrame) -> pl.Series:
    """One vCard 3.0 per person, without the end of its last line (RFC 2426).

    The last word of the name is the family name; who has no name is called by the e-mail or the
    number, since a card needs one.
    """
    shown = _one_line(pl.coalesce("name", "email", "phone"))
    family = shown.str.extract(r"\s(\S+)$").fill_null("")
    given = shown.str.replace(r"\s+\S+$", "")
    lines = (
        pl.lit("BEGIN:VCARD\r\nVERSION:3.0"),
        _folded(pl.format("N:{};{};;;", _escaped(family), _escaped(given))),
        _folded(pl.format("FN:{}", _escaped(shown))),
        pl.format("TEL;TYPE=CELL:{}", "phone"),
        _folded(pl.format("EMAIL:{}", _escaped(_one_line(pl.col("email"))))),
        pl.lit("END:VCARD"),
    )
    card = pl.concat_str(*lines, separator="\r\n", ignore_nulls=True)
    return people.select(card.alias("card"))["card"]


def meta_audience(people: pl.DataFrame) -> pl.DataFrame:
    """A customer list for Meta, hashed as Meta normalises (manychat-contacts 5.3).

    Everything is lower-cased; numbers are digits with country code and without plus; names, city
    and state lose spaces and punctuation. `value` stays a number, where the list has one. What is
    empty stays empty, never the hash of nothing.
    """
    first, last = _spoken_names(people)
    plain = people.select(
        pl.col("email").str.strip_chars().str.to_lowercase(),
        digits(people["phone"]).str.strip_chars_start("0").alias("phone"),
        _letters(first).alias("fn"),
        _letters(last).alias("ln"),
        _letters(people["city"]).alias("ct"),
        _letters(people["state"]).alias("st"),
        pl.col("country").str.to_lowercase(),
        *(["value"] if "value" in people.columns else []),
    )
    return _hashed(plain, ("email", "phone", "fn", "ln", "ct", "st", "country"))


def google_audience(people: pl.DataFrame) -> pl.DataFrame:
    """A customer list for Google Customer Match, hashed as Google normalises (5.3).

    E-mails lose all spaces and, at Gmail, the dots before the at sign; numbers keep their plus;
    names keep accents and punctuation. Country stays plain; the master holds no `Zip`.
    """
    first, last = _spoken_names(people)
    email = pl.col("email").str.replace_all(r"\s", "").str.to_lowercase()
    local = email.str.extract(r"^(.*)@").str.replace_all(".", "", literal=True)
    dotless = local + email.str.extract(r"(@[^@]*)$")
    plain = people.select(
        pl.when(email.str.contains(r"@(?:gmail|googlemail)\.com$"))
        .then(dotless)
        .otherwise(email)
        .alias("Email"),
        pl.col("phone").alias("Phone"),
        first.str.to_lowercase().alias("First Name"),
        last.str.to_lowercase().alias("Last Name"),
        pl.col("country").alias("Country"),
        pl.lit(None, pl.String).alias("Zip"),
    )
    return _hashed(plain, ("Email", "Phone", "First Name", "Last Name"))


def _spoken_names(people: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """First name, titles left out, and the last other word that has a letter."""
    first = clean_names(people["name"])["first_name"]
    last = people["name"].str.extract(r"\s(\S*\p{L}\S*)[^\p{L}]*$")
    is_first = last.str.to_lowercase() == first.str.to_lowercase()
    return first, last.set(is_first.fill_null(False), None)


def _letters(texts: pl.Series) -> pl.Series:
    """Lower case, letters and digits only; null when nothing is left."""
    bare = texts.str.to_lowercase().str.replace_all(r"[^\p{L}\p{M}\p{N}]", "")
    return bare.set(bare == "", None)


def _hashed(plain: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The frame with SHA-256 in lower-case hexadecimal in place of some columns."""
    replaced = ", ".join(f'sha256("{name}") AS "{name}"' for name in columns)
    with duckdb.connect() as con:
        con.register("plain", plain)
        return con.sql(f"SELECT * REPLACE ({replaced}) FROM plain").pl()


def _guarded(sheet: pl.DataFrame) -> pl.DataFrame:
    """Text that a spreadsheet would run as a formula gets an apostrophe, phones excepted."""
    text = pl.col(pl.String)
    is_formula = text.str.contains(r"^\s*[=+\-@\t\r\x00]") & ~text.str.contains(r"^\+[0-9]+$")
    return sheet.with_columns(pl.when(is_formula).then(text.str.replace("^", "'")).otherwise(text))


def _write_excel_csv(sheet: pl.DataFrame, path: Path) -> None:
    """UTF-8 with BOM, semicolons, decimal commas, dd/mm/yyyy, CRLF."""
    shown = sheet.with_columns(
        pl.col(pl.Date).dt.strftime("%d/%m/%Y"),
        pl.selectors.decimal().cast(pl.String).str.replace(".", ",", literal=True),
    ).fill_null("")
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(shown.columns)
        writer.writerows(shown.iter_rows())


def _write_xlsx(sheet: pl.DataFrame, path: Path, about: Mapping[str, str], name: str) -> None:
    """A table with a frozen, filtered header; text, dates and numbers as such; and `Sobre`."""
    from xlsxwriter import Workbook

    if len(sheet) > SHEET_ROWS:
        raise TooManyPeople(
            f"São {len(sheet)} pessoas e uma planilha do Excel tem {SHEET_ROWS} linhas: use csv."
        )
    options = {f"strings_to_{kind}": False for kind in ("formulas", "urls", "numbers")}
    with Workbook(str(path), options) as workbook:
        sheet.with_columns(pl.col(pl.String).str.head(_SHEET_TEXT)).write_excel(
            workbook,
            name,
            dtype_formats={pl.String: "@", pl.Date: "dd/mm/yyyy", pl.Decimal: "#,##0.00"},
            column_widths=150,
            freeze_panes=(1, 0),
        )
        notes = workbook.add_worksheet("Sobre")
        notes.set_column(0, 1, 40)
        for row, line in enumerate(about.items()):
            notes.write_row(row, 0, line)


def _write_lines(lines: pl.Series, path: Path, ending: str) -> None:
    path.write_bytes("".join(f"{line}{ending}" for line in lines).encode())


def _one_line(text: pl.Expr) -> pl.Expr:
    """Line ends and other control characters as one blank."""
    return text.str.replace_all(r"[\p{Cc}\p{Zl}\p{Zp}]+", " ").str.strip_chars()


def _escaped(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(r"([\\,;])", r"\${1}")


def _folded(line: pl.Expr) -> pl.Expr:
    return line.map_batches(_fold_long, return_dtype=pl.String)


def _fold_long(lines: pl.Series) -> pl.Series:
    long = (lines.str.len_bytes() > _FOLD_BYTES).arg_true()
    return lines.scatter(long, [_fold(line) for line in lines.gather(long)])


def _fold(line: str) -> str:
    """Lines of at most 75 octets; the ones that continue start with a space."""
    folded, size = "", 0
    for char in line:
        width = len(char.encode())
        if size + width > _FOLD_BYTES:
            folded, size = f"{folded}\r\n ", 1
        folded, size = folded + char, size + width
    return folded
