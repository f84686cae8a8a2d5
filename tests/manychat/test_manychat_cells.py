import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.bronze.manychat_file import REASONS
from crm_assets.contact.tags import split_tags


@pytest.mark.parametrize(
    ("cell", "phone", "reason"),
    [
        ("5,51196E+12", "5,51196E+12", "digitos_perdidos"),
        ("5.51196e+12", "5.51196e+12", "digitos_perdidos"),
        ("6E+12", "6E+12", "digitos_perdidos"),
        ("5.511961234567E+12", "5.511961234567E+12", None),
        ("5,511961234567E+12", "5,511961234567E+12", None),
        ("5511961234567.0", "5511961234567", None),
        ("5511961234567,0", "5511961234567", None),
        ("+5511961234567,00", "+5511961234567", None),
        ("'+5511961234567", "+5511961234567", None),
        ('="5511961234567"', "5511961234567", None),
        ("=+5511961234567", "+5511961234567", None),
        ("+55 (11) 96123-4567", "+55 (11) 96123-4567", None),
        ("011961234567", "011961234567", None),
        ("(11) 3312.3400", "(11) 3312.3400", None),
        ("'", None, None),
        ("", None, None),
    ],
)
@pytest.mark.parametrize(("name", "header"), [("phone", "Telefone"), ("whatsapp_phone", "zap")])
def test_phones_stay_as_typed_but_for_guards(column, name, header, cell, phone, reason):
    assert column(name, header, cell) == (phone, reason)


@pytest.mark.parametrize(
    ("cell", "value", "reason"),
    [
        ("24012345678901234", "24012345678901234", None),
        ("24012345678901200", "24012345678901200", "id_truncado"),
        ("12345678901234500000", "12345678901234500000", "id_truncado"),
        ("12345678901234567000", "12345678901234567000", None),
        ("1234567890123450", "1234567890123450", None),
        ("160482300000000", "160482300000000", None),
        ("1,23457E+16", "1,23457E+16", "digitos_perdidos"),
        ("'24012345678901234", "24012345678901234", None),
        ("1604823001.0", "1604823001", None),
        ("user:1604823001", "user:1604823001", None),
    ],
)
@pytest.mark.parametrize(("name", "header"), [("manychat_id", "id"), ("ig_id", "ig_id")])
def test_ids_are_text_and_cut_ones_are_flagged(column, name, header, cell, value, reason):
    assert column(name, header, cell) == (value, reason)


def test_numbers_in_other_columns_stay_text(read):
    fields = {"CPF": "01234567890", "CEP": "01310100", "total": "1.234,56", "x": "5,51199E+12"}
    file = read(";".join(["email", *fields]) + "\n" + ";".join(["a@example.com", *fields.values()]))
    assert json.loads(file.frame["custom_fields"][0]) == fields
    assert file.rejects.is_empty()


@pytest.mark.parametrize(
    ("cell", "handle"),
    [
        ("ana.souza", "ana.souza"),
        ("@ana.souza", "ana.souza"),
        ("https://www.instagram.com/ana.souza/", "ana.souza"),
        ("instagram.com/ana.souza?igsh=x", "ana.souza"),
        ("HTTP://M.Instagram.com/@ana.souza", "ana.souza"),
        ("@", None),
    ],
)
def test_instagram_handles(column, cell, handle):
    assert column("ig_username", "instagram", cell) == (handle, None)


@pytest.mark.parametrize("header", ["data_remarketing", "ultima_interacao", "data_registro"])
def test_a_contact_cannot_lie_more_than_a_day_ahead(column, now, header):
    name = {"data_remarketing": "remarketing_at", "ultima_interacao": "last_interaction_at"}.get(
        header, "subscribed_at"
    )
    limit = now.astimezone(UTC) + timedelta(days=1)
    assert column(name, header, "2026-03-16T09:00:00-03:00") == (limit, None)
    assert column(name, header, "2026-03-16T09:00:01-03:00") == (None, "data_no_futuro")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("scheduled_at", "data_agendamento"),
        ("contact_at", "data_contactar"),
        ("last_seen_at", "last_seen"),
    ],
)
def test_other_dates_may_be_future(column, name, header):
    assert column(name, header, "01/12/2026") == (datetime(2026, 12, 1, 3, tzinfo=UTC), None)


def test_a_rejected_date_names_line_column_and_cell_and_keeps_the_row(read):
    file = read("email;Data registro\na@example.com;11/set\nb@example.com;46057\n")
    assert file.rejects.rows() == [(2, "Data registro", "data_ilegivel", "11/set")]
    assert file.frame["subscribed_at"].is_null().to_list() == [True, False]


@pytest.mark.parametrize(
    ("cells", "answer"),
    [
        (["true", "TRUE", "1", "1.0", "Sim", "s", "YES", "VERDADEIRO"], True),
        (["false", "0", "0,0", "Não", "NAO", "n", "no", "FALSO"], False),
        (["", "null", "-", "N/A"], None),
    ],
)
@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("optin_whatsapp", "optin_whatsapp"),
        ("optin_sms", "optin_phone"),
        ("optin_email", "aceite e-mail"),
    ],
)
def test_optins(column, cells, answer, name, header):
    assert [column(name, header, cell) for cell in cells] == [(answer, None)] * len(cells)
    assert column(name, header, "talvez") == (None, "resposta_desconhecida")


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ('["lead", "ILPI, turma 3"]', ["lead", "ILPI, turma 3"]),
        ('[{"id": 1, "name": "lead"}, {"id": 2, "name": "vip"}]', ["lead", "vip"]),
        ('[{"id": 1}, " ", 7]', ["7"]),
        ("[]", []),
        ("[ABC] [COMPRADORES X]", ["[ABC] [COMPRADORES X]"]),
        ("[ABC] um|[ABC] dois; três", ["[ABC] um", "[ABC] dois; três"]),
        ("lead; lista de espera;", ["lead", "lista de espera"]),
        ("compradores, turma 3", ["compradores, turma 3"]),
        ("🌸 flor", ["🌸 flor"]),
        ("null", []),
    ],
)
def test_tags(column, cell, tags):
    assert split_tags(cell) == tags
    value, reason = column("tags", "Etiquetas", cell)
    assert (value.to_list(), reason) == (tags, None)


def test_tags_stay_beside_their_rows(read):
    file = read("email;tags\na@example.com;x|y\nb@example.com;\nc@example.com;z\nd@example.com;x|y")
    assert file.frame["tags"].to_list() == [["x", "y"], None, ["z"], ["x", "y"]]


def test_every_reject_code_has_a_sentence(read):
    file = read(
        "email;data_registro;zap;id;optin_email\n"
        "a@example.com;x;1E+9;24012345678901200;talvez;sobra\n"
        "b@example.com;1\nc@example.com;01/01/2099\n"
    )
    assert set(file.rejects["reason"]) == set(REASONS)
    assert file.rejects["line"].is_sorted()


@given(st.lists(st.text(min_size=1).filter(lambda tag: tag == tag.strip() != "")))
def test_json_tags_come_back(tags):
    assert split_tags(json.dumps(tags)) == tags
