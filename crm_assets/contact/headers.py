"""Which column is which: header aliases of ManyChat contact files.

No vendor documents a contact file, so columns are found by name, never by position. Here belongs
what a header may be called in English, Portuguese and Spanish, and nothing about cell values.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_ALIASES: dict[str, str] = {
    "manychat_id": "id contactid subscriberid userid manychatid idcontato iddocontato"
    " iddoassinante psid pageuid",
    "first_name": "firstname primeironome nombre",
    "last_name": "lastname sobrenome ultimonome apellido",
    "full_name": "fullname name nomecompleto",
    "email": "email emailaddress mail correo correoelectronico enderecodeemail",
    "phone": "phone telefone celular fone phonenumber telefono smsphone",
    "whatsapp_phone": "whatsapp whatsappphone whatsappid waid zap numerowhatsapp telefonewhatsapp",
    "whatsapp_bsuid": "whatsappbsuid bsuid",
    "whatsapp_username": "whatsappusername",
    "ig_username": "instagram igusername ighandle instagramusername arroba usuario",
    "ig_id": "igid instagramid",
    "subscribed_at": "subscribed subscribedat inscrito inscritoem datainscricao dataregistro"
    " datacadastro createdat fechaalta",
    "last_interaction_at": "lastinteraction ultimainteracao ultimainteraccion",
    "last_seen_at": "lastseen vistoporultimo ultimavisualizacao",
    "remarketing_at": "dataremarketing",
    "scheduled": "agendamento",
    "scheduled_at": "dataagendamento",
    "contact_flag": "contactar",
    "contact_at": "datacontactar",
    "tags": "tags tag etiquetas etiqueta marcadores labels",
    "optin_whatsapp": "optinwhatsapp optedinforwhatsapp aceitewhatsapp",
    "optin_sms": "optinphone optinsms hasoptinsms",
    "optin_email": "optinemail hasoptinemail aceiteemail",
    "locale": "locale",
    "language": "language idioma lingua",
    "timezone": "timezone fusohorario",
    "gender": "gender genero",
    "profile_picture": "profilepic profilepicture profilepicurl fotodeperfil fotoperfil",
    "last_input_text": "lastinputtext lasttextinput ultimotextodigitado ultimaentradadetexto",
}

PERSONAL = frozenset({"gender", "profile_picture", "last_input_text"})
"""Recognised so that they can be dropped at ingest (rules 1.12); absent from `CANONICAL`."""

CANONICAL = tuple(name for name in _ALIASES if name not in PERSONAL)
"""Every column a contact file may fill, in the order of the bronze table."""

_BY_ALIAS = {
    alias: canonical for canonical, aliases in _ALIASES.items() for alias in aliases.split()
}
_NAMES = {"first_name", "last_name", "full_name"}
_REACHABLE = {"email", "phone", "whatsapp_phone", "whatsapp_bsuid", "whatsapp_username"} | {
    "ig_username",
    "ig_id",
}
_ANYONES_ID = {"id", "userid"}


@dataclass(frozen=True)
class HeaderMatch:
    """What the headers of one file mean.

    Attributes:
        labels: One distinct name per header, in file order: its text, `coluna N` (N from 1) where
            it is empty, with ` (2)`, ` (3)` … where it repeats.
        columns: Canonical name → index of the header that fills it, personal columns left out.
        custom: Label → index of the headers no alias knows.
        duplicated: Text of the headers whose canonical name an earlier one already fills.
        nameless: Indexes of the empty headers.
        dropped: Indexes of the personal columns that must not be stored (rules 1.12).
        has_contact: Whether a column can tell who a row is about. A bare `id` cannot: every kind
            of file has one.
    """

    labels: list[str]
    columns: dict[str, int]
    custom: dict[str, int]
    duplicated: list[str]
    nameless: list[int]
    dropped: list[int]
    has_contact: bool


def normalise_header(text: str) -> str:
    """Return the form in which headers are compared: letters and digits, lower case, no accents."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in unicodedata.normalize("NFD", folded) if c.isalnum())


def match_headers(headers: Sequence[str]) -> HeaderMatch:
    """Map the headers of a file to canonical columns.

    Args:
        headers: Header cells as they stand in the file, left to right.

    Returns:
        The match. The first header of a canonical column wins; `nome` is the full name when it is
        the only name column, else the first name.
    """
    keys = [normalise_header(text) for text in headers]
    meanings = [_BY_ALIAS.get(key) for key in keys]
    nome = "first_name" if _NAMES.intersection(filter(None, meanings)) else "full_name"
    labels = _labels(headers)
    columns: dict[str, int] = {}
    custom: dict[str, int] = {}
    duplicated: list[str] = []
    dropped: list[int] = []
    for index, (key, known) in enumerate(zip(keys, meanings, strict=True)):
        meaning = nome if key == "nome" else known
        if meaning is None:
            custom[labels[index]] = index
        elif meaning in PERSONAL:
            dropped.append(index)
        elif meaning in columns:
            duplicated.append(_visible(headers[index]))
        else:
            columns[meaning] = index
    own_id = "manychat_id" in columns and keys[columns["manychat_id"]] not in _ANYONES_ID
    has_contact = own_id or not _REACHABLE.isdisjoint(columns)
    nameless = [index for index, text in enumerate(headers) if not _visible(text)]
    return HeaderMatch(labels, columns, custom, duplicated, nameless, dropped, has_contact)


def _visible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) != "Cf").strip()


def _labels(headers: Sequence[str]) -> list[str]:
    labels: dict[str, None] = {}
    for position, text in enumerate(headers, start=1):
        base = label = _visible(text) or f"coluna {position}"
        copies = 1
        while label in labels:
            copies += 1
            label = f"{base} ({copies})"
        labels[label] = None
    return list(labels)
