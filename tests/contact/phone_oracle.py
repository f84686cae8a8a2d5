"""A second reading of one phone cell, row by row, against which the columns' reading is checked.

Plain Python and phonenumbers, written along the numbered steps of the procedure and sharing
nothing with the product but the words of its verdicts.
"""

import re
import unicodedata
from dataclasses import dataclass, field

import phonenumbers as lib
from phonenumbers import PhoneNumberType as Type

BRAZIL = {str(n) for n in range(11, 100)} - set(map(str, range(20, 100, 10)))
BRAZIL -= {"23", "25", "26", "29", "36", "39", "52", "56", "57", "58", "59", "72", "76", "78"}
CARRIERS = {"12", "14", "15", "21", "22", "23", "25", "31", "41", "43", "55", "65", "99"}
NULLS = {"", "null", "nil", "nan", "none", "undefined", "<na>", "n/a", "n/d", "#n/a", "#n/d"}
SUSPECTS = {"01234567", "12345678", "23456789", "98765432", "87654321", "76543210"}
KINDS = {
    Type.MOBILE: "mobile",
    Type.FIXED_LINE: "landline",
    Type.FIXED_LINE_OR_MOBILE: "mobile_or_landline",
    Type.VOIP: "voip",
    Type.PERSONAL_NUMBER: "personal_number",
    Type.PAGER: "pager",
}


@dataclass
class Verdict:
    e164: str | None = None
    kind: str | None = None
    region: str | None = None
    area_code: str | None = None
    flags: set[str] = field(default_factory=set)
    reason: str | None = None
    others: list[str] = field(default_factory=list)

    @property
    def phone_key(self):
        return self.e164 if self.reason is None else None


def read(cell, country=None, brazilian=None):
    country = (country or "").strip().upper()
    country = country if country in lib.SUPPORTED_REGIONS else None
    evidence = bool(brazilian) or country == "BR"
    text = clean(cell)
    if text.lower() in NULLS or set(text) <= set("-‐–—"):
        return Verdict(reason="missing")

    mantissa = re.fullmatch(r"\+?([0-9])(?:[.,]([0-9]+))?e\+?([0-9]+)", text, re.I)
    if mantissa:
        whole, fraction, power = mantissa[1], mantissa[2] or "", int(mantissa[3])
        if not fraction or len(fraction) != power:
            return Verdict(reason="lossy_scientific")
        text = whole + fraction

    text = unwrap(text)
    if "@" in text or not digits_of(text):
        return Verdict(reason="not_a_phone")
    if len(digits_of(text)) > 15 and re.search(r"[/;,|]|\s(?:ou|e)\s", text, re.I):
        pieces = re.split(r"[/;,|]|\s(?:ou|e)\s", text, flags=re.I)
        readings = [
            one_number(drop_extension(piece), country, evidence)
            for piece in pieces
            if digits_of(piece)
        ]
        if len(readings) > 1:
            return best(readings)
        return readings[0]
    return one_number(text, country, evidence)


def clean(cell):
    text = re.sub(r"[\n\r]+", "|", (cell or "").strip())
    text = unicodedata.normalize("NFKC", text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    return text.strip().lstrip("'\"= ").rstrip("'\" ")


def unwrap(text):
    if re.fullmatch(r"\+?[0-9]+[.,]0{1,2}", text):
        text = re.split("[.,]", text)[0]
    jid = re.fullmatch(r"\+?([0-9]+)(:[0-9]+)?@(c\.us|s\.whatsapp\.net)", text, re.I)
    if jid:
        text = "+" + jid[1]
    link = re.match(r".*(?:wa\.me/|\bphone=)(?:%2B)?(\+?[0-9]+)", text, re.I)
    if link:
        text = link[1]
    return drop_extension(re.sub("0xx", "0", text, flags=re.I))


def drop_extension(text):
    suffix = r"([0-9])[\s,.;)-]*(?:ramal|ext|x)[\s.:]*[0-9]{1,6}\s*$"
    return re.sub(suffix, r"\1", text, flags=re.I)


def digits_of(text):
    return "".join(c for c in text if c in "0123456789")


def best(readings):
    readings = sorted(readings, key=lambda v: (v.phone_key is None, v.e164 is None))
    chosen = readings[0]
    chosen.flags = chosen.flags | {"several_numbers"}
    for other in readings[1:]:
        if other.e164 and other.e164 not in [chosen.e164, *chosen.others]:
            chosen.others.append(other.e164)
    return chosen


def one_number(text, country, evidence):
    for before, letters, after in zip(
        *[re.findall(r"[0-9]+|[^\W\d_]+|.", text, re.S)[i:] for i in range(3)], strict=False
    ):
        if digits_of(before) and letters.isalpha() and digits_of(after):
            return Verdict(reason="not_a_phone")
    digits = digits_of(text)
    brackets = "(" in text or ")" in text
    plus = "+" in text.split(digits[0])[0]
    if len(set(digits)) == 1:
        return Verdict(reason="placeholder")

    foreign = country if country != "BR" else None
    if plus:
        if digits.startswith("55"):
            return national(digits[2:].lstrip("0"), None, True) or refuse(digits, plus)
        return abroad("+" + digits) or refuse(digits, plus)

    if digits.startswith("0055"):
        return national(digits[4:].lstrip("0"), None, True) or refuse(digits, plus)
    if digits.startswith("00"):
        if digits[2:4] in CARRIERS and digits[4:6] == "55":
            found = national(digits[6:].lstrip("0"), None, True)
            if found:
                return found
        found = abroad("+" + digits[2:])
        if found:
            return found

    if foreign:
        found = abroad(digits, foreign)
        stripped = after_trunk(digits)
        if not found and stripped.startswith(str(lib.country_code_for_region(foreign))):
            found = abroad("+" + stripped)
        if found:
            return found

    bare = not brackets
    if len(digits) in (12, 13) and digits.startswith("55") and digits[2:4] in BRAZIL:
        found = national(digits[2:], foreign, True)
        if found:
            return found
    elif len(digits) in (13, 14) and digits.startswith("550"):
        found = national(digits[3:], foreign, len(digits) > 11)
        if found:
            return found
    else:
        rest = after_trunk(digits)
        if (
            rest != digits
            and len(rest) in (12, 13)
            and rest[:2] in CARRIERS
            and rest[2:4] in BRAZIL
        ):
            rest = rest[2:]
        found = national(rest, foreign, evidence, bare and rest == digits)
        if found:
            return found

    rest = after_trunk(digits)
    if bare and 11 <= len(rest) <= 15:
        found = abroad("+" + rest)
        if found and found.kind in ("mobile", "mobile_or_landline"):
            found.reason = "foreign_guess"
            found.flags = {"foreign_guess", "low_confidence"}
            return found
    return refuse(digits, plus)


def after_trunk(digits):
    return (digits[4:] if digits.startswith("9090") else digits).lstrip("0")


def national(number, foreign, evidence, bare=False):
    """Step 9; None when the digits are no Brazilian national number."""
    area, part = number[:2], number[2:]
    if area not in BRAZIL or len(part) not in (8, 9) or (len(part) == 9 and part[0] != "9"):
        return None
    if len(part) == 8 and part[0] in "01":
        return None
    if len(set(part)) == 1:
        return Verdict(reason="placeholder")
    added = len(part) == 8 and part[0] in "6789"
    verdict = Verdict(
        e164="+55" + area + ("9" if added else "") + part,
        kind="landline" if len(part) == 8 and not added else "mobile",
        region="BR",
        area_code=area,
    )
    seven = added and part[0] == "7"
    last = part[-8:]
    if last in SUSPECTS or (len(set(last[:4])) == 1 and len(set(last[4:])) == 1):
        verdict.flags.add("suspect")
    if added:
        verdict.flags.add("ninth_digit_added")
    if bare and (reads_abroad("+" + number) or (len(number) == 10 and reads_abroad(number, "US"))):
        verdict.flags.add("collision")
    if foreign and not evidence:
        verdict.flags.add("country_mismatch")
    if {"collision", "country_mismatch"} & verdict.flags or seven or (added and not evidence):
        verdict.flags.add("low_confidence")
    if "suspect" in verdict.flags:
        verdict.reason = "suspect"
    elif added and not evidence and (seven or foreign):
        verdict.reason = "low_confidence"
    return verdict


def reads_abroad(text, region=None):
    try:
        number = lib.parse(text, region)
    except lib.NumberParseException:
        return False
    as_written = lib.national_significant_number(number) == (
        text if region else text[1 + len(str(number.country_code)) :]
    )
    return (
        as_written
        and number.country_code != 55
        and lib.is_valid_number(number)
        and lib.number_type(number)
        in (Type.MOBILE, Type.FIXED_LINE, Type.FIXED_LINE_OR_MOBILE, Type.VOIP)
    )


def abroad(text, region=None):
    if re.fullmatch(r"\+521[0-9]{10}", text):
        text = "+52" + text[4:]
    try:
        number = lib.parse(text, region)
    except lib.NumberParseException:
        return None
    if number.country_code == 55 or not lib.is_valid_number(number):
        return None
    if len(set(lib.national_significant_number(number))) == 1:
        return Verdict(reason="placeholder")
    kind = KINDS.get(lib.number_type(number))
    if kind is None:
        return Verdict(reason="service_number")
    return Verdict(
        e164=lib.format_number(number, lib.PhoneNumberFormat.E164),
        kind=kind,
        region=lib.region_code_for_number(number),
    )


def refuse(digits, plus):
    if plus and not digits.startswith("55"):
        return Verdict(reason="invalid")
    coded = digits[2:] if plus else digits[4:] if digits.startswith("0055") else None
    toll = [coded or digits] if coded is not None else [digits, digits.removeprefix("55")]
    if any(re.fullmatch("0*[3589]00[0-9]{6,7}", called) for called in toll):
        return Verdict(reason="service_number")
    if not plus and re.fullmatch("(400[0-9]|3003|4020)[0-9]{4}|1[0-9]{2}", digits):
        return Verdict(reason="service_number")
    local = [coded] if plus else [coded or "", digits, after_trunk(digits)]
    if any(len(part.lstrip("0")) in (8, 9) for part in local):
        return Verdict(reason="missing_ddd")
    return Verdict(reason="invalid")
