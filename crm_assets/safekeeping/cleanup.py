"""The monthly clean-up: old events leave the inbox for compressed files, without what was posted.

Only what was processed or ignored goes, and only after its file was read back (S3.127, S3.133;
rules 7.4). What an event said stands in bronze; the file keeps that it came, when, and its end.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from math import ceil
from pathlib import Path

import dagster as dg
import polars as pl

from crm_assets.automation.runs import STAGE_TAG, TENANT_TAG, job_name
from crm_assets.privacy.erased_files import EVENTS
from crm_assets.safekeeping.alone import safekeeping
from crm_assets.slices import start_of_day
from crm_assets.steps import Site
from crm_resources.locks import Busy
from crm_resources.ops import ENDED, InboxEvent, OpsStore
from crm_resources.serving import put

CLEANUP = "cleanup"
"""Stage and job."""

EVENTS_IN_A_FILE = 10_000
WAIT_SECONDS = 60 * 60

_INSTANT = pl.Datetime("us", "UTC")
_TEXTS = ("kind", "event_key", "event", "version", "content_type", "state", "error")
_SCHEMA = pl.Schema(
    {
        "id": pl.Int64(),
        "attempts": pl.Int64(),
        **dict.fromkeys(_TEXTS, pl.String()),
        **dict.fromkeys(("event_at", "received_at", "processed_at"), _INSTANT),
    }
)


class ArchiveError(RuntimeError):
    """A file could not be read back as it was written; its events stay in the inbox."""


def cleanup_job(site: Site) -> dg.JobDefinition:
    """The job that archives old events; its step tells how many."""

    @dg.op(
        name=site.op_name(CLEANUP),
        required_resource_keys=site.resource_keys("ops"),
        description="Passa a arquivos os eventos processados há mais de um ano.",
    )
    def archive_events(context: dg.OpExecutionContext) -> None:
        try:
            archived = clean_up(site, site.ops(context), wait=WAIT_SECONDS)
        except (ArchiveError, Busy) as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        context.add_output_metadata({"eventos arquivados": archived})

    @dg.job(
        name=job_name(site, CLEANUP),
        tags={TENANT_TAG: site.tenant.slug, STAGE_TAG: CLEANUP},
        description="A limpeza mensal dos eventos antigos.",
    )
    def cleanup() -> None:
        archive_events()

    return cleanup


def cutoff(site: Site) -> datetime:
    """Events received before this instant are old."""
    today, months = site.today(), site.tenant.privacy.event_months
    first = pl.select(pl.lit(today).dt.offset_by(f"-{months}mo")).item()
    return start_of_day(site.tenant, first)


def would_clean_up(site: Site, ops: OpsStore) -> dict[str, int]:
    """What `clean_up` would do now, as counts for a person; nothing is changed."""
    old = ops.event_counts(end=cutoff(site))
    going = Counter({kind: 0 for kind, _ in old})
    for (kind, state), count in old.items():
        going[kind] += count if state in ENDED else 0
    leaving = going.total()
    return {
        **{f"eventos a arquivar ({kind})": count for kind, count in sorted(going.items())},
        "corpos a descartar": leaving,
        "arquivos a escrever": ceil(leaving / EVENTS_IN_A_FILE),
        "eventos velhos que ficam (pendentes, com falha ou mortos)": sum(old.values()) - leaving,
    }


def clean_up(site: Site, ops: OpsStore, *, wait: float = 0) -> int:
    """Archive and remove old events; returns how many.

    Raises:
        Busy: a backup, a restore or an erasure works and did not end within `wait` seconds.
        ArchiveError: a written file is not what was to be archived.
    """
    before, archived = cutoff(site), 0
    with safekeeping(site, "limpeza de eventos", wait):
        while events := ops.processed_before(before, EVENTS_IN_A_FILE):
            _archive(_folder(site), events)
            archived += ops.remove([event.id for event in events if event.id is not None])
        if archived:
            ops.compact()
    return archived


def _archive(folder: Path, events: Sequence[InboxEvent]) -> None:
    """Write events into a file of their own; the same events write the same file."""
    rows = [{name: asdict(event)[name] for name in _SCHEMA} for event in events]
    frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    first, last = events[0], events[-1]
    path = folder / f"{first.received_at:%Y-%m-%d}_eventos_{first.id}_{last.id}.parquet"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    draft.touch(mode=0o600)
    try:
        frame.write_parquet(draft, compression="zstd")
        if not pl.read_parquet(draft).equals(frame):
            raise ArchiveError(f"{path.name} não pôde ser lido de volta; nada saiu da caixa.")
        put(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _folder(site: Site) -> Path:
    return site.settings.store_folder(site.tenant.slug) / "archive" / EVENTS
