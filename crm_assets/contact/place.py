"""Pure rules for places and handles: countries to ISO-2, states to UF, Instagram names."""

from __future__ import annotations

import polars as pl

from crm_assets.contact.phone_abroad import REGIONS

COUNTRIES = {
    "brasil": "BR", "brazil": "BR", "bra": "BR",
    "portugal": "PT", "prt": "PT",
    "espanha": "ES", "spain": "ES", "espana": "ES", "esp": "ES",
    "estados unidos": "US", "estados unidos da america": "US", "united states": "US",
    "united states of america": "US", "usa": "US", "eua": "US", "e.u.a.": "US", "u.s.a.": "US",
    "argentina": "AR", "arg": "AR",
    "paraguai": "PY", "paraguay": "PY", "pry": "PY",
    "uruguai": "UY", "uruguay": "UY", "ury": "UY",
    "chile": "CL", "chl": "CL",
    "bolivia": "BO", "bol": "BO",
    "peru": "PE", "per": "PE",
    "colombia": "CO", "col": "CO",
    "mexico": "MX", "mex": "MX",
    "equador": "EC", "ecuador": "EC",
    "venezuela": "VE", "ven": "VE", "guiana": "GY", "guyana": "GY", "suriname": "SR",
    "guiana francesa": "GF", "french guiana": "GF",
    "costa rica": "CR", "panama": "PA", "guatemala": "GT", "honduras": "HN", "nicaragua": "NI",
    "el salvador": "SV", "republica dominicana": "DO", "dominican republic": "DO", "cuba": "CU",
    "porto rico": "PR", "puerto rico": "PR",
    "angola": "AO", "ago": "AO", "mocambique": "MZ", "mozambique": "MZ", "moz": "MZ",
    "cabo verde": "CV", "cape verde": "CV", "guine-bissau": "GW", "guine bissau": "GW",
    "sao tome e principe": "ST", "timor-leste": "TL", "timor leste": "TL",
    "africa do sul": "ZA", "south africa": "ZA", "macau": "MO",
    "reino unido": "GB", "inglaterra": "GB", "escocia": "GB", "united kingdom": "GB",
    "great britain": "GB", "england": "GB", "gbr": "GB", "uk": "GB",
    "irlanda": "IE", "ireland": "IE", "irl": "IE",
    "holanda": "NL", "paises baixos": "NL", "netherlands": "NL", "the netherlands": "NL",
    "nld": "NL",
    "belgica": "BE", "belgium": "BE", "bel": "BE",
    "luxemburgo": "LU", "luxembourg": "LU", "austria": "AT", "polonia": "PL", "poland": "PL",
    "suecia": "SE", "sweden": "SE", "noruega": "NO", "norway": "NO",
    "dinamarca": "DK", "denmark": "DK", "finlandia": "FI", "finland": "FI",
    "franca": "FR", "france": "FR", "fra": "FR",
    "italia": "IT", "italy": "IT", "ita": "IT",
    "alemanha": "DE", "germany": "DE", "deu": "DE",
    "suica": "CH", "switzerland": "CH",
    "japao": "JP", "japan": "JP", "jpn": "JP",
    "canada": "CA", "can": "CA",
    "australia": "AU", "aus": "AU", "nova zelandia": "NZ", "new zealand": "NZ",
    "israel": "IL", "emirados arabes unidos": "AE", "united arab emirates": "AE",
    "china": "CN", "coreia do sul": "KR", "south korea": "KR",
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
    code = folded.str.to_uppercase()
    known = pl.when(code.is_in(REGIONS)).then(code)
    return _only(known, folded.replace_strict(COUNTRIES, default=None), "country")


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
