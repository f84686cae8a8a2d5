"""Pictures for the UI: true to their numbers, well formed, short enough to be shown in place."""

from __future__ import annotations

import re
from datetime import date, timedelta
from urllib.parse import unquote
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.plots import (
    BARS,
    COLOURS,
    HEIGHT,
    INLINE,
    POINTS,
    Plot,
    line,
    short,
    stacked_bars,
)

NAMES = ("pago", "pendente", "revertido")
START = date(2026, 2, 14)
DARK_PAGE = (0x0D, 0x0F, 0x14)
WHITE = (255, 255, 255)
RGB = {
    "gray": (0x80, 0x80, 0x80),
    "teal": (0x00, 0x80, 0x80),
    "darkgoldenrod": (0xB8, 0x86, 0x0B),
    "crimson": (0xDC, 0x14, 0x3C),
}

amounts = st.floats(0, 1e12) | st.none()


@st.composite
def frames(draw: st.DrawFn, most: int = BARS, widest: int = len(NAMES)) -> pl.DataFrame:
    days = draw(st.integers(1, most))
    names = NAMES[: draw(st.integers(1, widest))]
    rows = [draw(st.lists(amounts, min_size=days, max_size=days)) for _ in names]
    return frame_of(dict(zip(names, rows, strict=True)))


def frame_of(series: dict[str, list[float | None]]) -> pl.DataFrame:
    count = len(next(iter(series.values())))
    days = [START + timedelta(days=day) for day in range(count)]
    schema = {"day": pl.Date, **dict.fromkeys(series, pl.Float64)}
    return pl.DataFrame({"day": days, **series}, schema=schema)


def parsed(plot: Plot) -> ElementTree.Element:
    return ElementTree.fromstring(plot.svg)


def texts(plot: Plot) -> str:
    return " ".join("".join(element.itertext()) for element in parsed(plot).iterfind(".//{*}text"))


def heights(plot: Plot, days: int = 1) -> list[list[int]]:
    """Height of each bar over its floor, one list per series, the lowest series first."""
    drawn = []
    for path in reversed(parsed(plot).findall(".//{*}path")):
        floor = int(re.match(r"M0,(\d+)", path.attrib["d"])[1])
        pixels = [
            floor - int(row)
            for row, along in re.findall(r"V(\d+)h(\d+)", path.attrib["d"])
            for _ in range(int(along))
        ]
        assert len(pixels) % days == 0
        drawn.append(pixels[:: len(pixels) // days])
    return drawn


@given(frames())
def test_a_bar_is_as_long_as_its_sum(frame):
    plot = stacked_bars("Receita por dia", frame)
    sums = frame.select(pl.exclude("day").fill_null(0)).rows()
    highest = max(sum(row) for row in sums)
    drawn = heights(plot, days=len(frame))
    for day, row in enumerate(sums):
        for level in range(len(row)):
            expected = HEIGHT * sum(row[: level + 1]) / highest if highest else 0
            line_at_zero = 1 if level == 0 else 0
            assert drawn[level][day] == pytest.approx(expected + line_at_zero, abs=0.51)


@given(frames(most=POINTS, widest=1))
def test_a_line_is_as_high_as_its_total(frame):
    values = frame["pago"].fill_null(0).to_list()
    path, dot = parsed(line("Clientes", frame)).find(".//{*}g")
    points = [tuple(map(int, point.split(","))) for point in path.attrib["d"][1:].split("L")]
    assert [x for x, _ in points] == sorted({x for x, _ in points})
    for (_, row), value in zip(points, values, strict=True):
        expected = HEIGHT * value / max(values) if max(values) else 0
        assert HEIGHT - row == pytest.approx(expected, abs=0.51)
    assert (int(dot.attrib["cx"]), int(dot.attrib["cy"])) == points[-1]


@given(frames(), st.sampled_from(["R$", "USD", ""]))
def test_bars_are_shown_in_place(frame, unit):
    assert len(stacked_bars("Receita por dia", frame, unit=unit).markdown) < INLINE


def test_the_longest_path_is_shown_in_place():
    """Two digits and another height on every day of every series."""
    wave = [10_000 + 100_000 * (day % 2) for day in range(BARS)]
    last = [999_900_000 - 2 * value for value in wave[:-1]] + [7e8]
    frame = frame_of(dict(zip(NAMES, [[v * 1000 for v in wave]] * 2 + [last], strict=True)))
    plot = stacked_bars("Receita por dia", frame, unit="USD")
    assert 900 < len(plot.markdown) < INLINE


@given(frames(most=POINTS, widest=1))
def test_a_line_is_shown_in_place(frame):
    assert len(line("Clientes ao longo de um ano", frame).markdown) < INLINE


@given(frames())
def test_the_markdown_carries_the_picture(frame):
    """As CommonMark reads it: escaped brackets, then a percent-encoded address."""
    plot = stacked_bars("Receita por dia", frame, unit="R$")
    alt, address = re.fullmatch(r"!\[(.*)\]\(<data:image/svg\+xml,(.*)>\)", plot.markdown).groups()
    assert re.search(r"(?<!\\)[<>]", address) is None
    assert "\n" not in address
    assert unquote(re.sub(r"\\([<>])", r"\1", address)) == plot.svg
    assert alt == "Receita por dia"


def test_markup_and_signs_in_names_do_no_harm():
    frame = frame_of({"a&b": [1.0], "<script>": [2.0], "50%#": [3.0]})
    plot = stacked_bars("R&D <1>", frame)
    assert parsed(plot).findtext("{*}title") == "R&D <1>"
    assert "■ a&b" in texts(plot)
    address = plot.markdown.partition("svg+xml,")[2].removesuffix(">)")
    assert unquote(re.sub(r"\\([<>])", r"\1", address)) == plot.svg
    assert "#" not in address


@pytest.mark.parametrize("draw", [stacked_bars, line])
def test_nothing_to_draw_is_said(draw):
    plot = draw("Pessoas por lote", frame_of({"pessoas": []}))
    assert texts(plot).strip() == "sem dados"
    assert parsed(plot).findtext("{*}title") == "Pessoas por lote"


def test_one_day_is_one_bar_with_its_date_once():
    plot = stacked_bars("Pessoas por lote", frame_of({"pessoas": [50]}))
    assert heights(plot) == [[HEIGHT + 1]]
    assert texts(plot) == "14/02/26 máx. 50"


def test_one_week_is_one_dot():
    plot = line("Clientes", frame_of({"clientes": [7]}))
    assert texts(plot) == "14/02/26 hoje 7 clientes"
    assert parsed(plot).find(".//{*}circle").attrib["cy"] == "0"


def test_axes_and_legend_speak_portuguese():
    frame = frame_of({name: [1234.5 * day for day in range(BARS)] for name in NAMES})
    plot = stacked_bars("Receita por dia", frame, unit="R$")
    assert texts(plot) == ("14/02/2615/03/26 máx. R$ 107,4 mil ■ pago ■ pendente ■ revertido")


def test_only_the_last_days_are_drawn():
    frame = frame_of({"pago": [1000.0] + [float(day) for day in range(BARS)]})
    plot = stacked_bars("Receita por dia", frame)
    assert heights(plot, days=BARS)[0][0] == 1
    assert "máx. 29" in texts(plot)


def test_pictures_share_a_scale():
    low, high = frame_of({"pago": [50.0]}), frame_of({"pago": [100.0]})
    assert heights(stacked_bars("a", low, top=100)) == [[51]]
    assert heights(stacked_bars("a", high, top=100)) == [[100]]


def test_what_is_negative_or_no_number_has_no_length():
    plot = stacked_bars("a", frame_of({"pago": [-5.0, float("nan"), None, 10.0]}))
    assert heights(plot, days=4) == [[1, 1, 1, 100]]


def test_bars_of_one_size_can_be_told_apart():
    plot = stacked_bars("Pessoas por lote", frame_of({"pessoas": [50.0] * BARS}))
    assert parsed(plot).find(".//{*}path").attrib["d"].count(f"V{HEIGHT + 1}h1") == BARS


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "R$ 0"),
        (0.05, "R$ 0,1"),
        (950, "R$ 950"),
        (999.94, "R$ 999,9"),
        (999.96, "R$ 1 mil"),
        (1_000, "R$ 1 mil"),
        (12_345, "R$ 12,3 mil"),
        (999_949, "R$ 999,9 mil"),
        (999_951, "R$ 1 mi"),
        (1_250_000_000, "R$ 1,2 bi"),
    ],
)
def test_numbers_in_few_letters(number, told):
    assert short(number, "R$") == told


@pytest.mark.parametrize("page", [WHITE, DARK_PAGE], ids=["white", "dark"])
@pytest.mark.parametrize("colour", [*COLOURS, "gray"])
def test_colours_stand_out_on_either_page(colour, page):
    lighter, darker = sorted((luminance(RGB[colour]), luminance(page)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def luminance(rgb: tuple[int, int, int]) -> float:
    """Relative luminance of WCAG 2."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in rgb)
    ]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
