"""E-mail addresses: the form that is shown, the key that identifies, and hints for review.

A key is the whole address in lower case and nothing more: dots and plus tags are never folded and a
typing error is never corrected, since both would hand one person's history to another.
"""

from re import escape
from typing import Final

import polars as pl

from crm_assets.contact.placeholders import fold_text, is_missing_text

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_DOMAIN = rf"(?:{_LABEL}\.)+[a-z][a-z0-9-]*[a-z0-9]"
_LOCAL = r"[^\x00-\x20\x7f()<>\[\]:;@\\,.\x22\s]+"
_ADDRESS = rf"^{_LOCAL}(?:\.{_LOCAL})*@{_DOMAIN}$"
_LONG_LABEL = r"[@.][^@.]{64,}(?:\.|$)"
_SEPARATOR = r"[;,/|\s]+"

_DUMMY = (
    r"^(?:(?:n[aã]o[._-]?tem(?:[._-]?e?-?mail)?|sem[._-]?e?-?mail|no[._-]?reply|x{3,}|teste?)@"
    r"|(?:n[aã]o@tem|a@a|x@x|email@email)\.com$)"
)

_GMAIL = ("@gmail.com", "@googlemail.com")
_TYPOS: Final = {
    typo: domain
    for domain, typos in {
        "gmail.com": "gmial.com gmai.com gmal.com gmil.com gnail.com gmaill.com gamil.com hmail.com"
        " gmail.con gmail.co gmail.cm gmail.cmo gmail.com.br",
        "hotmail.com": "hotmial.com hotmai.com hotmil.com hotmal.com otmail.com hotmail.con",
        "yahoo.com": "yaho.com yahooo.com yahoo.con",
        "outlook.com": "outlok.com outloook.com outloo.com outlook.con",
        "icloud.com": "iclod.com icloud.con",
    }.items()
    for typo in typos.split()
}
_TYPO = f"@(?:{'|'.join(map(escape, _TYPOS))})$"

_WORDS = r"[a-z0-9]+(?:-[a-z0-9]+)*"  # without "--", so that "xn--" is looked at closely
_ORDINARY = (
    r"^[a-z0-9_][a-z0-9_+-]*(?:\.[a-z0-9_+-]+)*"
    rf"@(?:{_WORDS}\.)+[a-z][a-z0-9]*(?:-[a-z0-9]+)*[a-z0-9]$"
)
_ENDS_ODDLY = rf"{_TYPO}|\.(?:invalid|test)$"


def normalize_emails(text: pl.Series) -> pl.DataFrame:
    """Read a column of e-mail cells (rules 2.2; manychat-contacts 4.9).

    Args:
        text: What the source holds; nulls allowed.

    Returns:
        One row per input row, in order: `email` (well-formed and usable, to be shown), `email_key`
        (the same with its domain in ASCII), `reason` (why there is none: missing, malformed,
        placeholder, blocked_domain), `match_hint` (Gmail only, dots and tag folded; for review) and
        `suggestion` (the address meant, where the domain is a known typing error).
    """
    cells = text.cast(pl.String).rename("text")
    address = pl.col("text").str.strip_chars().str.to_lowercase()
    ordinary = cells.to_frame().lazy().select(email=address)
    ordinary = ordinary.select(pl.when(_is_ordinary(pl.col("email"))).then("email").alias("email"))
    ordinary = ordinary.with_columns(match_hint=_match_hint(pl.col("email")))
    known = ordinary.collect(engine="streaming")
    is_odd = known["email"].is_null()
    odd = _read_odd(cells.filter(is_odd).to_frame())
    rest = odd.select(
        pl.all().gather(pl.select(pl.when(is_odd).then(is_odd.cum_sum() - 1)).to_series())
    )
    return rest.select(
        email=pl.coalesce(known["email"], "email"),
        email_key=pl.coalesce(known["email"], "email_key"),
        reason="reason",
        match_hint=pl.coalesce(known["match_hint"], "match_hint"),
        suggestion="suggestion",
    )


def _is_ordinary(email: pl.Expr) -> pl.Expr:
    """Addresses that are their own key and leave nothing to say but the Gmail hint."""
    return (
        email.str.contains(_ORDINARY)
        & ~email.str.contains(_DUMMY)
        & ~email.str.contains(_ENDS_ODDLY)
        & (email.str.len_bytes() <= 64)
    ).fill_null(False)


def _read_odd(cells: pl.DataFrame) -> pl.DataFrame:
    """Read cells of any kind: the first usable address of each, else why there is none."""
    read = _judged(_addresses(cells.with_row_index("row")))
    read = read.sort("row", pl.col("email_key").is_null(), maintain_order=True)
    return read.unique("row", keep="first", maintain_order=True).drop("row")


def _match_hint(key: pl.Expr) -> pl.Expr:
    """The form under which Gmail delivers an address; null for others."""
    gmail = key.str.ends_with(_GMAIL[0]) | key.str.ends_with(_GMAIL[1])
    handle = pl.when(gmail).then(key).str.strip_suffix(_GMAIL[0]).str.strip_suffix(_GMAIL[1])
    folded = handle.str.replace(r"\+.*", "").str.replace_all(".", "", literal=True)
    return folded + _GMAIL[0]


def _addresses(cells: pl.DataFrame) -> pl.DataFrame:
    """Free addresses from what surrounds them; a cell with several gives several rows."""
    text = pl.col("text")
    cells = cells.with_columns(fold_text(text).str.to_lowercase()).with_columns(
        missing=is_missing_text(text)
    )
    several = (text.str.count_matches("@") > 1) & text.str.contains(_SEPARATOR)
    pieces = pl.when(several).then(text.str.replace_all(_SEPARATOR, " ").str.split(" "))
    cells = cells.with_columns(
        text=pieces.otherwise(pl.concat_list(text)), several=several.fill_null(False)
    )
    cells = cells.explode("text").filter(~pl.col("several") | text.str.contains("@", literal=True))
    address = (
        text.str.replace(r"^mailto:([^?]*).*$", "$1")
        .str.replace(r"^.*<([^<>]*)>.*$", "$1")
        .str.strip_chars_start("'\"=< ")
        .str.strip_chars_end("'\".,;> ")
    )
    cells = cells.with_columns(
        local=address.str.extract("^([^@]*)@"), domain=address.str.extract("^[^@]*@(.*)$")
    )
    cells = cells.join(_domains(cells["domain"]), on="domain", how="left", maintain_order="left")
    key = pl.concat_str("local", pl.lit("@"), "idna")
    valid = (
        key.str.contains(_ADDRESS)
        & ~key.str.contains(_LONG_LABEL)
        & (key.str.len_bytes() <= 254)
        & (pl.col("local").str.len_bytes() <= 64)
    ).fill_null(False)
    shown = pl.concat_str("local", pl.lit("@"), "display")
    found = cells.lazy().select(
        "row",
        email=pl.when(valid).then(shown),
        email_key=pl.when(valid).then(key),
        reason=pl.when("missing").then(pl.lit("missing")).when(~valid).then(pl.lit("malformed")),
    )
    return found.collect()


def _domains(domains: pl.Series) -> pl.DataFrame:
    """Both forms of each distinct domain: `idna` in ASCII for the key, `display` for people."""
    distinct = domains.unique().drop_nulls().to_list()
    forms = [(domain, *_forms(domain)) for domain in distinct]
    columns = dict.fromkeys(("domain", "idna", "display"), pl.String)
    return pl.DataFrame(forms, schema=columns, orient="row")


def _forms(domain: str) -> tuple[str | None, str | None]:
    if domain.isascii() and "xn--" not in domain:
        return domain, domain
    try:
        idna = domain.encode("idna").decode()
        return idna, idna.encode().decode("idna")
    except UnicodeError:
        return None, None


def _judged(addresses: pl.DataFrame) -> pl.DataFrame:
    """Withhold placeholders and blocked domains; add the hints for review."""
    key = pl.col("email_key")
    reason = (
        pl.when(key.str.contains(_DUMMY))
        .then(pl.lit("placeholder"))
        .when(key.str.ends_with(".invalid") | key.str.ends_with(".test"))
        .then(pl.lit("blocked_domain"))
        .otherwise("reason")
    )
    judged = addresses.with_columns(reason=reason).with_row_index("at")
    usable = pl.col("reason").is_null()
    judged = judged.with_columns(
        email=pl.when(usable).then("email"),
        email_key=pl.when(usable).then(key),
        match_hint=_match_hint(pl.when(usable).then(key)),
    )
    judged = judged.join(_suggestions(judged), on="at", how="left", maintain_order="left")
    return judged.drop("at")


def _suggestions(judged: pl.DataFrame) -> pl.DataFrame:
    key = pl.col("email_key")
    domain = key.str.extract("@(.*)$")
    typos = judged.filter(key.str.contains(_TYPO))
    meant = domain.replace_strict(_TYPOS, return_dtype=pl.String)
    return typos.select("at", suggestion=key.str.extract("^([^@]*@)") + meant)
