"""Phone numbers: from what somebody typed to E.164, and whether it may identify a person.

The Brazilian numbering plan is read by rules over whole columns; libphonenumber is asked only about
what is written as foreign or fits nothing Brazilian. Telling which numbers too many people share is
not a rule about one number and belongs to identity resolution.
"""

from typing import Final

import polars as pl

from crm_assets.contact.phone_abroad import (
    REGIONS,
    Answer,
    abroad_pattern,
    answers_by_plan,
    read_abroad,
)
from crm_assets.contact.placeholders import fold_text, is_missing_text

_AREA_CODES: Final = {
    "SP": "11 12 13 14 15 16 17 18 19",
    "RJ": "21 22 24",
    "ES": "27 28",
    "MG": "31 32 33 34 35 37 38",
    "PR": "41 42 43 44 45 46",
    "SC": "47 48 49",
    "RS": "51 53 54 55",
    "DF": "61",
    "GO": "62 64",
    "TO": "63",
    "MT": "65 66",
    "MS": "67",
    "AC": "68",
    "RO": "69",
    "BA": "71 73 74 75 77",
    "SE": "79",
    "PE": "81 87",
    "AL": "82",
    "PB": "83",
    "RN": "84",
    "CE": "85 88",
    "PI": "86 89",
    "PA": "91 93 94",
    "AM": "92 97",
    "RR": "95",
    "AP": "96",
    "MA": "98 99",
}
STATE_OF_AREA_CODE: Final = {
    code: state for state, codes in _AREA_CODES.items() for code in codes.split()
}

_AREA = f"(?:{'|'.join(STATE_OF_AREA_CODE)})"
_CARRIER = "12|14|15|21|22|23|25|31|41|43|65|99"
_NATIONAL = f"({_AREA}(?:9[0-9]{{8}}|[2-9][0-9]{{7}}))"
_WITH_COUNTRY_CODE = rf"^(?:\+55|0055|00(?:{_CARRIER})55)0*{_NATIONAL}$"
_AS_DIALLED = rf"^(?:550?|(?:9090|0)0*(?:{_CARRIER}|55)?)?{_NATIONAL}$"
_TRUNK = r"^(?:\+55|0055|9090)?0*"
_SERVICE = r"^(?:(?:\+55|0055|55)?0*[3589]00[0-9]{6,7}|(?:400[0-9]|3003|4020)[0-9]{4}|1[0-9]{2})$"

_PLAIN = r"^[ (]*\+?[ ()-]*[0-9](?:[0-9 ()-]|\.[0-9]{3})*$"
_SCIENTIFIC = r"(?i)^\+?([0-9])(?:[.,]([0-9]+))?e\+?([0-9]+)$"
_EXTENSION = r"(?i)([0-9])[\s,.;)-]*(?:ramal|ext|x)[\s.:]*[0-9]{1,6}\s*$"
_SEPARATOR = r"(?i)[/;,|\n\r]|\s(?:ou|e)\s"

_EQUAL_TAILS = [digit * 8 for digit in "0123456789"]
_SUSPECT_TAILS = [a * 4 + b * 4 for a in "0123456789" for b in "0123456789"] + [
    run for text in ("0123456789", "9876543210") for run in (text[:8], text[1:9], text[2:])
]

_FLAGS: Final = (
    "several_numbers",
    "ninth_digit_added",
    "collision",
    "foreign_guess",
    "suspect",
    "country_mismatch",
    "low_confidence",
)
_FLAG_SETS = pl.Series(
    "flags",
    [[f for i, f in enumerate(_FLAGS) if mask >> i & 1] for mask in range(1 << len(_FLAGS))],
    dtype=pl.List(pl.String),
)


def normalize_phones(
    text: pl.Series, country: pl.Series | None = None, brazilian: pl.Series | None = None
) -> pl.DataFrame:
    """Read a column of phone cells (rules 2.3; the procedure is manychat-contacts 4.4).

    Args:
        text: What the source holds; nulls allowed.
        country: ISO-2 country of the person or checkout per row, any case; null or empty = unknown.
        brazilian: Other evidence of Brazil per row (CPF, pt_BR, BRL); null = unknown.

    Returns:
        One row per input row, in order: `e164` (a valid number, to be shown), `kind`, `region`
        (ISO-2), `area_code` (Brazilian), `flags` (list), `phone_key` (E.164 where it may identify a
        person), `reason` (why there is no number, else why it is no key) and `others` (further
        valid numbers of the cell).
    """
    hint = _column("country", country, pl.String, text.len())
    cells = pl.DataFrame(
        {
            "text": text.cast(pl.String).rename("text"),
            "country": hint.str.strip_chars().str.to_uppercase(),
            "brazilian": _column("brazilian", brazilian, pl.Boolean, text.len()).fill_null(False),
        }
    ).with_row_index("row")
    single, pieces = _candidates(cells.with_columns(_known_country()))
    numbers = _read(single).with_columns(others=pl.lit([], dtype=pl.List(pl.String)))
    if pieces.height:
        read = _read(pieces.drop("row").with_row_index("row")).sort("row")
        chosen = _best_of_cell(read.with_columns(pieces["row"]))
        numbers = pl.concat([numbers, chosen.select(numbers.columns)])
    numbers = numbers.sort("row").drop("row")
    return numbers.with_columns(_FLAG_SETS.gather(numbers["flags"]))


def whatsapp_variants(e164: pl.Series) -> pl.Series:
    """List the digit forms under which WhatsApp may know a number (manychat-contacts 4.2).

    Args:
        e164: Numbers with `+`, or null.

    Returns:
        Lists of digits: a Brazilian mobile that existed before the ninth digit (subscriber part
        9 + 6 to 9) with it and without it, any other number as it is.
    """
    digits = pl.col("e164").str.strip_prefix("+")
    short = pl.col("e164").str.replace(r"^\+(55[0-9]{2})9([6-9][0-9]{7})$", "$1$2")
    both = pl.concat_list(digits, short)
    forms = pl.when(short == pl.col("e164")).then(pl.concat_list(digits)).otherwise(both)
    forms = pl.when(pl.col("e164").is_not_null()).then(forms)
    return e164.cast(pl.String).rename("e164").to_frame().select(forms.alias(e164.name)).to_series()


def state_of_area_code(area_code: pl.Series) -> pl.Series:
    """Map Brazilian area codes (DDD) to the two letters of their state; unused codes give null."""
    return area_code.cast(pl.String).replace_strict(
        STATE_OF_AREA_CODE, default=None, return_dtype=pl.String
    )


def _column(name: str, values: pl.Series | None, dtype: type[pl.DataType], rows: int) -> pl.Series:
    if values is None:
        return pl.Series(name, [None], dtype=dtype).new_from_index(0, rows)
    return values.cast(dtype).rename(name)


def _known_country() -> pl.Expr:
    country = pl.col("country")
    return pl.when(country.is_in(REGIONS)).then(country)


def _candidates(cells: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reduce cells to what is dialled; cells with several numbers come second, one row a number."""
    plain = pl.col("text").str.contains(_PLAIN).fill_null(False)
    easy = cells.filter(plain).with_columns(
        problem=pl.lit(None, dtype=pl.String),
        dialled=pl.col("text").str.replace_many([" ", "(", ")", "-", "."], [""] * 5),
    )
    odd = cells.lazy().filter(~plain).with_columns(_unwrapped()).with_columns(_problem()).collect()
    crowded = (pl.col("text").str.count_matches("[0-9]") > 15) & pl.col("problem").is_null()
    crowded &= pl.col("text").str.contains(_SEPARATOR)
    pieces = (
        odd.filter(crowded)
        .with_columns(pl.col("text").str.replace_all(_SEPARATOR, "\n").str.split("\n"))
        .explode("text")
        .filter(pl.col("text").str.contains("[0-9]"))
        .with_columns(pl.col("text").str.replace(_EXTENSION, "$1"))
    )
    rest = odd.filter(~crowded)
    return pl.concat([easy, _dial(rest)]), _dial(pieces)


def _unwrapped() -> pl.Expr:
    """Undo what spreadsheets, links and WhatsApp ids put around a number (steps 1 to 3)."""
    text = fold_text(pl.col("text").str.strip_chars().str.replace_all(r"[\n\r]+", "|"))
    text = text.str.strip_chars_start("'\"= ").str.strip_chars_end("'\" ")
    power = text.str.extract_groups(_SCIENTIFIC)
    fraction, exponent = power.struct.field("2"), power.struct.field("3")
    exact = fraction.str.len_bytes() == exponent.cast(pl.UInt32, strict=False)
    text = pl.when(exact).then(power.struct.field("1") + fraction).otherwise(text)
    text = (
        text.str.replace(r"^(\+?[0-9]+)[.,]0{1,2}$", "$1")
        .str.replace(r"(?i)^\+?([0-9]+)(?::[0-9]+)?@(?:c\.us|s\.whatsapp\.net)$", "+$1")
        .str.replace(r"(?i)^.*(?:wa\.me/|\bphone=)(?:%2B)?(\+?[0-9]+).*$", "$1")
        .str.replace_all(r"(?i)0xx", "0")
        .str.replace(_EXTENSION, "$1")
    )
    return text.alias("text")


def _problem() -> pl.Expr:
    text = pl.col("text")
    return (
        pl.when(is_missing_text(text))
        .then(pl.lit("missing"))
        .when(text.str.contains(_SCIENTIFIC))
        .then(pl.lit("lossy_scientific"))
        .when(text.str.contains("@", literal=True) | ~text.str.contains("[0-9]"))
        .then(pl.lit("not_a_phone"))
        .alias("problem")
    )


def _dial(cells: pl.DataFrame) -> pl.DataFrame:
    """Keep the digits of each text, and the `+` where it comes first."""
    text = pl.col("text")
    plus = pl.when(text.str.contains(r"^[^0-9+]*\+")).then(pl.lit("+")).otherwise(pl.lit(""))
    glued = pl.col("problem").is_null() & text.str.contains(r"[0-9]\p{L}+[0-9]")
    return cells.with_columns(
        dialled=(plus + text.str.replace_all("[^0-9]", "")).fill_null(""),
        problem=pl.when(glued).then(pl.lit("not_a_phone")).otherwise("problem"),
    )


def _read(cells: pl.DataFrame) -> pl.DataFrame:
    """Read dialled numbers: Brazilian ones by rules, what is written as foreign by the library."""
    dialled, abroad = pl.col("dialled"), pl.col("country") != "BR"
    coded = dialled.str.extract(_WITH_COUNTRY_CODE)
    explicit = dialled.str.starts_with("+55") | dialled.str.starts_with("0055")
    bare = pl.when(~explicit).then(dialled.str.extract(_AS_DIALLED))
    written_abroad = ~explicit & coded.is_null()
    written_abroad &= dialled.str.starts_with("+") | dialled.str.starts_with("00") | abroad
    cells = (
        cells.lazy()
        .with_columns(
            national=pl.when(pl.col("problem").is_null()).then(pl.coalesce(coded, bare)),
            hint=pl.when(abroad & ~explicit).then("country"),
            evidence=pl.col("brazilian")
            | (pl.col("country") == "BR").fill_null(False)
            | coded.is_not_null()
            | (dialled.str.starts_with("55") & (dialled.str.len_bytes() > 11)),
            unbracketed=~pl.col("text").str.contains("[()]"),
            ask=pl.col("problem").is_null() & written_abroad.fill_null(False),
        )
        .collect()
    )
    ask = (pl.col("ask") | pl.col("national").is_null()) & pl.col("problem").is_null()
    asked = _ask_library(cells.filter(ask))
    answered = asked.filter(pl.col("e164").is_not_null() | pl.col("reason").is_not_null())
    silent = asked.filter(pl.col("e164").is_null() & pl.col("reason").is_null())
    silent = silent.select(cells.columns)
    readable = pl.col("national").is_not_null()
    return pl.concat(
        [
            _brazilian(cells.filter(readable & ~pl.col("ask"))),
            _brazilian(silent.filter(readable)),
            _foreign(answered),
            _refused(silent.filter(~readable)),
            _refused(cells.filter(pl.col("problem").is_not_null())),
        ]
    )


def _brazilian(cells: pl.DataFrame) -> pl.DataFrame:
    """Number, kind and standing of national numbers with a valid area code (steps 4 and 9)."""
    national = pl.col("national")
    area, local, tail = national.str.head(2), national.str.slice(2), national.str.tail(8)
    first = national.str.slice(2, 1)
    short = national.str.len_bytes() == 10
    numbers = cells.lazy().with_columns(
        area_code=area,
        added=short & (first > "5"),
        seventh=short & (first == "7"),
        landline=short & (first <= "5"),
        placeholder=tail.is_in(_EQUAL_TAILS) & (short | (tail == "9" * 8)),
        suspect=tail.is_in(_SUSPECT_TAILS),
        collision=pl.col("unbracketed")
        & (pl.col("dialled") == national)
        & national.str.contains(abroad_pattern()),
        mismatch=pl.col("hint").is_not_null() & ~pl.col("evidence"),
    )
    added, evidence = pl.col("added"), pl.col("evidence")
    weak = added & ~evidence & (pl.col("seventh") | pl.col("mismatch"))
    unsure = pl.col("collision") | pl.col("seventh") | pl.col("mismatch") | (added & ~evidence)
    ninth = pl.when(added).then(pl.lit("9")).otherwise(pl.lit(""))
    valid = ~pl.col("placeholder")
    numbers = numbers.with_columns(
        e164=pl.when(valid).then(pl.concat_str(pl.lit("+55"), area, ninth, local)),
        reason=pl.when("placeholder")
        .then(pl.lit("placeholder"))
        .when("suspect")
        .then(pl.lit("suspect"))
        .when(weak)
        .then(pl.lit("low_confidence")),
        flags=_flags(
            ninth_digit_added=valid & added,
            collision=valid & pl.col("collision"),
            suspect=valid & pl.col("suspect"),
            country_mismatch=valid & pl.col("mismatch"),
            low_confidence=valid & unsure,
        ),
    )
    return numbers.select(
        "row",
        "e164",
        kind=pl.when(valid).then(
            pl.when("landline").then(pl.lit("landline")).otherwise(pl.lit("mobile"))
        ),
        region=pl.when(valid).then(pl.lit("BR")),
        area_code=pl.when(valid).then("area_code"),
        flags="flags",
        phone_key=pl.when(pl.col("reason").is_null()).then("e164"),
        reason="reason",
    ).collect()


def _foreign(cells: pl.DataFrame) -> pl.DataFrame:
    """Numbers on which the library had an answer; a guess is never a key (rules 2.3)."""
    guess = (pl.col("reason") == "foreign_guess").fill_null(False)
    return cells.select(
        "row",
        "e164",
        "kind",
        "region",
        area_code=pl.lit(None, dtype=pl.String),
        flags=_flags(foreign_guess=guess, low_confidence=guess),
        phone_key=pl.when(pl.col("reason").is_null()).then("e164"),
        reason="reason",
    )


def _refused(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells without a number, and why."""
    dialled, nothing = pl.col("dialled"), pl.lit(None, dtype=pl.String)
    return cells.select(
        "row",
        e164=nothing,
        kind=nothing,
        region=nothing,
        area_code=nothing,
        flags=_flags(),
        phone_key=nothing,
        reason=pl.when(pl.col("problem").is_not_null())
        .then("problem")
        .when(dialled.str.contains(_SERVICE))
        .then(pl.lit("service_number"))
        .when(dialled.str.contains(_TRUNK + r"[1-9][0-9]{7,8}$"))
        .then(pl.lit("missing_ddd"))
        .otherwise(pl.lit("invalid")),
    )


def _flags(**raised: pl.Expr) -> pl.Expr:
    """Pack boolean expressions into the bit mask that indexes `_FLAG_SETS`."""
    bits = [raised[f].cast(pl.UInt32) * (1 << i) for i, f in enumerate(_FLAGS) if f in raised]
    return pl.sum_horizontal(pl.lit(0, dtype=pl.UInt32), *bits).cast(pl.UInt32)


def _best_of_cell(numbers: pl.DataFrame) -> pl.DataFrame:
    """Choose one number per cell: the first that is a key, else the first valid, else the first."""
    order = [pl.col("phone_key").is_null(), pl.col("e164").is_null()]
    chosen = pl.all().sort_by(order, maintain_order=True)
    cells = numbers.group_by("row", maintain_order=True).agg(
        chosen.first(),
        found=pl.col("e164").sort_by(order, maintain_order=True).drop_nulls(),
        several=pl.len() > 1,
    )
    return cells.with_columns(
        others=pl.col("found").list.unique(maintain_order=True).list.slice(1),
        flags=pl.col("flags") + pl.col("several").cast(pl.UInt32),
    )


def _ask_library(cells: pl.DataFrame) -> pl.DataFrame:
    """Add the answer to each row: by the plain plans, else by the library, once per question."""
    question = ["dialled", "hint", "guess"]
    cells = cells.with_columns(guess=pl.col("national").is_null() & pl.col("unbracketed"))
    distinct = (
        cells.select(question)
        .unique(maintain_order=True)
        .with_columns(answers_by_plan(pl.col("dialled")))
    )
    told = distinct.filter(pl.col("e164").is_not_null())
    unsure = distinct.filter(pl.col("e164").is_null()).select(question)
    answers = [read_abroad(*row) for row in unsure.iter_rows()]
    columns = pl.DataFrame(answers, schema=dict.fromkeys(Answer._fields, pl.String), orient="row")
    known = pl.concat([told, pl.concat([unsure, columns], how="horizontal")])
    return cells.join(known, on=question, how="left", nulls_equal=True, maintain_order="left")
