import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.contact.headers import CANONICAL, PERSONAL, match_headers, normalise_header

WRITTEN = {
    "manychat_id": "ID|Contact ID|subscriber_id|user id|ManyChat ID|ID Contato|ID do contato"
    "|ID do assinante|PSID|pageuid",
    "first_name": "First Name|Primeiro nome|Nombre",
    "last_name": "last_name|Sobrenome|Último nome|Apellido",
    "full_name": "Full Name|name|Nome completo|nome",
    "email": "E-mail|Email address|mail|Correo|Correo electrónico|Endereço de e-mail",
    "phone": "Phone|Telefone|Celular|Fone|Phone number|Teléfono|SMS phone",
    "whatsapp_phone": "WhatsApp|WhatsApp Phone|whatsapp_id|wa_id|Zap|Número WhatsApp"
    "|Telefone WhatsApp",
    "whatsapp_bsuid": "whatsapp_bsuid|BSUID",
    "whatsapp_username": "whatsapp_username",
    "ig_username": "Instagram|ig_username|IG handle|Instagram username|Arroba|Usuário",
    "ig_id": "ig_id|Instagram ID",
    "subscribed_at": "Subscribed|subscribed_at|Inscrito|Inscrito em|Data inscrição"
    "|data_registro|Data cadastro|created_at|Fecha alta",
    "last_interaction_at": "last_interaction|Última interação|Última interacción",
    "last_seen_at": "last_seen|Visto por último|Última visualização",
    "remarketing_at": "data_remarketing",
    "scheduled": "agendamento",
    "scheduled_at": "data_agendamento",
    "contact_flag": "contactar",
    "contact_at": "data_contactar",
    "tags": "Tags|tag|Etiquetas|etiqueta|Marcadores|labels",
    "optin_whatsapp": "optin_whatsapp|Opted in for WhatsApp|Aceite WhatsApp",
    "optin_sms": "optin_phone|optin_sms|has_opt_in_sms",
    "optin_email": "optin_email|has_opt_in_email|Aceite e-mail",
    "locale": "Locale",
    "language": "Idioma|language|Língua",
    "timezone": "Fuso horário|Timezone",
}
DROPPED = ["Gender", "gênero", "profile_pic", "profilePic", "Foto de perfil", "last_input_text"]


def test_every_canonical_column_has_written_headers():
    assert set(WRITTEN) == set(CANONICAL)
    assert not PERSONAL & set(CANONICAL)


@pytest.mark.parametrize(
    ("header", "canonical"),
    [(header, name) for name, headers in WRITTEN.items() for header in headers.split("|")],
)
def test_alias(header, canonical):
    match = match_headers(["turma", header])
    assert match.columns == {canonical: 1}
    assert match.custom == {"turma": 0}


@pytest.mark.parametrize("header", DROPPED)
def test_personal_columns_are_dropped_even_when_repeated(header):
    match = match_headers([header, "email", header])
    assert match.dropped == [0, 2]
    assert match.columns == {"email": 1}
    assert match.custom == {}


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("\ufeffnome", "nome"),
        ("e\u200b-mail", "email"),
        ("\uff25\uff2d\uff21\uff29\uff2c", "email"),
        ("Endere\u00e7o de E-mail", "enderecodeemail"),
        ("Endereco\u0327 de E-mail", "enderecodeemail"),
        ("  data_remarketing  ", "dataremarketing"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("🌸", ""),
    ],
)
def test_normalise_header(written, key):
    assert normalise_header(written) == key


@pytest.mark.parametrize(
    ("headers", "columns", "duplicated"),
    [
        (["nome", "email"], {"full_name": 0, "email": 1}, []),
        (["nome", "sobrenome"], {"first_name": 0, "last_name": 1}, []),
        (["nome", "nome completo"], {"first_name": 0, "full_name": 1}, []),
        (["Primeiro nome", "Nome"], {"first_name": 0}, ["Nome"]),
        (["nome", "Nome "], {"full_name": 0}, ["Nome"]),
        (["nombre", "apellido"], {"first_name": 0, "last_name": 1}, []),
        (["E-mail", "Correo", "mail"], {"email": 0}, ["Correo", "mail"]),
        (["phone", "whatsapp"], {"phone": 0, "whatsapp_phone": 1}, []),
    ],
)
def test_first_header_wins_and_nome_depends_on_the_other_names(headers, columns, duplicated):
    match = match_headers(headers)
    assert match.columns == columns
    assert match.duplicated == duplicated


def test_labels_are_distinct_and_keep_the_text():
    match = match_headers(["Obs", "", "obs", "Obs", "Obs (2)", "coluna 2", " "])
    expected = "Obs|coluna 2|obs|Obs (2)|Obs (2) (2)|coluna 2 (2)|coluna 7"
    assert match.labels == expected.split("|")
    assert list(match.custom) == match.labels
    assert match.nameless == [1, 6]


@pytest.mark.parametrize(
    ("headers", "has_contact"),
    [
        (["pageuid"], True),
        (["whatsapp_bsuid"], True),
        (["instagram"], True),
        (["id", "valor"], False),
        (["user_id", "nome"], False),
        (["id", "telefone"], True),
        (["subscriber_id", "nome"], True),
        (["nome", "tags"], False),
        ([], False),
    ],
)
def test_contact_column(headers, has_contact):
    assert match_headers(headers).has_contact is has_contact


SOME_HEADERS = [header for headers in WRITTEN.values() for header in headers.split("|")] + DROPPED


@given(st.lists(st.sampled_from(SOME_HEADERS) | st.text(max_size=12)))
def test_no_header_is_lost_or_used_twice(headers):
    match = match_headers(headers)
    assert len(set(match.labels)) == len(headers)
    used = [*match.columns.values(), *match.custom.values(), *match.dropped]
    assert len(used) == len(set(used))
    assert len(used) + len(match.duplicated) == len(headers)
    assert match.columns.keys() <= set(CANONICAL)
    assert all(match.labels[index] == label for label, index in match.custom.items())
