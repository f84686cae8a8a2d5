"""Every worked phone of the reference: what is typed, where from, and what it must become."""

import polars as pl
import pytest

from crm_assets.contact.phone import normalize_phones

SP = "+5511961234567"
WEAK = "ninth_digit_added collision low_confidence"

# number, cell, country hint, E.164 or reason, kind, flags
CASES = [
    (1, "+55 11 96123-4567", "BR", SP, "mobile", ""),
    (2, "5511961234567", "BR", SP, "mobile", ""),
    (3, "11961234567", "BR", SP, "mobile", ""),
    (4, "(11) 96123-4567", "BR", SP, "mobile", ""),
    (5, "11 9 6123 4567", "BR", SP, "mobile", ""),
    (6, "011961234567", "BR", SP, "mobile", ""),
    (7, "0 15 11 96123-4567", "BR", SP, "mobile", ""),
    (8, "02111961234567", "BR", SP, "mobile", ""),
    (9, "05511961234567", "BR", SP, "mobile", ""),
    (10, "+55 (011) 96123-4567", "BR", SP, "mobile", ""),
    (11, "5501196123-4567", "BR", SP, "mobile", ""),
    (12, "005511961234567", "BR", SP, "mobile", ""),
    (13, "0055 (11) 96123-4567", "BR", SP, "mobile", ""),
    (14, "00215511961234567", "BR", SP, "mobile", ""),
    (15, "9090 11 96123-4567", "BR", SP, "mobile", ""),
    (16, "1161234567", "BR", SP, "mobile", "ninth_digit_added"),
    (17, "551161234567", "BR", SP, "mobile", "ninth_digit_added"),
    (18, "+55 11 8765-4320", "BR", "+5511987654320", "mobile", "ninth_digit_added"),
    (19, "3188123456", "BR", "+5531988123456", "mobile", WEAK),
    (20, "553188123456", "BR", "+5531988123456", "mobile", "ninth_digit_added"),
    (21, "1178123456", "BR", "+5511978123456", "mobile", "ninth_digit_added low_confidence"),
    (22, "551161234567@s.whatsapp.net", "BR", SP, "mobile", "ninth_digit_added"),
    (23, "1123456788", "BR", "+551123456788", "landline", ""),
    (24, "+55 11 2345-6788", "BR", "+551123456788", "landline", ""),
    (25, "551123456788", "BR", "+551123456788", "landline", ""),
    (26, "55961234567", "BR", "+5555961234567", "mobile", ""),
    (27, "5532123456", "BR", "+555532123456", "landline", ""),
    (28, "5591234567", "BR", "+5555991234567", "mobile", "ninth_digit_added"),
    (29, "555532123456", "BR", "+555532123456", "landline", ""),
    (30, "5555961234567", "BR", "+5555961234567", "mobile", ""),
    (31, "555591234567", "BR", "+5555991234567", "mobile", "ninth_digit_added"),
    (32, "+55 55 96123-4567", "BR", "+5555961234567", "mobile", ""),
    (33, "+55961234567", "BR", "missing_ddd", None, ""),
    (34, "55113234567", "BR", "invalid", None, ""),
    (35, "23456788", "BR", "missing_ddd", None, ""),
    (36, "961234567", "BR", "missing_ddd", None, ""),
    (37, "(20) 96123-4567", "BR", "invalid", None, ""),
    (38, "(52) 96123-4567", "BR", "invalid", None, ""),
    (39, "11 81234-5679", "BR", "invalid", None, ""),
    (40, "119612345678", "BR", "invalid", None, ""),
    (41, "55119612345678", "BR", "invalid", None, ""),
    (42, "00000000000", "BR", "placeholder", None, ""),
    (43, "11999999999", "BR", "placeholder", None, ""),
    (44, "+5511999999999", "BR", "placeholder", None, ""),
    (45, "99999999999", "BR", "placeholder", None, ""),
    (46, "11111111111", "BR", "placeholder", None, ""),
    (47, "(11) 91234-5678", "BR", "+5511912345678", "mobile", "suspect"),
    (48, "11987654321", "BR", "+5511987654321", "mobile", "suspect"),
    (49, "0800 777 1234", "BR", "service_number", None, ""),
    (50, "4004-1234", "BR", "service_number", None, ""),
    (51, "190", "BR", "service_number", None, ""),
    (52, "5,51196E+12", "BR", "lossy_scientific", None, ""),
    (53, "5.511961234567E+12", "BR", SP, "mobile", ""),
    (54, "5511961234567.0", "BR", SP, "mobile", ""),
    (55, "5511961234567,0", "BR", SP, "mobile", ""),
    (56, "'+5511961234567", "BR", SP, "mobile", ""),
    (57, "=+5511961234567", "BR", SP, "mobile", ""),
    (58, "５５１１９６１２３４５６７", "BR", SP, "mobile", ""),
    (59, "\u202a+55 11 96123‑45\u202c67", "BR", SP, "mobile", ""),
    (60, "https://wa.me/5511961234567?text=Oi", "BR", SP, "mobile", ""),
    (61, "123456789012345@lid", "BR", "not_a_phone", None, ""),
    (62, "11961234567 / 11961234568", "BR", SP, "mobile", "several_numbers"),
    (63, "+5511961234567 ramal 12", "BR", SP, "mobile", ""),
    (64, "sem telefone", "BR", "not_a_phone", None, ""),
    (65, "", "BR", "missing", None, ""),
    (66, "+351 912 345 670", "BR", "+351912345670", "mobile", ""),
    (67, "351912345670", "BR", "+351912345670", "mobile", "foreign_guess low_confidence"),
    (68, "912345670", "PT", "+351912345670", "mobile", ""),
    (69, "912345670", "BR", "missing_ddd", None, ""),
    (70, "+1 201 555 0123", "BR", "+12015550123", "mobile_or_landline", ""),
    (71, "12015550123", "BR", "+12015550123", "mobile_or_landline", "foreign_guess low_confidence"),
    (72, "2015550123", "US", "+12015550123", "mobile_or_landline", ""),
    (73, "2015550123", "BR", "invalid", None, ""),
    (74, "4155552671", "US", "+14155552671", "mobile_or_landline", ""),
    (75, "4155552671", "BR", "+554155552671", "landline", "collision low_confidence"),
    (76, "+54 9 11 2345-6789", "BR", "+5491123456789", "mobile", ""),
    (77, "5491123456789", "BR", "+5491123456789", "mobile", "foreign_guess low_confidence"),
    (78, "+52 1 222 123 4567", "BR", "+522221234567", "mobile_or_landline", ""),
    (79, "+52 222 123 4567", "BR", "+522221234567", "mobile_or_landline", ""),
    (80, "+51 912 345 670", "BR", "+51912345670", "mobile", ""),
    (81, "51912345670", "PE", "+51912345670", "mobile", ""),
    (82, "51912345670", "BR", "+5551912345670", "mobile", "collision low_confidence"),
    (83, "+595 961 456789", "BR", "+595961456789", "mobile", ""),
    (84, "+598 94 231 234", "BR", "+59894231234", "mobile", ""),
    (85, "+244 923 123 456", "BR", "+244923123456", "mobile", ""),
    (86, "+258 82 123 4567", "BR", "+258821234567", "mobile", ""),
    (87, "+34 612 34 56 70", "BR", "+34612345670", "mobile", ""),
    (88, "34612345670", "BR", "+34612345670", "mobile", "foreign_guess low_confidence"),
    (89, "34912345670", "ES", "+34912345670", "landline", ""),
    (90, "+44 7400 123456", "BR", "+447400123456", "mobile", ""),
    (91, "07400 123456", "GB", "+447400123456", "mobile", ""),
    (92, "+81 90 1234 5678", "BR", "+819012345678", "mobile", ""),
    (93, "+57 321 1234567", "BR", "+573211234567", "mobile", ""),
    (94, "+56 9 2123 4567", "BR", "+56921234567", "mobile_or_landline", ""),
    (95, "+47 406 12 345", "BR", "+4740612345", "mobile", ""),
    (96, "4791234560", "BR", "+5547991234560", "mobile", WEAK),
]  # fmt: skip

NO_KEY = {"suspect", "foreign_guess"}


def one(cell, country=None, brazilian=None):
    numbers = normalize_phones(
        pl.Series([cell], dtype=pl.String),
        pl.Series([country], dtype=pl.String),
        pl.Series([brazilian], dtype=pl.Boolean),
    )
    return numbers.row(0, named=True)


def test_the_table_is_complete():
    assert [case[0] for case in CASES] == list(range(1, 97))


@pytest.mark.parametrize(("_", "cell", "country", "outcome", "kind", "flags"), CASES)
def test_worked_example(_, cell, country, outcome, kind, flags):
    seen = one(cell, country)
    valid = outcome.startswith("+")
    assert seen["e164"] == (outcome if valid else None)
    assert seen["kind"] == kind
    assert seen["flags"] == flags.split()
    withheld = NO_KEY & set(flags.split())
    assert seen["reason"] == (None if valid else outcome) if not withheld else withheld.pop()
    assert seen["phone_key"] == (outcome if valid and seen["reason"] is None else None)
    assert (seen["area_code"] is not None) == outcome.startswith("+55")


def test_second_number_of_a_cell_is_kept():
    assert one("11961234567 / 11961234568", "BR")["others"] == ["+5511961234568"]


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("5523456788", "+555523456788"),
        ("5553456788", "+555553456788"),
        ("5562345678", "+5555962345678"),
        ("5591234567", "+5555991234567"),
        ("55912345670", "+5555912345670"),
        ("55961234567", "+5555961234567"),
        ("551123456788", "+551123456788"),
        ("551181234567", "+5511981234567"),
        ("555523456788", "+555523456788"),
        ("555581234567", "+5555981234567"),
        ("5511961234567", SP),
        ("5555961234567", "+5555961234567"),
        ("+55961234567", None),
    ],
)
def test_area_code_55_is_told_by_length(digits, expected):
    assert one(digits)["e164"] == expected


@pytest.mark.parametrize(
    ("digits", "country", "abroad", "kind"),
    [
        ("51912345670", "PE", "+51912345670", "mobile"),
        ("34912345670", "ES", "+34912345670", "mobile"),
        ("41912345670", "CH", "+41912345670", "mobile"),
        ("33912345670", "FR", "+33912345670", "mobile"),
        ("84912345670", "VN", "+84912345670", "mobile"),
        ("66912345670", "TH", "+66912345670", "mobile"),
        ("95931123456", "MM", "+95931123456", "mobile"),
        ("35943012345", "BG", "+35943012345", "mobile"),
        ("38972345678", "MK", "+38972345678", "mobile"),
        ("4740612345", "NO", "+4740612345", "landline"),
        ("4520123456", "DK", "+4520123456", "landline"),
        ("5351234567", "CU", "+5351234567", "landline"),
        ("3546111234", "IS", "+3546111234", "landline"),
        ("4930123456", "DE", "+4930123456", "landline"),
        ("4791234560", "NO", "+4791234560", "mobile"),
        ("6591234560", "SG", "+6591234560", "mobile"),
        ("4155552671", "US", "+14155552671", "landline"),
    ],
)
def test_foreign_number_that_looks_brazilian(digits, country, abroad, kind):
    assert one(digits, country)["e164"] == abroad
    bare = one(digits)
    assert (bare["kind"], bare["region"]) == (kind, "BR")
    assert {"collision", "low_confidence"} <= set(bare["flags"])
