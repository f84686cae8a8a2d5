"""What each file flavour looks like: bytes, hashes, address books, sheets (manychat-contacts 5)."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from datetime import date, datetime
from decimal import Decimal

import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.gold import formats
from crm_assets.gold.formats import Format, TooManyPeople, usable, vcards, write_people

TODAY = date(2026, 3, 15)
COLUMNS = ("name", "email", "phone", "value", "day")
SCHEMA = {
    **dict.fromkeys(("name", "email", "phone", "country", "state", "city"), pl.String),
    "value": pl.Decimal(18, 2),
    "day": pl.Date,
}
ANA = {
    "name": "Ana Beatriz Souza",
    "email": "ana@example.com",
    "phone": "+5511961234567",
    "country": "BR",
    "state": "SP",
    "city": "São Paulo",
    "value": Decimal("1234.50"),
    "day": TODAY,
}


def people(*rows):
    full = [dict.fromkeys(SCHEMA) | row for row in rows]
    return pl.DataFrame(full, schema=SCHEMA)


def written(tmp_path, flavour, *rows, **more):
    path = tmp_path / f"f{flavour.ending}"
    write_people(usable(people(*rows), flavour), COLUMNS, path, flavour, **more)
    return path


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_every_flavour_has_a_file_ending_of_its_own():
    assert [flavour.ending for flavour in Format] == [
        ".csv", "_excel.csv", ".xlsx", ".txt", ".vcf", "_meta.csv", "_google.csv",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flavour", "listed"),
    [
        (Format.CSV, ["both", "email", "phone", "none"]),
        (Format.EXCEL_CSV, ["both", "email", "phone", "none"]),
        (Format.XLSX, ["both", "email", "phone", "none"]),
        (Format.TXT, ["both", "phone"]),
        (Format.VCF, ["both", "email", "phone"]),
        (Format.META, ["both", "email", "phone"]),
        (Format.GOOGLE, ["both", "email", "phone"]),
    ],
)
def test_who_has_what_a_flavour_lists(flavour, listed):
    everyone = people(
        {"name": "both", "email": "a@example.com", "phone": "+5511961234567"},
        {"name": "email", "email": "a@example.com"},
        {"name": "phone", "phone": "+5511961234567"},
        {"name": "none"},
    )
    assert usable(everyone, flavour)["name"].to_list() == listed


# Spreadsheets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=SOMA(A1)", "'=SOMA(A1)"),
        ("+1+1", "'+1+1"),
        ("-2", "'-2"),
        ("@cmd", "'@cmd"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t=1"),
        ("\rx", "'\rx"),
        ("+5511900000001", "+5511900000001"),
        ("+55119\n=1", "'+55119\n=1"),
        ("a=1", "a=1"),
        ("José & Cia", "José & Cia"),
        ("", ""),
        (None, ""),
    ],
)
def test_formula_guard(tmp_path, text, shown):
    row = {"name": text, "email": "x"}
    path = written(tmp_path, Format.CSV, row)
    with io.StringIO(path.read_bytes().decode(), newline="") as file:
        assert list(csv.reader(file))[1][0] == shown
    sheet = openpyxl.load_workbook(written(tmp_path, Format.XLSX, row))["Pessoas"]
    assert (sheet["A2"].value or "").replace("_x000D_", "\r") == shown
    assert sheet["A2"].data_type != "f"


def test_a_nul_before_a_formula_is_guarded(tmp_path):
    path = written(tmp_path, Format.CSV, {"name": "\x00=1"})
    assert path.read_bytes().splitlines()[1].startswith(b"'\x00=1")


def test_machine_flavour_bytes(tmp_path):
    path = written(tmp_path, Format.CSV, {**ANA, "name": "José, Filho"})
    assert (
        path.read_bytes()
        == (
            "name,email,phone,value,day\n"
            '"José, Filho",ana@example.com,+5511961234567,1234.50,2026-03-15\n'
        ).encode()
    )


def test_excel_csv_bytes(tmp_path):
    rows = {**ANA, "name": "José; Filho"}, {"value": Decimal("0.05"), "phone": "=1"}
    assert (
        written(tmp_path, Format.EXCEL_CSV, *rows).read_bytes()
        == (
            "\ufeffname;email;phone;value;day\r\n"
            '"José; Filho";ana@example.com;+5511961234567;1234,50;15/03/2026\r\n'
            ";;'=1;0,05;\r\n"
        ).encode()
    )


def test_excel_sheet_has_text_numbers_dates_and_a_header_that_stays(tmp_path):
    about = {"o que é": "=1+1", "pessoas": "2"}
    url = "https://example.com/?a=1"
    path = written(tmp_path, Format.XLSX, ANA, {"name": url, "email": "007"}, about=about)
    book = openpyxl.load_workbook(path)
    sheet = book["Pessoas"]
    assert [cell.value for cell in sheet[1]] == list(COLUMNS)
    assert [(cell.value, cell.data_type, cell.number_format) for cell in sheet[2]] == [
        ("Ana Beatriz Souza", "s", "@"),
        ("ana@example.com", "s", "@"),
        ("+5511961234567", "s", "@"),
        (1234.5, "n", "#,##0.00"),
        (datetime(2026, 3, 15), "d", "dd/mm/yyyy"),
    ]
    assert [cell.value for cell in sheet[3]] == [url, "007", None, None, None]
    assert sheet["A3"].hyperlink is None
    assert sheet.freeze_panes == "A2"
    (filtered,) = sheet.tables.values()
    assert filtered.autoFilter.ref == "A1:E3"
    notes = [[cell.value for cell in row] for row in book["Sobre"].iter_rows()]
    assert notes == [["o que é", "=1+1"], ["pessoas", "2"]]
    assert book["Sobre"]["B1"].data_type == "s"


def test_excel_sheet_survives_what_excel_cannot_hold(tmp_path):
    rows = {"name": "á" * 40_000}, {"name": "a\x00\x1fb", "email": "z@example.com"}
    sheet = openpyxl.load_workbook(written(tmp_path, Format.XLSX, *rows))["Pessoas"]
    assert sheet["A2"].value == "á" * 32_767
    assert sheet["B3"].value == "z@example.com"


def test_more_people_than_a_sheet_holds_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "SHEET_ROWS", 1)
    with pytest.raises(TooManyPeople, match="São 2 pessoas e uma planilha do Excel tem 1 linhas"):
        written(tmp_path, Format.XLSX, ANA, ANA)
    assert not list(tmp_path.iterdir())


# Number lists and address books


def test_number_list_is_bare_digits_each_number_once(tmp_path):
    numbers = ["+5511961234567", "+16505551212", "+5511961234567", "=1", None]
    path = written(tmp_path, Format.TXT, *({"phone": number} for number in numbers[:3]))
    assert path.read_bytes() == b"5511961234567\n16505551212\n"
    assert formats.digits(pl.Series(numbers)).to_list()[3] == "1", "no formula can pass"


def test_address_book_bytes(tmp_path):
    nameless = {"email": "so@example.com"}
    assert written(tmp_path, Format.VCF, ANA, nameless).read_bytes() == (
        b"BEGIN:VCARD\r\nVERSION:3.0\r\nN:Souza;Ana Beatriz;;;\r\nFN:Ana Beatriz Souza\r\n"
        b"TEL;TYPE=CELL:+5511961234567\r\nEMAIL:ana@example.com\r\nEND:VCARD\r\n"
        b"BEGIN:VCARD\r\nVERSION:3.0\r\nN:;so@example.com;;;\r\nFN:so@example.com\r\n"
        b"EMAIL:so@example.com\r\nEND:VCARD\r\n"
    )


@pytest.mark.parametrize(
    ("name", "family", "shown"),
    [
        ("Ana", "N:;Ana;;;", "FN:Ana"),
        ("Silva; Filho, Zé", "N:Zé;Silva\\; Filho\\,;;;", "FN:Silva\\; Filho\\, Zé"),
        ("A\\B C", "N:C;A\\\\B;;;", "FN:A\\\\B C"),
        ("Ana\r\nTEL:+1", "N:TEL:+1;Ana;;;", "FN:Ana TEL:+1"),
        ("Ana\x00\x07 Lia\u2028", "N:Lia;Ana;;;", "FN:Ana  Lia"),
        ("=1+1", "N:;=1+1;;;", "FN:=1+1"),
    ],
)
def test_names_in_an_address_book(name, family, shown):
    (card,) = vcards(people({**ANA, "name": name}))
    assert card.split("\r\n")[2:4] == [family, shown]


def unfolded(card):
    return card.replace("\r\n ", "").split("\r\n")


@given(st.text(st.characters(codec="utf-8"), max_size=120), st.booleans())
def test_any_name_makes_one_card_that_reads_back(name, has_phone):
    row = {**ANA, "name": name, "phone": ANA["phone"] if has_phone else None}
    (card,) = vcards(people(row))
    assert all(len(line.encode()) <= 75 for line in card.split("\r\n"))
    assert not any(ord(char) < 32 for line in card.split("\r\n") for char in line)
    lines = unfolded(card)
    kinds = ["BEGIN", "VERSION", "N", "FN", *(["TEL;TYPE=CELL"] if has_phone else []), "EMAIL"]
    assert [line.split(":")[0] for line in lines] == [*kinds, "END"]
    bare = lines[2].replace("\\\\", "").replace("\\;", "")
    assert bare.count(";") == 4, "N has five parts, whatever the name holds"


# Ad platforms: the vectors are the vendors' or were made by another SHA-256 than ours


@pytest.mark.parametrize(
    ("field", "value", "column", "expected"),
    [
        ("email", "john_smith@gmail.com", "email",
         "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
        ("email", " John_Smith@Gmail.com ", "email",
         "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
        ("phone", "+16505551212", "phone",
         "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
        ("phone", "+5511961234567", "phone",
         "7601d4565f20f07117720672ad8113faf5c3efaebc20205a679a1425543bfee5"),
        ("name", "MARIA da Silva", "fn",
         "94aec9fbed989ece189a7e172c9cf41669050495152bc4c1dbf2a38d7fd85627"),
        ("name", "Dra. Maria da Silva", "fn", sha("maria")),
        ("name", "Maria da Silva", "ln", sha("silva")),
        ("name", "Ana D'Ávila", "ln", sha("dávila")),
        ("name", "Maria 🌸", "ln", ""),
        ("name", "Dra. Maria", "ln", ""),
        ("name", "Maria", "ln", ""),
        ("name", "12345", "fn", ""),
        ("city", "São José dos Campos", "ct", sha("sãojosédoscampos")),
        ("state", "SP", "st", sha("sp")),
        ("state", "--", "st", ""),
        ("country", "BR", "country", sha("br")),
        ("value", Decimal("1234.50"), "value", "1234.50"),
    ],
)  # fmt: skip
def test_meta_list(tmp_path, field, value, column, expected):
    (row,) = table(written(tmp_path, Format.META, {"email": "x@example.com", field: value}))
    assert list(row) == ["email", "phone", "fn", "ln", "ct", "st", "country", "value"]
    assert row[column] == expected


@pytest.mark.parametrize(
    ("field", "value", "column", "expected"),
    [
        ("email", "maria.silva@example.com", "Email", sha("maria.silva@example.com")),
        ("email", "Maria.Silva@Gmail.com", "Email", sha("mariasilva@gmail.com")),
        ("email", "m.s@googlemail.com", "Email", sha("ms@googlemail.com")),
        ("email", "m.s@notgmail.com", "Email", sha("m.s@notgmail.com")),
        ("email", "m.s@gmail.com.br", "Email", sha("m.s@gmail.com.br")),
        ("email", " m s@example.com", "Email", sha("ms@example.com")),
        ("phone", "+5511961234567", "Phone",
         "ba9e508098a380dd6b0fe2289efc609a4be5e64b6e9fe48f1a1c1d15ccdce21a"),
        ("name", "José D'Ávila", "First Name", sha("josé")),
        ("name", "José D'Ávila", "Last Name", sha("d'ávila")),
        ("country", "BR", "Country", "BR"),
        ("country", "BR", "Zip", ""),
        ("name", None, "First Name", ""),
    ],
)  # fmt: skip
def test_google_list(tmp_path, field, value, column, expected):
    (row,) = table(written(tmp_path, Format.GOOGLE, {"phone": "+16505551212", field: value}))
    assert list(row) == ["Email", "Phone", "First Name", "Last Name", "Country", "Zip"]
    assert row[column] == expected


@pytest.mark.parametrize("flavour", [Format.META, Format.GOOGLE])
def test_what_is_empty_is_never_the_hash_of_nothing(tmp_path, flavour):
    path = written(tmp_path, flavour, {"email": "a@example.com"}, {"phone": "+16505551212"})
    assert sha("") not in path.read_text()
    assert "example.com" not in path.read_text()
    first, second = table(path)
    assert (first[next(iter(first))], next(iter(second.values()))) == (sha("a@example.com"), "")


def test_ad_lists_keep_the_order_and_a_list_without_value_has_no_such_column():
    rows = people(*({"email": f"{n}@example.com"} for n in range(500)))
    hashed = formats.meta_audience(rows.drop("value"))
    assert hashed["email"].to_list() == [sha(f"{n}@example.com") for n in range(500)]
    assert "value" not in hashed.columns


def test_a_workbook_is_a_plain_archive_without_links_or_macros(tmp_path):
    with zipfile.ZipFile(written(tmp_path, Format.XLSX, ANA)) as archive:
        names = archive.namelist()
    assert not [name for name in names if "vba" in name or "external" in name]
