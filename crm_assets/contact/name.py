"""Names of people: the text that is shown and the first name for a greeting."""

import polars as pl

from crm_assets.contact.placeholders import fold_text, is_missing_text

_PLACEHOLDER = (
    r"(?i)^\P{L}*(?:unknown(?: (?:buyer|customer|user))?|(?:(?:comprador|cliente) )?desconhecid[oa]"
    r"|(?:sem|no) (?:nome|name)|n[aã]o (?:informado|tem)|nome(?: completo)?|(?:first )?name"
    r"|cliente|comprador|an[oô]nim[oa]|guest|teste?)\P{L}*$"
)
_TEMPLATE = r"\{\{.*\}\}|\[\[.*\]\]"
_FIRST_NAME = (
    r"^\P{L}*(?i:(?:dra?|sra?|srta|profa?)\b\.?\s*)*"
    r"(\p{L}[\p{L}\p{M}'’-]*[\p{L}\p{M}])(?:[^\p{L}\p{M}.]|$)"
)


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
    names = text.cast(pl.String).rename("text").to_frame().lazy().select(name=shown)
    name = pl.col("name")
    nothing = (
        is_missing_text(name)
        | ~name.str.contains(r"\p{L}")
        | name.str.contains(r"\S@\S")
        | name.str.contains(_TEMPLATE)
        | name.str.contains(_PLACEHOLDER)
    )
    first = name.str.extract(_FIRST_NAME).str.normalize("NFKC")
    names = names.with_columns(pl.when(~nothing).then(name))
    return names.with_columns(first_name=first.str.to_titlecase()).collect()
