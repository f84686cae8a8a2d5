"""Names of people: the text that is shown and the first name for a greeting."""

from typing import Final

import polars as pl

from crm_assets.contact.placeholders import fold_text, is_missing_text

_PLACEHOLDERS: Final = (
    "unknown",
    "unknown buyer",
    "unknown customer",
    "unknown user",
    "desconhecido",
    "comprador desconhecido",
    "cliente desconhecido",
    "sem nome",
    "nao informado",
    "nao tem",
    "no name",
    "nome",
    "name",
    "first name",
    "nome completo",
    "cliente",
    "comprador",
    "anonimo",
    "guest",
    "teste",
    "test",
)
_TEMPLATE = r"\{\{.*\}\}|\[\[.*\]\]"
_HONORIFIC = r"(?i)^(?:(?:dra?|sra?|srta|profa?)\b\.?\s*)+"


def clean_names(text: pl.Series) -> pl.DataFrame:
    """Read a column of names (seeds S0.12 and S0.14; mdm 4.1).

    Args:
        text: What the source holds; nulls allowed.

    Returns:
        One row per input row, in order: `name` (outer and repeated blanks and invisible characters
        removed, letter case as typed; null when it says nothing: no letter, an e-mail address, an
        unfilled template, a placeholder) and `first_name` (for a greeting, "MARIA" and "maria" as
        "Maria"; null when it starts with an initial).
    """
    shown = fold_text(pl.col("text"), "NFC").str.replace_all(r"\s+", " ")
    names = text.cast(pl.String).rename("text").to_frame().select(name=shown)
    name = pl.col("name")
    plain = name.str.normalize("NFKD").str.replace_all(r"[^\p{L}\p{N}\s]+", "")
    plain = plain.str.to_lowercase().str.strip_chars()
    nothing = (
        is_missing_text(name)
        | ~name.str.contains(r"\p{L}")
        | name.str.contains(r"\S@\S")
        | name.str.contains(_TEMPLATE)
        | plain.is_in(_PLACEHOLDERS)
    )
    first = name.str.normalize("NFKC").str.replace(_HONORIFIC, "")
    first = first.str.extract(r"^[^\p{L}]*(\p{L}[\p{L}\p{M}'’-]*[\p{L}\p{M}])(?:[^\p{L}\p{M}.]|$)")
    names = names.with_columns(pl.when(~nothing).then(name))
    return names.with_columns(first_name=_titled(first))


def _titled(first: pl.Expr) -> pl.Expr:
    """Put one name in title form: a capital at its start and after each hyphen or apostrophe."""
    return first.str.to_titlecase()
