import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crm_assets.bronze import text_table
from crm_assets.bronze.manychat_file import CONTACT_SCHEMA, REASONS
from crm_assets.bronze.text_table import REJECT_SCHEMA, RefusedFile

SAMPLES = Path(__file__).parents[2] / "data" / "sample" / "input" / "manychat"
SAO_PAULO = "America/Sao_Paulo"


def test_the_eleven_column_sheet(read):
    file = read(
        "nome\temail\tinstagram\twhatsapp\tdata_remarketing\tagendamento\tdata_agendamento"
        "\tcontactar\tdata_contactar\tultima_interacao\tdata_registro\n"
        " Ana Souza \tANA@example.com\t@ana\t5511961234501\t46057,56185\tsim\t46201\tnão\t46202"
        "\t46090,5\t46000,0\n"
    )
    assert file.frame.schema == CONTACT_SCHEMA
    assert file.rejects.schema == REJECT_SCHEMA
    assert file.rejects.is_empty()
    assert (file.encoding, file.separator) == ("utf-8", "\t")
    row = file.frame.row(0, named=True)
    assert {name for name, value in row.items() if value is None} == {
        "manychat_id",
        "first_name",
        "last_name",
        "phone",
        "whatsapp_bsuid",
        "whatsapp_username",
        "ig_id",
        "last_seen_at",
        "tags",
        "optin_whatsapp",
        "optin_sms",
        "optin_email",
        "locale",
        "language",
        "timezone",
    }
    assert row["line"] == 2
    assert row["full_name"] == "Ana Souza"
    assert row["email"] == "ANA@example.com"
    assert row["whatsapp_phone"] == "5511961234501"
    assert row["ig_username"] == "ana"
    assert row["remarketing_at"] == datetime(2026, 2, 4, 16, 29, 4, tzinfo=UTC)
    assert row["last_interaction_at"] == datetime(2026, 3, 9, 15, tzinfo=UTC)
    assert row["subscribed_at"] == datetime(2025, 12, 9, 3, tzinfo=UTC)
    assert row["scheduled_at"] == datetime(2026, 6, 28, 3, tzinfo=UTC)
    assert row["contact_at"] == datetime(2026, 6, 29, 3, tzinfo=UTC)
    assert (row["scheduled"], row["contact_flag"]) == ("SIM", "NAO")
    assert row["custom_fields"] == "{}"
    assert json.loads(row["raw"])["nome"] == " Ana Souza "


HEADER = "nome;email;telefone"
ROW = "João “Jota” – €;joao@example.com;5511961234501"


@pytest.mark.parametrize(
    ("codec", "bom", "encoding"),
    [
        ("utf-8", b"", "utf-8"),
        ("utf-8", b"\xef\xbb\xbf", "utf-8-sig"),
        ("cp1252", b"", "cp1252"),
        ("cp1252", b"\xef\xbb\xbf", "cp1252"),
        ("utf-16-le", b"\xff\xfe", "utf-16"),
        ("utf-16-be", b"\xfe\xff", "utf-16"),
    ],
)
def test_encodings(read, codec, bom, encoding):
    file = read(bom + f"{HEADER}\r\n{ROW}\r\n".encode(codec))
    assert file.encoding == encoding
    assert file.frame["full_name"].to_list() == ["João “Jota” – €"]
    assert list(json.loads(file.frame["raw"][0])) == ["nome", "email", "telefone"]


@pytest.mark.parametrize(
    ("received", "meant"),
    [
        ("JoÃ£o ConceiÃ§Ã£o", "João Conceição"),
        ("MARIA Ã\x81UREA", "MARIA ÁUREA"),
        ("VoilÃ\u00a0", "Voilà"),
        ("Carlinha ðŸŒ¸", "Carlinha 🌸"),
        ("João Ã£", "João Ã£"),
        ("“MANHÃ”", "“MANHÃ”"),
        ("Carlinha 🌸 Ã£", "Carlinha 🌸 Ã£"),
        ("Âncora", "Âncora"),
    ],
)
def test_mojibake_is_repaired_only_where_the_whole_cell_survives(read, received, meant):
    file = read(f"Ãšltima interaÃ§Ã£o;nome;email\n46057;{received};a@example.com\n")
    assert file.frame["full_name"].to_list() == [meant]
    assert file.frame["last_interaction_at"].null_count() == 0
    assert json.loads(file.frame["raw"][0])["nome"] == received


@pytest.mark.parametrize("separator", ["\t", ";", ",", "|"])
def test_separators(read, separator):
    rows = ["nome e-mail telefone obs", "Ana a@example.com 11 46057.5", "Bia b@example.com 12 x:y"]
    text = "\n".join(rows).replace(" ", separator)
    file = read(text)
    assert file.separator == separator
    assert file.frame["phone"].to_list() == ["11", "12"]
    assert file.unmapped == ["obs"]


@pytest.mark.parametrize(
    ("text", "separator", "line"),
    [
        ("sep=;\nnome;email\nAna;a@example.com\n", ";", 3),
        ("SEP=,\r\nnome,email\r\nAna,a@example.com\r\n", ",", 3),
        ('"sep=\t"\nnome\temail\nAna\ta@example.com\n', "\t", 3),
        ("sep=^\nnome^email\nAna^a@example.com\n", "^", 3),
        ('"nome,email"\n"Ana,a@example.com"\n', ",", 2),
        ('nome,email\n"Ana,""a@example.com"""\n', ",", 2),
        ("nome,email;;\nAna,a@example.com;;\n", ",", 2),
        ("nome,email;;\r\nAna,a@example.com;;\r\n", ",", 2),
        ("nome;email\nAna;a@example.com;x, y, z\n", ";", 2),
        ("nome\temail\tdata_registro\nAna\ta@example.com\t46057,5\n", "\t", 2),
        ("\n\n;;\nnome;email\n\nAna;a@example.com", ";", 6),
    ],
)
def test_where_the_separator_and_the_header_are_found(read, text, separator, line):
    file = read(text)
    assert file.separator == separator
    assert file.frame.select("line", "full_name", "email").rows() == [
        (line, "Ana", "a@example.com")
    ]


def test_equal_counts_decide_when_two_separators_reveal_as_many_headers(read):
    text = "email;tem x, y, zap\na@example.com;1\nb@example.com;2\n"
    assert read(text).separator == ";"


def test_ragged_rows_lose_nothing(read):
    file = read(
        "nome;email;telefone\n"
        "Ana;a@example.com\n"
        "\n"
        ";;\n"
        "Bia;b@example.com;12;extra;;último\n"
        "Caio;c@example.com;13;;\n"
        "  \n"
        "Davi;d@example.com;14\n"
    )
    assert file.frame["line"].to_list() == [2, 5, 6, 8]
    assert file.frame["phone"].to_list() == [None, "12", "13", "14"]
    assert json.loads(file.frame["raw"][0]) == {
        "nome": "Ana",
        "email": "a@example.com",
        "telefone": None,
    }
    assert file.rejects.rows() == [
        (5, "coluna 4", "celula_sobrando", "extra"),
        (5, "coluna 6", "celula_sobrando", "último"),
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_numbers_count_the_breaks_inside_cells(read, newline):
    rows = [
        "nome,email,obs",
        'Ana,a@example.com,"um, dois',
        'três ""quatro"""',
        "",
        "Bia,b@example.com",
        "Caio,c@example.com,",
    ]
    file = read(newline.join(rows))
    assert file.frame["line"].to_list() == [2, 5, 6]
    obs = [json.loads(fields)["obs"] for fields in file.frame["custom_fields"]]
    assert obs == [f'um, dois{newline}três "quatro"', None, None]


def test_a_short_quoted_row_is_not_taken_for_a_wrapped_one(read):
    file = read('nome,email,telefone\n"Souza, Ana"\n"Bia,b@example.com,12"\n')
    assert file.frame.select("full_name", "email", "phone").rows() == [
        ("Souza, Ana", None, None),
        ("Bia", "b@example.com", "12"),
    ]


def test_custom_duplicated_nameless_and_personal_columns(read):
    file = read(
        "email;Correo;Turma;gender;Obs;Obs;;profile_pic;\n"
        "a@example.com;b@example.com;3;female;um;dois;;http://x;solto\n"
    )
    assert file.unmapped == ["Turma", "Obs", "Obs (2)", "coluna 9"]
    assert file.duplicated == ["Correo"]
    assert file.frame["email"].to_list() == ["a@example.com"]
    custom = {"Turma": "3", "Obs": "um", "Obs (2)": "dois", "coluna 9": "solto"}
    assert json.loads(file.frame["custom_fields"][0]) == custom
    assert (
        json.loads(file.frame["raw"][0])
        == {
            "email": "a@example.com",
            "Correo": "b@example.com",
        }
        | custom
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "vazio"),
        (b"\xef\xbb\xbf \r\n", "vazio"),
        (b"nome;email\nAna;a\x00@example.com\n", "bytes nulos"),
        ("nome;email\n".encode("utf-16-le"), "bytes nulos"),
        (b"\xff\xfen", "codificação"),
        (b"nome;email\n\x81\n", "codificação"),
        ("nome;tags\nAna;x\n", "colunas encontradas: nome, tags."),
        ("produto;valor\n", "colunas encontradas: produto, valor."),
        ("id;valor\n1;2\n", "colunas encontradas: id, valor."),
        ("nome#email\nAna#a@example.com\n", "uma só coluna"),
        (";;\n;;\n", "vazio"),
        ("sep=;\n", "colunas encontradas: nenhuma."),
        ('nome;email\nAna;"a@example.com\nBia;b@example.com\n', "A linha 2 abre aspas"),
        ('"nome;email\n', "A linha 1 abre aspas"),
        ('email\n"' + "a\n" * 70_000 + '"\n', "A célula aberta na linha 2"),
        ("email;obs\na@example.com;" + "x" * 200_001, "linha com mais de 200000 caracteres"),
        ("email" + ";x" * 500, "mais de 500 colunas"),
        ("email;x\n" + ";" * 500 + "a", "A linha 2 tem mais de 500 colunas"),
    ],
)
def test_refused_files(refusal, content, words):
    reason = refusal(content)
    assert words in reason
    assert reason.endswith(".")
    assert "\n" not in reason


def test_too_many_lines(read, refusal, monkeypatch):
    monkeypatch.setattr(text_table, "MAX_LINES", 3)
    assert read("email\na@example.com\nb@example.com").frame.height == 2
    assert "mais de 3 linhas" in refusal("email\na@example.com\nb@example.com\nc@example.com")


@pytest.mark.parametrize(
    "content",
    [
        "Ana Souza;ana@example.com;5511961234501\nBia;bia@example.com;5511961234502\n",
        "ana@example.com\nbia@example.com\n",
        "Ana\t46057,5\nBia\t46058,5\n",
    ],
)
def test_a_file_without_header_is_refused_without_quoting_its_people(refusal, content):
    reason = refusal(content)
    assert "não é um cabeçalho" in reason
    assert not any(text in reason for text in ("Ana", "ana@", "5511", "46057"))


def test_header_without_rows(read):
    file = read("nome;email;turma")
    assert file.frame.schema == CONTACT_SCHEMA
    assert file.frame.is_empty()
    assert file.unmapped == ["turma"]
    assert file.rejects.schema == REJECT_SCHEMA


def test_psid_export(read):
    file = read("pageuid\n24012345678901234\n24012345678901235\n")
    assert file.frame["manychat_id"].to_list() == ["24012345678901234", "24012345678901235"]


CELL = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
TABLE = st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=8)


@given(TABLE, st.sampled_from("\t;,|"), st.sampled_from(["\n", "\r\n"]))
def test_written_cells_come_back(read, table, separator, newline):
    assume(not any(separator in row[0] and not any(row[1:]) for row in table))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerows([["email", "a", "b", "c"], *table])
    file = read(f"sep={separator}{newline}" + buffer.getvalue())
    received = [list(json.loads(raw).values()) for raw in file.frame["raw"]]
    blank = pl.Series(["".join(row) for row in table], dtype=pl.String).str.strip_chars() == ""
    padded = [row + [None] * (4 - len(row)) for row in table]
    assert received == [row for row, empty in zip(padded, blank, strict=True) if not empty]


PLAIN = st.text(st.characters(exclude_characters='\0"', exclude_categories=["Cs"]), max_size=30)


@given(PLAIN | st.text("a;\n\r ", max_size=30))
def test_both_ways_to_split_agree(read, body):
    plain = read("sep=;\nemail;x\n" + body)
    quoted = read('sep=;\n"email";x\n' + body)
    assert plain.frame.equals(quoted.frame)
    assert plain.rejects.equals(quoted.rejects)


@given(st.binary(max_size=60), st.sampled_from([b"", b"email;zap;data_registro\n", b"\xff\xfe"]))
def test_any_bytes_are_read_or_refused(read, body, head):
    try:
        file = read(head + body)
    except RefusedFile:
        return
    assert file.frame.schema == CONTACT_SCHEMA
    assert file.rejects["reason"].is_in(list(REASONS)).all()


@pytest.mark.parametrize(
    ("name", "encoding", "separator", "rows", "unmapped"),
    [
        ("contatos_planilha.csv", "utf-8", "\t", 12, []),
        ("contatos_excel.csv", "cp1252", ";", 10, ["Observação"]),
        ("contatos_api.csv", "utf-8-sig", ",", 10, ["turma"]),
    ],
)
def test_shipped_samples(read, name, encoding, separator, rows, unmapped):
    file = read((SAMPLES / name).read_bytes())
    assert (file.encoding, file.separator) == (encoding, separator)
    assert file.frame.height == rows
    assert file.unmapped == unmapped
    assert file.duplicated == []
    emails = file.frame["email"].drop_nulls()
    assert emails.str.to_lowercase().str.ends_with("@example.com").all()


def test_the_samples_hold_their_traps(read, now):
    planilha, excel, api = (
        read((SAMPLES / f"contatos_{name}.csv").read_bytes())
        for name in ("planilha", "excel", "api")
    )
    today = now.date()
    days = planilha.frame["remarketing_at"].dt.convert_time_zone(SAO_PAULO).dt.date()
    ages = {(today - day).days for day in days.drop_nulls()}
    assert {1, 30} <= ages
    assert max(ages) > 30
    assert days.null_count() > 0
    assert planilha.frame["scheduled_at"].max() > now
    assert set(excel.rejects["reason"]) == {"data_ilegivel", "data_no_futuro", "digitos_perdidos"}
    keyless = pl.all_horizontal(pl.col("email", "phone", "whatsapp_phone").is_null())
    assert excel.frame.filter(keyless).height == 1
    assert api.rejects.is_empty()
    assert api.frame["whatsapp_phone"].value_counts()["count"].max() == 3
    assert "55961234504" in api.frame["phone"].to_list()
    assert set(api.frame["optin_whatsapp"]) == {True, False, None}
    assert not any("gender" in raw or "parar" in raw for raw in api.frame["raw"])


@pytest.mark.parametrize("header", ["nome,email,whatsapp", "email,nome,whatsapp"])
def test_rows_cut_by_another_separator_than_the_header_are_refused(read, header):
    rows = "\n".join(f"Ana {n};ana{n}@example.com;1196123450{n}" for n in range(5))
    with pytest.raises(RefusedFile, match="outro separador"):
        read(f"{header}\n{rows}\n")
