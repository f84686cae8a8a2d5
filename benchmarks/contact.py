"""The contact rules over columns of a million cells, against one pass of a pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from benchmarks.processes import clock, measure
from benchmarks.report import Reading, rates

VALUES = 1_000_000


def contact(scale: float, repeat: int) -> Iterator[Reading]:
    """E-mails and phones a second."""
    rows = max(int(VALUES * scale), 100)
    for kind, what in (
        ("emails", "e-mails (60 % Gmail, a quarter in capitals, 2 % junk)"),
        ("phones", "phones (10 % foreign, 2 % junk)"),
    ):
        found = measure("benchmarks.contact:speed", {}, kind=kind, rows=rows, repeat=repeat)
        yield rates(
            f"{what}; floor: one pass of a pattern",
            found["rules"],
            found["pattern"],
            peak=found["peak"],
        )


def speed(kind: str, rows: int, repeat: int) -> dict[str, Any]:
    """Cells a second, by the rules and by one pattern."""
    from crm_assets.contact.email import normalize_emails
    from crm_assets.contact.phone import normalize_phones

    cells = _cells(rows)[kind]
    if kind == "emails":
        pattern, rules = r"^[a-z0-9._+-]+@[a-z0-9.-]+\.[a-z]{2,}$", normalize_emails
    else:
        pattern, rules = r"^\+?[0-9 ()-]{8,20}$", normalize_phones
    return {
        "rules": rows / _median(repeat, lambda: rules(cells)),
        "pattern": rows / _median(repeat, lambda: cells.str.contains(pattern)),
    }


def _cells(rows: int) -> Any:
    import polars as pl

    number, drawn = pl.col("number"), pl.col("number").hash(1)
    digits = (drawn // 100 % 100_000_000).cast(pl.String).str.zfill(8)
    local = pl.concat_str(pl.lit("pessoa.inventada"), number.cast(pl.String))
    brazilian = pl.concat_str(
        pl.lit("+55 (11) 9"), digits.str.head(4), pl.lit("-"), digits.str.tail(4)
    )
    domain = pl.when(drawn % 10 < 6).then(pl.lit("@gmail.com")).otherwise(pl.lit("@example.com"))
    written = pl.concat_str(local, domain)
    junk = drawn // 1000 % 50 == 0
    return pl.select(number=pl.int_range(rows)).select(
        emails=pl.when(junk)
        .then(pl.lit("nao tem"))
        .when(drawn // 7 % 4 == 0)
        .then(written.str.to_uppercase())
        .otherwise(written),
        phones=pl.when(junk)
        .then(pl.lit("sem zap"))
        .when(drawn % 10 == 0)
        .then(pl.concat_str(pl.lit("+351 91"), digits.str.tail(7)))
        .otherwise(brazilian),
    )


def _median(repeat: int, work: Callable[[], Any]) -> float:
    took = []
    for _ in range(repeat + 1):
        started = clock()
        work()
        took.append(clock() - started)
    return median(took[1:])
