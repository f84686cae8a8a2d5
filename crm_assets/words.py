"""Words for what people read: the statuses of subscriptions and accesses, and counts. Pure.

Tables, JSON and API keep the vendor's own values; lists, reports and filters speak these.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

FIELD_NAMES = {
    "name": "nome",
    "email": "e-mail",
    "phone": "telefone",
    "document": "documento",
    "instagram": "instagram",
    "city": "cidade",
    "state": "estado",
    "country": "país",
    "hotmart_ucode": "id na Hotmart",
    "manychat_id": "id no ManyChat",
    "place": "lugar",
}
"""A field of the golden record, and how a person names it."""

KEY_REASONS = {
    "muitos_emails": "tem e-mails demais para ser de uma pessoa",
    "muitas_pessoas": "tem CPFs ou compradores demais para ser de uma pessoa",
    "muitos_telefones": "tem telefones demais para ser de uma pessoa",
    "caixa_de_funcao": "é de uma função, e não de uma pessoa",
    "varios_nomes": "é de uma casa: une só registros do mesmo primeiro nome",
    "bloqueada_por_decisao": "foi bloqueada por uma decisão",
}
"""Why a key does not join everybody (`silver.key_status`), in words."""

SUBSCRIPTION_STATUSES = {
    "STARTED": "iniciada",
    "ACTIVE": "ativa",
    "DELAYED": "atrasada",
    "PAST_DUE": "com pagamento vencido",
    "INACTIVE": "inativa",
    "OVERDUE": "fim de ciclo",
    "EXPIRED": "expirada",
    "CANCELLED": "cancelada",
    "CANCELLED_BY_CUSTOMER": "cancelada pelo cliente",
    "CANCELLED_BY_SELLER": "cancelada pelo produtor",
    "CANCELLED_BY_ADMIN": "cancelada pela Hotmart",
}
SEGMENTS = {
    "ativa": "ativa",
    "trial": "trial",
    "em_risco": "em risco",
    "cancelada": "cancelada",
    "outra": "outra",
}
"""Exclusive parts of all subscriptions; `em_risco` are the late ones (rules 6.3)."""

ACCESS_STATUSES = {
    "granted": "liberado",
    "grace": "em tolerância",
    "suspended": "suspenso",
    "ended": "encerrado",
}
AT_RISK = "em risco (atrasadas ou canceladas ainda pagas)"
"""The figure, which is wider than the segment of nearly the same name (rules 6.3)."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: `1 linha`, `3 linhas`.

    Args:
        count: how many.
        one: the noun of one, with what agrees with it.
        many: of none or several; an `s` at the end of `one` by default.
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def meant(said: str, words: Mapping[str, str]) -> str | None:
    """The value that somebody means by a word, or by the value itself; None when it is none.

    Args:
        said: in any letter case, spaces as `_` or `-` too, accents or none.
        words: word by value.
    """
    wanted = plain(said)
    return next((v for v, word in words.items() if wanted in {plain(v), plain(word)}), None)


def plain(text: str) -> str:
    """A word without accents, capitals and more than single spaces."""
    letters = unicodedata.normalize("NFKD", text)
    bare = "".join(sign for sign in letters if not unicodedata.combining(sign))
    return re.sub(r"[\s_-]+", " ", bare.strip()).casefold()
