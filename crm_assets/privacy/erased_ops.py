"""How the operations store forgets a person.

Its tables are a register of what was decided and what left the house: rows stay, what is personal
in them goes, and the person's ids become the one that their sales go on under. No Dagster here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from crm_assets.privacy.posted import facts_of
from crm_assets.privacy.scrub import ERASED, HIDDEN
from crm_assets.privacy.search import pattern_of
from crm_assets.silver.stewardship import PIN
from crm_resources.ops import OpsStore
from crm_resources.ops.tombstones import Row

GONE = object()
"""What stands for a value that goes."""

EMPTIED = {"customer_id", "email_key", "phone_key", "payload"}
"""Columns that are left empty; in the others a word stands where a text was."""

TABLES = {
    "actions": (
        "idempotency_key", "customer_id", "email_key", "phone_key", "payload", "actor", "reason",
    ),
    "exports": ("destination", "filter", "customer_ids", "actor"),
    "loads": ("file_name", "reason"),
    "incidents": ("subject", "detail"),
    "deliveries": ("reason",),
    "tombstones": (),
    "inbox": ("body", "error"),
    "refusals": (),
}  # fmt: skip
"""Every table of the store, with the columns that can speak of a person."""


def forget_ops(
    ops: OpsStore,
    texts: Sequence[str],
    renamed: Mapping[str, str],
    *,
    dry_run: bool = False,
) -> dict[str, int]:
    """Take a person out of the store; rows changed, by table.

    Args:
        ops: the tenant's store.
        texts: what a search for the person looks for, in lower case.
        renamed: the person's customer ids of which nothing stays, and what takes their place.
        dry_run: only count.
    """
    counts = {}
    pattern = pattern_of(texts)
    for table, columns in TABLES.items():
        if not columns:
            continue
        changes = {
            row["id"]: values
            for row in ops.rows_mentioning(table, [*texts, *renamed])
            if (values := _cleaned(table, row, pattern, renamed))
        }
        if changes:
            counts[f"operações: {table}"] = len(changes)
            if not dry_run:
                ops.rewrite(table, changes)
    return counts


def _cleaned(table: str, row: Row, pattern: re.Pattern[str], renamed: Mapping[str, str]) -> Row:
    """The columns of a row that change, with their new values."""
    if row.get("kind") == ERASED:
        return {}
    values: Row = {}
    for name in TABLES[table]:
        held: Any = row[name]
        new: Any = (
            _posted_without(held, pattern)
            if name == "body"
            else without(_renamed(held, renamed), pattern)
        )
        if new is GONE:
            word = f"apagado:{row['id']}" if name == "idempotency_key" else HIDDEN
            new = None if name in EMPTIED else word
        if new != held:
            values[name] = new
    if row.get("kind") == PIN and row["customer_id"] in renamed:
        values["payload"] = None
    return values


def without(value: Any, pattern: re.Pattern[str]) -> Any:
    """A value of JSON without whatever says one of the texts; `GONE` when it is a text itself.

    Args:
        value: text, number, list or mapping, nested.
        pattern: finds the texts.
    """
    if isinstance(value, str):
        return GONE if pattern.search(value.casefold()) else value
    if isinstance(value, dict):
        kept = {key: without(one, pattern) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one is not GONE}
    if isinstance(value, list):
        return [one for one in (without(one, pattern) for one in value) if one is not GONE]
    return value


def _posted_without(body: str, pattern: re.Pattern[str]) -> str:
    """What was posted to us of a person, without the person; the facts of the sale stay."""
    try:
        posted = json.loads(body)
    except (ValueError, RecursionError):
        return HIDDEN if pattern.search(body.casefold()) else body
    kept = without(posted, pattern)
    return body if kept == posted else facts_of(kept)


def _renamed(value: Any, renamed: Mapping[str, str]) -> Any:
    """A value of JSON with the new ids wherever old ones stand."""
    if isinstance(value, str):
        for old, new in renamed.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, dict):
        return {key: _renamed(one, renamed) for key, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, renamed) for one in value]
    return value
