"""Pure rules for places and handles: countries to ISO-2, Brazilian states to UF, Instagram names."""

from __future__ import annotations

import polars as pl

COUNTRIES = {
    "brasil": "BR", "brazil": "BR", "bra": "BR",
    "portugal": "PT", "prt": "PT",
    "espanha": "ES", "spain": "ES", "espana": "ES", "esp": "ES",
    "estados unidos": "US", "united states": "US", "united states of america": "US", "usa": "US",
    "argentina": "AR", "arg": "AR",
    "paraguai": "PY", "paraguay": "PY", "pry": "PY",
    "uruguai": "UY", "uruguay": "UY", "ury": "UY",
    "chile": "CL", "chl": "CL",
    "bolivia": "BO", "bol": "BO",
    "peru": "PE", "per": "PE",
    "colombia": "CO", "col": "CO",
    "mexico": "MX", "mex": "MX",
    "equador": "EC", "ecuador": "EC",
    "venezuela": "VE",
    "angola": "AO", "mocambique": "MZ", "mozambique": "MZ",
    "reino unido": "GB", "united kingdom": "GB", "gbr": "GB",
    "franca": "FR", "france": "FR", "fra": "FR",
    "italia": "IT", "italy": "IT", "ita": "IT",
    "alemanha": "DE", "germany": "DE", "deu": "DE",
    "suica": "CH", "switzerland": "CH",
    "japao": "JP", "japan": "JP", "jpn": "JP",
    "canada": "CA", "can": "CA",
}  # fmt: skip
"""Country names, without accents, as checkouts write them."""

STATES = {
    "acre": "AC", "alagoas": "AL", "amapa": "AP", "amazonas": "AM", "bahia": "BA", "ceara": "CE",
    "distrito federal": "DF", "espirito santo": "ES", "goias": "GO", "maranhao": "MA",
    "mato grosso": "MT", "mato grosso do sul": "MS", "minas gerais": "MG", "para": "PA",
    "paraiba": "PB", "parana": "PR", "pernambuco": "PE", "piaui": "PI", "rio de janeiro": "RJ",
    "rio grande do norte": "RN", "rio grande do sul": "RS", "rondonia": "RO", "roraima": "RR",
    "santa catarina": "SC", "sao paulo": "SP", "sergipe": "SE", "tocantins": "TO",
}  # fmt: skip
"""Brazilian states, without accents."""


def country_codes(text: pl.Series) -> pl.Series:
    """ISO-2 code of each country text; null when it names no country we know."""
    folded = _folded(text)
    two_letters = pl.when(folded.str.contains("^[a-z]{2}$")).then(folded.str.to_uppercase())
    return _only(two_letters, folded.replace_strict(COUNTRIES, default=None), "country")


def uf_codes(text: pl.Series) -> pl.Series:
    """UF of each Brazilian state text; null when it is none."""
    folded = _folded(text)
    upper = folded.str.to_uppercase()
    known = pl.when(upper.is_in(sorted(STATES.values()))).then(upper)
    return _only(known, folded.replace_strict(STATES, default=None), "uf")


def instagram_handles(text: pl.Expr) -> pl.Expr:
    """Bare, lower-case handle of an `@handle` or a profile address."""
    return (
        text.str.strip_chars()
        .str.replace(r"(?i)^(https?://)?(www\.)?instagram\.com/", "")
        .str.replace(r"[/?].*$", "")
        .str.strip_prefix("@")
        .str.to_lowercase()
        .replace("", None)
    )


def _folded(text: pl.Series) -> pl.Series:
    return (
        text.cast(pl.String)
        .str.strip_chars()
        .str.to_lowercase()
        .str.normalize("NFKD")
        .str.replace_all(r"\p{Mn}", "")
    )


def _only(first: pl.Expr, second: pl.Series, name: str) -> pl.Series:
    return pl.select(pl.coalesce(first, pl.lit(second)).alias(name)).to_series()
