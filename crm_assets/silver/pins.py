"""Which fields of a person a steward may pin, and what a pinned value must be."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from crm_assets.contact.document import normalize_documents
from crm_assets.contact.email import normalize_emails
from crm_assets.contact.name import clean_names
from crm_assets.contact.phone import normalize_phones
from crm_assets.contact.place import country_codes, instagram_handles, uf_codes
from crm_assets.words import FIELD_NAMES, meant

_HANDLE = r"^([a-z0-9._]{1,30})$"


class BadPin(ValueError):
    """A field that cannot be pinned, or a value that it cannot have."""


def pinned(field: str, text: str) -> tuple[str, dict[str, str]]:
    """The columns of the golden record that a pin sets, normalised like what a source says.

    Args:
        field: the surviving field, or one column of its place; in Portuguese too.
        text: the value in any writing.

    Returns:
        The field's name, and the columns: its value under that name, and what comes with it.

    Raises:
        BadPin: the field is not one of `FIELDS`, or the text is no value of it.
    """
    words = {name: FIELD_NAMES[name] for name in FIELDS}
    name = meant(field, words)
    if name is None:
        named = ", ".join(words.values())
        raise BadPin(f"{field} não é um campo que se possa fixar; são: {named}.")
    read, form = FIELDS[name]
    columns = read(pl.Series([text.strip()], dtype=pl.String))
    if columns.get(name) is None:
        raise BadPin(f"Este valor não serve de {words[name]}: precisa ser {form}.")
    return name, {column: value for column, value in columns.items() if value is not None}


def _email(cell: pl.Series) -> dict[str, str | None]:
    return normalize_emails(cell).select("email").row(0, named=True)


def _phone(cell: pl.Series) -> dict[str, str | None]:
    phones = normalize_phones(cell, brazilian=pl.Series([True]))
    known = phones.filter(pl.col("phone_key").is_not_null()).select(phone="e164", phone_kind="kind")
    return known.row(0, named=True) if len(known) else {}


def _name(cell: pl.Series) -> dict[str, str | None]:
    return clean_names(cell).row(0, named=True)


def _document(cell: pl.Series) -> dict[str, str | None]:
    documents = normalize_documents(cell).filter("document_valid").drop("document_valid")
    return documents.row(0, named=True) if len(documents) else {}


def _instagram(cell: pl.Series) -> dict[str, str | None]:
    handle = pl.select(instagram_handles(pl.lit(cell)).str.extract(_HANDLE)).item()
    return {"instagram": handle}


def _city(cell: pl.Series) -> dict[str, str | None]:
    return {"city": clean_names(cell)["name"][0]}


def _state(cell: pl.Series) -> dict[str, str | None]:
    return {"state": uf_codes(cell)[0], "state_source": "endereco"}


def _country(cell: pl.Series) -> dict[str, str | None]:
    return {"country": country_codes(cell)[0]}


FIELDS: dict[str, tuple[Callable[[pl.Series], dict[str, str | None]], str]] = {
    "email": (_email, "um e-mail que possa ser usado"),
    "phone": (_phone, "um telefone que exista, com DDD, ou com + e o código do país"),
    "name": (_name, "um nome"),
    "document": (_document, "um CPF ou CNPJ com dígitos verificadores corretos"),
    "instagram": (_instagram, "um nome de usuário do Instagram"),
    "city": (_city, "o nome de uma cidade"),
    "state": (_state, "um estado brasileiro, pela sigla ou pelo nome"),
    "country": (_country, "um país, pela sigla de duas letras ou pelo nome"),
}
"""Field -> how its text is read, and what it must be."""
