"""What is kept for how long, and its removal when its time is over (rules 7.4).

Every number is a setting of the tenant. Copies of contents are counted from the day they came,
other files from their last change, people from their last interaction. Of an import only the copies
go: its rows stay, and can no longer be read again from a file; so do those of an event, without its
body. Snapshots are thinned out where they are published (`gold/serving.py`), and records of runs by
Dagster.
"""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from time import monotonic

import dagster as dg

from crm_assets.automation.runs import STAGE_TAG, TENANT_TAG, job_name
from crm_assets.bronze.receiving import FILE_SOURCES, MANYCHAT
from crm_assets.gold.people import reading, refs_of
from crm_assets.privacy.erased_files import CERTIFICATES, EVENTS
from crm_assets.privacy.eraser import erase_many
from crm_assets.privacy.rights import register
from crm_assets.privacy.scrub import BLANK
from crm_assets.resources import warehouse_of
from crm_assets.safekeeping.cleanup import cutoff
from crm_assets.settings import Settings
from crm_assets.slices import zone
from crm_assets.steps import Site, refine_pool
from crm_assets.tenants import Tenant
from crm_resources.locks import Busy
from crm_resources.ops import Load, OpsStore

RETENTION = "retention"
"""Stage and job."""

RAW, ARCHIVE, OUTPUTS, LOGS, BACKUPS, COPIES, DRAFTS, REJECTS, BODIES, LEADS = (
    "cópias em raw",
    "arquivos guardados (archive)",
    "arquivos gerados",
    "logs de execuções",
    "cópias do banco (antes de atualizar ou restaurar)",
    "cópias de segurança (crm backup)",
    "rascunhos de processos mortos",
    "células não lidas",
    "corpos de eventos no banco",
    "leads sem compra",
)
WAITING = "cópias mantidas porque a importação ainda não terminou"
POSTPONED = "leads que ficaram para a próxima vez"

ERASING_SECONDS = 15 * 60
"""After so long no further leads are begun: each pass writes every database anew."""

LEADS_AT_ONCE = 50
"""So many go in one pass; what is searched for grows with them."""

DRAFT_DAYS = 1
"""A draft this old belongs to nobody who is still writing."""

_DRAFT = re.compile(r"\..+\.(tmp.*|new|\d+)")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?=_)", re.ASCII)


@dataclass(frozen=True)
class Expired:
    """What is past its time.

    Attributes:
        paths: files, and folders of logs, by what they are.
        rejects: cells that could not be read.
        bodies: events whose row still has the text that was posted.
        leads: customers.
        waiting: old copies that an unfinished import still needs.
    """

    paths: Mapping[str, Sequence[Path]]
    rejects: int
    bodies: int
    leads: tuple[str, ...] = field(repr=False)
    waiting: int

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {
            **{label: len(found) for label, found in self.paths.items()},
            REJECTS: self.rejects,
            BODIES: self.bodies,
            LEADS: len(self.leads),
            WAITING: self.waiting,
        }


def retention_job(site: Site) -> dg.JobDefinition:
    """The job that removes what is past its time; its step tells how many of each."""

    @dg.op(
        name=site.op_name(RETENTION),
        pool=refine_pool(site),
        required_resource_keys=site.resource_keys("ops"),
        description="Apaga o que passou do prazo de guarda (LGPD): cópias, arquivos e leads.",
    )
    def clear(context: dg.OpExecutionContext) -> None:
        ops: OpsStore = site.ops(context)
        context.add_output_metadata(clear_expired(site, ops, context.instance))

    @dg.job(
        name=job_name(site, RETENTION),
        tags={TENANT_TAG: site.tenant.slug, STAGE_TAG: RETENTION},
        description="Apaga o que passou do prazo de guarda.",
    )
    def retention() -> None:
        clear()

    return retention


def find_expired(site: Site, ops: OpsStore, instance: dg.DagsterInstance) -> Expired:
    """What is past its time today; nothing is changed."""
    settings, tenant = site.settings, site.tenant
    kept, today = tenant.privacy, site.today()
    store, output = settings.store_folder(tenant.slug), settings.output_folder(tenant.slug)

    def before(days: int) -> date:
        return today - timedelta(days=days)

    copies = settings.backup_folder(tenant.slug)
    received = _copies(store / "raw", ops.loads(), tenant, before(kept.raw_days))
    paths = {
        RAW: [path for path, load in received if load is None or load.status != "received"],
        ARCHIVE: [
            path
            for path in _files(store / "archive")
            if path.parent.name != EVENTS and _day_named(path, tenant) < before(kept.archive_days)
        ],
        OUTPUTS: _old(
            [path for path in _files(output) if path.parent.name != CERTIFICATES],
            tenant,
            before(kept.output_days),
        ),
        BACKUPS: _old(_files(store / "backups"), tenant, before(kept.backup_days)),
        COPIES: _old(_files(copies), tenant, before(kept.backup_days - 1)),
        DRAFTS: _old(
            [path for folder in (store, output, copies) for path in _files(folder, hidden=True)],
            tenant,
            before(DRAFT_DAYS),
        ),
        LOGS: _old_logs(settings, tenant, instance, before(kept.log_days)),
    }
    rejects, bodies, leads = 0, 0, tuple[str, ...]()
    warehouse = warehouse_of(settings, tenant)
    if warehouse.path.exists():
        with warehouse.write("prazos de guarda") as tx:
            rejects = int(tx.scalar(f"SELECT count(*) {_REJECTS}", [before(kept.reject_days)]))
            bodies = sum(
                int(tx.scalar(f"SELECT count(*) FROM {table} WHERE {old}", [cutoff(site)]))
                for table, old in _BODIES.items()
            )
            if kept.lead_months and tx.scalar(_IS_BUILT):
                parameters = {"today": today, "months": kept.lead_months, **_asking(ops, tenant)}
                leads = tuple(tx.read(_LEADS, parameters).to_series().to_list())
    return Expired(paths, rejects, bodies, leads, waiting=len(received) - len(paths[RAW]))


def clear_expired(site: Site, ops: OpsStore, instance: dg.DagsterInstance) -> dict[str, int]:
    """Remove what is past its time; returns how many of each went.

    Raises:
        ErasureError: an earlier erasure of a person has not ended.
    """
    expired = find_expired(site, ops, instance)
    for path in (path for found in expired.paths.values() for path in found):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if expired.rejects or expired.bodies:
        cut = site.today() - timedelta(days=site.tenant.privacy.reject_days)
        with warehouse_of(site.settings, site.tenant).write("prazos de guarda") as tx:
            tx.execute(f"DELETE {_REJECTS}", [cut])
            for table, old in _BODIES.items():
                tx.execute(f"UPDATE {table} SET raw = '{BLANK}' WHERE {old}", [cutoff(site)])
    erased = _erase_leads(site, expired.leads)
    return {**expired.counts(), LEADS: erased, POSTPONED: len(expired.leads) - erased}


def _erase_leads(site: Site, leads: Sequence[str]) -> int:
    """Erase people, many in one pass, while there is time and nobody else works; how many."""
    erased, ends_at = 0, monotonic() + ERASING_SECONDS
    for first in range(0, len(leads), LEADS_AT_ONCE):
        if monotonic() > ends_at:
            break
        part = leads[first : first + LEADS_AT_ONCE]
        try:
            erase_many(
                site,
                _records(site, part),
                actor="crm",
                reason="prazo de guarda de lead",
                for_good=False,
            )
        except Busy:
            break
        erased += len(part)
    return erased


def _records(site: Site, leads: Sequence[str]) -> dict[str, list[str]]:
    """The references of each one's records."""
    with reading(site.settings, site.tenant) as tx:
        return {customer_id: refs_of(tx, customer_id) for customer_id in leads}


def _asking(ops: OpsStore, tenant: Tenant) -> dict[str, list[str]]:
    """Ids and keys of people who wait for an answer."""
    waiting = [request for request in register(ops.actions(), tenant) if request.is_open]
    keys = [key for request in waiting for key in (request.email_key, request.phone_key) if key]
    return {"ids": [r.customer_id for r in waiting if r.customer_id], "keys": keys}


def _copies(
    folder: Path, loads: Iterable[Load], tenant: Tenant, before: date
) -> list[tuple[Path, Load | None]]:
    """Raw copies that came before a day, each with its import."""
    known = {(load.source, load.slice): load for load in loads if load.source in FILE_SOURCES}
    copies = []
    for path in _files(folder):
        load = known.get((path.parent.name, path.stem))
        came = load.at.astimezone(zone(tenant)).date() if load else _day_named(path, tenant)
        if came < before:
            copies.append((path, load))
    return copies


def _files(folder: Path, *, hidden: bool = False) -> list[Path]:
    """Finished files below a folder, or else what was left half written."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and (bool(_DRAFT.fullmatch(path.name)) if hidden else not path.name.startswith("."))
    )


def _old(paths: Iterable[Path], tenant: Tenant, before: date) -> list[Path]:
    return [path for path in paths if _day_changed(path, tenant) < before]


def _day_changed(path: Path, tenant: Tenant) -> date:
    try:
        changed = path.lstat().st_mtime
    except FileNotFoundError:
        return date.max  # gone by now
    return datetime.fromtimestamp(changed, zone(tenant)).date()


def _day_named(path: Path, tenant: Tenant) -> date:
    """The day that the name begins with: when the content came, whatever the age of the file."""
    named = _DAY.match(path.name)
    return date.fromisoformat(named[0]) if named else _day_changed(path, tenant)


def _old_logs(
    settings: Settings, tenant: Tenant, instance: dg.DagsterInstance, before: date
) -> list[Path]:
    """What old runs of the tenant printed; those of nobody go with the first that looks."""
    folders = sorted((settings.dagster_home / "storage").glob("*/compute_logs"))
    return [
        folder
        for folder in _old(folders, tenant, before)
        if (run := instance.get_run_by_id(folder.parent.name)) is None
        or run.tags.get(TENANT_TAG) in {tenant.slug, None}
    ]


_REJECTS = "FROM bronze.rejects WHERE extracted_at < ?::DATE::TIMESTAMPTZ"
_BODIES = {
    "bronze.hotmart_events": f"received_at < ? AND raw::VARCHAR <> '{BLANK}'",
    "bronze.manychat_contacts": f"""
        starts_with(slice, '{MANYCHAT}:') AND extracted_at < ? AND raw::VARCHAR <> '{BLANK}'
    """,
}
"""Rows of what was posted, which silver is made from without their bodies (rules 7.4)."""

_IS_BUILT = """
    SELECT count(*) = 3 FROM duckdb_tables()
    WHERE schema_name = 'silver' AND table_name IN ('customers', 'sales', 'consents')
"""
# A lead is whoever never paid anything. An interaction is what the person did: a message, a
# registration, an order begun, a consent; being contacted by us is none. Whoever did nothing that
# has a date is counted from the day we first knew of them. Whoever waits for an answer stays.
_LEADS = """
    WITH members AS (
        SELECT customer_id, max(last_interaction_at) AS interacted_at,
               max(first_seen_at) AS seen_at, min(observed_at) AS known_at,
               list(DISTINCT email_key) || list(DISTINCT coalesce(phone_key, phone)) AS keys
        FROM silver.contact_records JOIN silver.customer_xref AS xref USING (record_id)
        WHERE valid_to IS NULL GROUP BY customer_id
    ), ordered AS (
        SELECT customer_id, max(ordered_at) AS ordered_at,
               bool_or(was_paid AND coalesce(gross > 0, true)) AS has_paid
        FROM silver.sales GROUP BY customer_id
    ), agreed AS (
        SELECT customer_id, max(occurred_at) AS agreed_at
        FROM (SELECT customer_id, unnest(keys) AS key FROM members)
        JOIN silver.consents USING (key)
        WHERE status = 'granted' AND action_id IS NOT NULL GROUP BY customer_id
    )
    SELECT customer_id
    FROM members LEFT JOIN ordered USING (customer_id) LEFT JOIN agreed USING (customer_id)
    WHERE NOT coalesce(has_paid, false)
      AND coalesce(greatest(interacted_at, seen_at, ordered_at, agreed_at), known_at)
          < ($today::DATE - to_months($months))::TIMESTAMPTZ
      AND NOT list_has_any(keys, $keys::VARCHAR[])
      AND customer_id NOT IN (
          SELECT survivor_id FROM silver.customer_ids
          WHERE customer_id IN (SELECT unnest($ids::VARCHAR[])) AND survivor_id IS NOT NULL
      )
    ORDER BY customer_id
"""
