"""Small pictures for an asset's page in the Dagster UI: stacked bars and a line, drawn as SVG.

What belongs here: drawing a short series, nothing about what it means. The UI shows a Markdown
value in place only below 1,000 characters, and of all images only those in Markdown's own syntax;
so a picture is one `data:` address inside that budget, with one path per series. Colours stand by
name (a `#` would end the address) and can be told apart on a white and on a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, groupby
from xml.sax.saxutils import escape

import polars as pl

INLINE = 1000
"""Characters from which the UI hides a Markdown value behind a click."""

COLOURS = ("teal", "darkgoldenrod", "crimson")
"""One per series, the lowest first."""

HEIGHT = 99
BAR = 9
BARS = 30
WIDTH = BAR * BARS
GAPS = 40
"""Bars, over all series, up to which the budget pays for a gap between neighbours."""

POINTS = 54

_SCALES = ((1_000_000_000, " bi"), (1_000_000, " mi"), (1_000, " mil"))
_MARKDOWN = str.maketrans({"<": r"\<", ">": r"\>", "%": "%25", "&": "%26", "#": "%23"})


@dataclass(frozen=True)
class Plot:
    """A picture and its name, which stands for it where it cannot be seen."""

    title: str
    svg: str

    @property
    def markdown(self) -> str:
        """The picture as a Markdown image."""
        return f"![{self.title}](<data:image/svg+xml,{self.svg.translate(_MARKDOWN)}>)"


def stacked_bars(title: str, frame: pl.DataFrame, *, unit: str = "", top: float = 0) -> Plot:
    """One bar per day, each series on top of the one before, over a line at zero.

    Args:
        title: what the picture shows.
        frame: first column the days in order, of which the last 30 are drawn; then at most three
            series, named as the reader calls them. Empty or negative values have no length.
        unit: stands before the highest sum, such as `R$`.
        top: the sum that fills the height, where pictures are to be compared; else the highest.
    """
    days, series = _lengths(frame, BARS)
    if not days:
        return _plot(title, days, "", 0, "sem dados")
    sums = list(accumulate(series))
    highest = max(sums[-1])
    width = BAR if len(days) > BARS // 3 else 3 * BAR
    gap = width // BAR if len(days) * len(series) <= GAPS else 0
    shapes = [
        f"<path fill='{colour}' d='{_stairs(_rows(total, top or highest), zero, width, gap)}'/>"
        for colour, zero, total in zip(COLOURS, (HEIGHT + 1, HEIGHT, HEIGHT), sums, strict=False)
    ]
    legend = [
        f" <tspan fill='{colour}'>■</tspan> {escape(one.name)}"
        for colour, one in zip(COLOURS, series, strict=False)
    ]
    told = f"máx. {short(highest, unit)}{''.join(legend) if len(series) > 1 else ''}"
    return _plot(title, days, "".join(reversed(shapes)), width * len(days), told)


def line(title: str, frame: pl.DataFrame) -> Plot:
    """A total over time, from zero to its highest value; a dot marks the latest.

    Args:
        title: what the picture shows.
        frame: first column the days in order, of which the last 54 are drawn; second column the
            totals, named as the reader calls them.
    """
    days, (total, *_) = _lengths(frame, POINTS)
    if not days:
        return _plot(title, days, "", 0, "sem dados")
    step = WIDTH // max(len(days) - 1, 1)
    points = [f"{step * at},{y}" for at, y in enumerate(_rows(total, max(total)))]
    x, y = points[-1].split(",")
    shapes = (
        f"<g transform='translate(3,3)' fill='{COLOURS[0]}'><path fill='none' "
        f"stroke='{COLOURS[0]}' stroke-width='2' d='M{'L'.join(points)}'/>"
        f"<circle cx='{x}' cy='{y}' r='3'/></g>"
    )
    return _plot(title, days, shapes, int(x), f"hoje {short(total[-1])} {escape(total.name)}")


def short(number: float, unit: str = "") -> str:
    """A number in few letters, as Brazilians write it: `950`, `12,3 mil`, `R$ 1,2 mi`."""
    size, word = next((s for s in _SCALES if round(1000 * number / s[0], 1) >= 1000), (1, ""))
    digits = f"{number / size:.1f}".removesuffix(".0").replace(".", ",")
    return f"{unit} {digits}{word}".lstrip()


def _lengths(frame: pl.DataFrame, most: int) -> tuple[list[str], list[pl.Series]]:
    """The last days as Brazilians write them, and each series as lengths from zero."""
    days, *series = frame.tail(most).get_columns()
    drawn = [one.cast(pl.Float64).fill_nan(None).fill_null(0).clip(0) for one in series]
    return [f"{day:%d/%m/%y}" for day in days], drawn


def _rows(lengths: pl.Series, top: float) -> list[int]:
    """The row of the picture where each length ends; the first row is 0."""
    parts = [length / top if top else 0 for length in lengths]
    return [max(HEIGHT - round(HEIGHT * part), 0) for part in parts]


def _stairs(rows: list[int], zero: int, width: int, gap: int) -> str:
    """The outline of the bars from left to right; without gaps, equal neighbours in one step."""
    if gap:
        return f"M0,{zero}" + "".join(f"V{y}h{width - gap}V{zero}h{gap}" for y in rows)
    steps = "".join(f"V{y}h{width * len(list(same))}" for y, same in groupby(rows))
    return f"M0,{zero}{steps}V{zero}"


def _plot(title: str, days: list[str], shapes: str, width: int, told: str) -> Plot:
    last = f"<tspan x='{max(width - 46, 56)}'>{days[-1]}</tspan>" if len(days) > 1 else ""
    return Plot(
        title,
        "<svg xmlns='http://www.w3.org/2000/svg' width='300' height='132' fill='gray' "
        f"style='font:11px sans-serif'><title>{escape(title)}</title>{shapes}"
        f"<text y='115'>{''.join(days[:1])}{last}</text><text y='129'>{told}</text></svg>",
    )
