"""What a pinned value must be, and how it is read."""

import pytest

from crm_assets.silver.pins import FIELDS, BadPin, pinned
from crm_assets.words import FIELD_NAMES

VALUES = [
    ("email", " Ana.Souza@Example.com ", {"email": "ana.souza@example.com"}),
    ("phone", "(11) 8123-9876", {"phone": "+5511981239876", "phone_kind": "mobile"}),
    ("phone", "+351 912 345 678", {"phone": "+351912345678", "phone_kind": "mobile"}),
    ("name", "ANA  souza", {"name": "ANA souza", "first_name": "Ana"}),
    ("document", "529.982.247-25", {"document": "52998224725", "document_kind": "cpf"}),
    ("instagram", "https://instagram.com/Ana.Souza/", {"instagram": "ana.souza"}),
    ("city", "Olinda", {"city": "Olinda"}),
    ("state", "pernambuco", {"state": "PE", "state_source": "endereco"}),
    ("country", "Brasil", {"country": "BR"}),
]


@pytest.mark.parametrize(("field", "text", "columns"), VALUES)
def test_a_pinned_value_is_read_as_sources_are(field, text, columns):
    assert pinned(field, text) == (field, columns)


@pytest.mark.parametrize("said", ["nome", "Nome", "name"])
def test_a_field_may_be_named_in_portuguese(said):
    assert pinned(said, "Ana") == ("name", {"name": "Ana", "first_name": "Ana"})


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("email", "ana@"),
        ("email", "teste@teste.com"),
        ("phone", "98765-4321"),
        ("name", "cliente"),
        ("document", "529.982.247-24"),
        ("instagram", "ana souza"),
        ("city", "-"),
        ("state", "Ontario"),
        ("country", "Atlântida"),
        ("ltv", "1000"),
    ],
)
def test_what_is_no_value_of_a_field_is_refused_without_repeating_it(field, text):
    with pytest.raises(BadPin) as caught:
        pinned(field, text)
    assert text not in str(caught.value)
    assert FIELD_NAMES.get(field, field) in str(caught.value)
    named = [FIELD_NAMES[name] for name in FIELDS] if field == "ltv" else []
    assert all(name in str(caught.value) for name in named)
