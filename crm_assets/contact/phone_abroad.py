"""What libphonenumber knows of numbers outside Brazil, one question at a time.

Only this module touches the library; the procedure that decides what is asked stands in `phone`.
"""

from functools import cache
from typing import Final, NamedTuple

import phonenumbers
import polars as pl
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    NumberParseException,
    PhoneMetadata,
    PhoneNumber,
    PhoneNumberType,
)

REGIONS: Final = sorted(phonenumbers.SUPPORTED_REGIONS)
_CALLING_CODES: Final = {str(code) for code in COUNTRY_CODE_TO_REGION_CODE}

_KINDS: Final = {
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE: "landline",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "mobile_or_landline",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal_number",
    PhoneNumberType.PAGER: "pager",
}

_OTHER_KINDS: Final = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)


class Answer(NamedTuple):
    """A number found, or the reason why it is none, or nothing: the library cannot read it."""

    e164: str | None = None
    kind: str | None = None
    region: str | None = None
    reason: str | None = None


_NOTHING: Final = Answer()


def read_abroad(dialled: str, country: str | None, guess: bool) -> Answer:
    """Read what is not written as a Brazilian number (steps 4 to 7 and 11 of the procedure).

    Args:
        dialled: Digits, with `+` in front if it was written.
        country: ISO-2 of a foreign country the number may be national to, or null.
        guess: Whether bare digits may be taken for a mobile with its country code.

    Returns:
        The answer; a guessed number carries the reason `foreign_guess`.
    """
    if len(set(dialled.removeprefix("+"))) == 1:
        return Answer(reason="placeholder")
    if dialled.startswith("+"):
        return _international(dialled)
    answer = _international("+" + dialled[2:]) if dialled.startswith("00") else _NOTHING
    digits = dialled.removeprefix("9090").lstrip("0")
    if answer is _NOTHING and country is not None:
        answer = _parsed(dialled, country)
        code = str(phonenumbers.country_code_for_region(country))
        if answer is _NOTHING and digits.startswith(code):
            answer = _international("+" + digits)
    if answer is _NOTHING and guess and 11 <= len(digits) <= 15:
        guessed = _international("+" + digits)
        if guessed.kind in ("mobile", "mobile_or_landline"):
            answer = guessed._replace(reason="foreign_guess")
    return answer


def _international(dialled: str) -> Answer:
    """Read `+` and digits strictly; a Mexican mobile written with its former 1 loses it.

    A clean country code is taken off here: the library's parser is its slowest part.
    """
    if dialled.startswith("+521") and len(dialled) == 14:
        dialled = "+52" + dialled[4:]
    for end in (2, 3, 4):
        code, rest = dialled[1:end], dialled[end:]
        if rest and rest[0] != "0" and code in _CALLING_CODES:
            answer = _answer(PhoneNumber(country_code=int(code), national_number=int(rest)))
            if answer is not _NOTHING:
                return answer
    return _parsed(dialled, None)


def _parsed(dialled: str, country: str | None) -> Answer:
    try:
        return _answer(phonenumbers.parse(dialled, country))
    except NumberParseException:
        return _NOTHING


def _answer(number: PhoneNumber) -> Answer:
    plan = phonenumbers.number_type(number)
    if plan == PhoneNumberType.UNKNOWN or number.country_code == 55:
        return _NOTHING
    digits = phonenumbers.national_significant_number(number)
    if len(set(digits)) == 1:
        return Answer(reason="placeholder")
    if plan not in _KINDS:
        return Answer(reason="service_number")
    return Answer(
        e164=f"+{number.country_code}{digits}",
        kind=_KINDS[plan],
        region=phonenumbers.region_code_for_number(number),
    )


class _Plans(NamedTuple):
    """Patterns of `+` and digits, of the countries that have a calling code of their own.

    Attributes:
        code: the calling code, as its group.
        mobile: numbers that the country's plan gives to mobiles.
        landline: those it gives to landlines.
        other: those of other kinds, and whatever else only `read_abroad` may judge.
        regions: region by calling code.
    """

    code: str
    mobile: str
    landline: str
    other: str
    regions: dict[str, str]


@cache
def _plans() -> _Plans:
    """What tells most foreign numbers without asking the library one by one."""
    regions = {
        str(code): regions[0]
        for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()
        if len(regions) == 1 and regions[0] in REGIONS and code != 55
    }
    plans = {code: PhoneMetadata.metadata_for_region(region) for code, region in regions.items()}

    def pattern(*kinds: str) -> str:
        parts = [
            f"{code}(?:{desc.national_number_pattern})"
            for code, plan in plans.items()
            for kind in kinds
            if (desc := getattr(plan, kind)) is not None and desc.national_number_pattern
        ]
        return f"(?:{'|'.join(parts)})".replace(r"\d", "[0-9]")

    code = f"^[+]({'|'.join(regions)})"
    equal = "|".join(f"{digit}+" for digit in "123456789")
    return _Plans(
        code=code,
        mobile=f"^[+]{pattern('mobile')}$",
        landline=f"^[+]{pattern('fixed_line')}$",
        other=f"{code}(?:0|(?:{equal})$)|^[+]{pattern(*_OTHER_KINDS)}$",
        regions=regions,
    )


def answers_by_plan(dialled: pl.Expr) -> list[pl.Expr]:
    """Answer in columns what is written with `+` and told by the plan of one country.

    Args:
        dialled: Digits, with `+` in front if it was written.

    Returns:
        The columns of `Answer`, as `read_abroad` would fill them; null where it must be asked.
    """
    plan = _plans()
    mobile, landline = dialled.str.contains(plan.mobile), dialled.str.contains(plan.landline)
    told = (mobile | landline) & ~dialled.str.contains(plan.other)
    kind = (
        pl.when(mobile & landline)
        .then(pl.lit("mobile_or_landline"))
        .when(mobile)
        .then(pl.lit("mobile"))
        .otherwise(pl.lit("landline"))
    )
    region = dialled.str.extract(plan.code).replace_strict(
        plan.regions, default=None, return_dtype=pl.String
    )
    found = pl.when(told)
    return [
        found.then(dialled).alias("e164"),
        found.then(kind).alias("kind"),
        found.then(region).alias("region"),
        pl.lit(None, dtype=pl.String).alias("reason"),
    ]


@cache
def abroad_pattern() -> str:
    """Pattern of digits that are a number abroad too, in North America even without its 1."""
    plans = [
        (str(code), region)
        for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()
        for region in regions
        if code != 55
    ]
    patterns = [
        f"{code}(?:{desc.national_number_pattern})"
        for code, region in plans + [("", region) for code, region in plans if code == "1"]
        if (plan := PhoneMetadata.metadata_for_region(region)) is not None
        for desc in (plan.fixed_line, plan.mobile, plan.voip)
        if desc is not None and desc.national_number_pattern
    ]
    return f"^(?:{'|'.join(patterns)})$".replace(r"\d", "[0-9]")
