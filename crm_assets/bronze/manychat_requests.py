"""ManyChat's External Request: one posted contact becomes one row of `bronze.manychat_contacts`.

The reader of contact files reads it, since a body has the same names as a file has headers
(design 6). Contacts come one at a time, by a person's doing, so that each is read by itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from crm_assets.bronze.event_bodies import UnreadableBody, failure_of, parsed
from crm_assets.bronze.landing import NO_REJECTS
from crm_assets.bronze.manychat_file import CONTACT_SCHEMA, read_contacts
from crm_assets.bronze.text_table import RefusedFile
from crm_resources.ops import InboxEvent

NO_CONTACT = "não traz e-mail, telefone, Instagram nem id de contato"


@dataclass(frozen=True)
class Posted:
    """What one post says.

    Attributes:
        row: its row, `line` being its place in the inbox; None when there is none.
        rejects: cells that could not be read, as `place, field, reason, raw`.
        ignored: why nothing comes of it.
        failure: why it cannot be read.
    """

    row: pl.DataFrame | None = None
    rejects: pl.DataFrame = field(default_factory=lambda: NO_REJECTS)
    ignored: str | None = None
    failure: str | None = None


def read_post(event: InboxEvent, timezone: str, now: datetime) -> Posted:
    """Read a posted contact.

    Args:
        event: as it stands in the inbox.
        timezone: IANA zone, in which dates without an offset are meant.
        now: the present.
    """
    try:
        cells = _cells(parsed(event))
    except (UnreadableBody, RecursionError) as error:
        return Posted(failure=failure_of(error))
    if cells is None:
        return Posted(ignored=NO_CONTACT)
    try:
        file = read_contacts(
            pl.DataFrame(cells).write_csv(quote_style="always").encode(),
            timezone=timezone,
            now=now,
        )
    except RefusedFile:
        return Posted(ignored=NO_CONTACT)
    if file.frame.is_empty():
        return Posted(ignored=NO_CONTACT)
    line = pl.lit(event.id, dtype=pl.Int64)
    return Posted(
        row=file.frame.head(1).with_columns(line=line).cast(CONTACT_SCHEMA),
        rejects=file.rejects.select(
            line.cast(pl.String).alias("place"), pl.col("column").alias("field"), "reason", "raw"
        ),
    )


def _cells(value: Any) -> dict[str, list[str]] | None:
    """A posted value as the columns of a file, own fields among them; None when it has no names."""
    if not isinstance(value, dict):
        return None
    custom = value.pop("custom_fields", None)
    told = {**(custom if isinstance(custom, dict) else {}), **value}
    return {name: [_cell(each)] for name, each in told.items()}


def _cell(value: object) -> str:
    """A value as the cell of a file."""
    match value:
        case None:
            return ""
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case bool():
            return str(value).lower()
        case list():  # tags come as names, or as objects with one
            names = [each.get("name") if isinstance(each, dict) else each for each in value]
            return json.dumps(names) if names else ""
        case _:
            return json.dumps(value, ensure_ascii=True)
