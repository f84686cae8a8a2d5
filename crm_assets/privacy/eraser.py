"""Erasing people: from every table, file, copy and snapshot, so that nobody brings them back.

The tombstones come first and a journal before them, so that whatever cuts an erasure short, the
person cannot come in again and the next call ends what was begun. At the end everything is searched
for the person, and the certificate tells what was found. Several people go in one pass: each
database is written anew once.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import duckdb
import polars as pl

from crm_assets.gold.people import reading
from crm_assets.gold.snapshot import serving_pointer
from crm_assets.privacy.certificate import Certificate, write_certificate
from crm_assets.privacy.erased_files import forget_files, searched
from crm_assets.privacy.erased_ops import TABLES as OPS_TABLES
from crm_assets.privacy.erased_ops import forget_ops
from crm_assets.privacy.erasure import Erasure, journal, pending, write_journal
from crm_assets.privacy.person import People, gather
from crm_assets.privacy.rights import ERASURE, Request, close_request, register
from crm_assets.privacy.scrub import ERASED, mark, masked_log, scrub
from crm_assets.privacy.search import mentions, pattern_of, tables_mentioning
from crm_assets.privacy.statement import FOLDER as STATEMENTS
from crm_assets.privacy.tombstones import Tombstones, bury, tombstones_of
from crm_assets.resources import warehouse_of
from crm_assets.safekeeping.alone import BACKUP, no_rounds, safekeeping
from crm_assets.slices import zone
from crm_assets.steps import Site
from crm_resources.ops import OpsStore
from crm_resources.rewriting import rewrite
from crm_resources.serving import point, snapshot
from crm_resources.warehouse import Transaction

PURPOSE = "crm customers erase"
SNAPSHOTS, BACKUPS = "cópias de leitura (serving), arquivos", "cópias do banco (backups), arquivos"


class ErasureError(RuntimeError):
    """Nothing was erased; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What became of an erasure.

    Attributes:
        certificate: the readable file.
        found: what went, by place.
        left: where the person was still found.
        requests: numbers of the requests that were answered by it.
    """

    certificate: Path
    found: dict[str, int]
    left: dict[str, int]
    requests: tuple[int, ...] = ()


def erase(site: Site, customer_id: str, refs: Sequence[str], *, actor: str, reason: str) -> Outcome:
    """Erase the person behind some records of a customer; see `erase_many`."""
    return erase_many(site, {customer_id: refs}, actor=actor, reason=reason)


def erase_many(
    site: Site,
    wanted: Mapping[str, Sequence[str]],
    *,
    actor: str,
    reason: str,
    for_good: bool = True,
) -> Outcome:
    """Erase the people behind some records of customers, in one pass and with one certificate.

    Open requests of theirs to be erased, whose identity was checked, are closed with it.

    Args:
        site: the tenant.
        wanted: for each live customer those of its records that are the person's; all of them for
            all of it.
        actor: who does it.
        reason: why, without naming anybody.
        for_good: they must not come back; else only these records must not, so that who was
            forgotten by age may buy or write again.

    Raises:
        Busy: a round, a backup or a restore runs.
        ErasureError: an earlier erasure has not ended, or the reason names the person.
        KeyUnusable: the key of the tombstones is missing or another one.
    """
    with _alone(site):
        if pending(site):
            raise ErasureError(
                "Um apagamento anterior não terminou: rode `crm customers erase --resume` antes."
            )
        tombstones_of(site.settings, site.tenant, site.ops_store())
        erasure = rehearse(site, wanted, actor=actor, reason=reason)
        erasure = replace(erasure, for_good=for_good)
        write_journal(site, erasure)
        return _finish(site, erasure)


def resume(site: Site) -> Outcome | None:
    """End the erasure that was cut short; None when there is none.

    Raises:
        Busy: a round runs.
    """
    with _alone(site):
        erasure = pending(site)
        return _finish(site, erasure) if erasure else None


def rehearse(
    site: Site, wanted: Mapping[str, Sequence[str]], *, actor: str = "", reason: str = ""
) -> Erasure:
    """What an erasure would do, without doing it.

    Raises:
        ErasureError: the reason names the person.
    """
    settings, tenant, ops = site.settings, site.tenant, site.ops_store()
    with reading(settings, tenant) as tx:
        people = gather(tx, wanted)
        if pattern_of(people.texts).search(reason.casefold()):
            raise ErasureError(
                "--reason cita um dado da pessoa, e o motivo fica guardado: escreva-o sem nome, "
                "e-mail, telefone nem documento."
            )
        theirs = Tombstones(secrets.token_bytes()).over(people.values)
        draft = Erasure(
            number=secrets.token_hex(6),
            surrogates={customer_id: f"cus_{uuid4().hex}" for customer_id in wanted},
            actor=actor,
            reason=reason,
            began_at=settings.now().isoformat(),
            people=people,
            found={},
            destinations=_destinations(site, ops, people),
            requests=[r.number for r in asked_by(site, ops, people) if r.checked_at],
        )
        log = pl.concat([masked_log(ops.actions(), theirs), _logged(draft)], how="diagonal")
        draft.found.update(scrub(tx, theirs, log, draft.customers))
    draft.found.update(forget_ops(ops, people.texts, draft.renamed, dry_run=True))
    draft.found.update(forget_files(settings, tenant, ops, theirs, people.texts, dry_run=True))
    for label, files in ((SNAPSHOTS, _snapshots(site)), (BACKUPS, _backups(site))):
        if files:
            draft.found[label] = len(files)
    return draft


def asked_by(site: Site, ops: OpsStore, people: People) -> list[Request]:
    """Open requests of some people to be erased; of a shared profile only by their own keys."""
    ids = {customer_id for customer_id, is_whole, _ in people.customers if is_whole}
    keys = {value for kind, value in people.values if kind in {"email", "phone"}}
    return [
        request
        for request in register(ops.actions(), site.tenant)
        if request.is_open
        and request.type == ERASURE
        and (
            request.customer_id in ids
            or request.email_key in keys
            or (request.phone_key or "").removeprefix("+") in keys
        )
    ]


def _finish(site: Site, erasure: Erasure) -> Outcome:
    """Every step may be done again; none needs what an earlier one took away."""
    settings, tenant, ops, people = site.settings, site.tenant, site.ops_store(), erasure.people
    _drop_drafts(site)
    buried = {(kind, value) for kind, value in people.values if erasure.for_good or kind == "sale"}
    tombstones = bury(settings, tenant, ops, buried).over(people.values)
    ops.append_actions(erasure.actions())
    forget_ops(ops, people.texts, erasure.renamed)
    log = masked_log(ops.actions(), tombstones)
    last_id = ops.last_tombstone_id()

    def edit(tx: Transaction) -> None:
        scrub(tx, tombstones, log, erasure.customers)
        mark(tx, last_id)

    warehouse = warehouse_of(settings, tenant)
    rewrite(warehouse, edit)
    for backup in _backups(site):
        rewrite(warehouse, edit, backup)
    _renew_snapshot(site, tombstones, log, erasure)
    forget_files(settings, tenant, ops, tombstones, people.texts)
    shutil.rmtree(settings.store_folder(tenant.slug) / "tmp", ignore_errors=True)
    compacted = ops.compact()
    left = _left(site, ops, people.texts)
    certificate = Certificate(
        number=erasure.number,
        actor=erasure.actor,
        reason=erasure.reason,
        began_at=datetime.fromisoformat(erasure.began_at),
        ended_at=settings.now(),
        people=len(erasure.surrogates),
        records=len(people.records),
        tombstones=len(buried),
        shared=people.shared,
        found=erasure.found,
        left=left,
        destinations=erasure.destinations,
        sources=people.sources,
        postgres=not compacted,
        copies=_copies(site, ops),
        requests=erasure.requests,
    )
    path = write_certificate(settings, tenant, certificate)
    if left:
        return Outcome(path, erasure.found, left)
    for request in register(ops.actions(), tenant):
        if request.number in erasure.requests and request.is_open:
            note = f"apagamento {erasure.number}"
            close_request(
                ops, tenant, request.number, outcome="atendido", note=note,
                actor=erasure.actor, at=settings.now(),
            )  # fmt: skip
    journal(site).unlink()
    return Outcome(path, erasure.found, left, tuple(erasure.requests))


def _drop_drafts(site: Site) -> None:
    """Half-written databases that a kill left behind; nobody else writes now."""
    store = site.settings.store_folder(site.tenant.slug)
    for folder in (store, store / "serving", store / "backups"):
        for draft in folder.glob(".*"):
            if draft.is_file():
                draft.unlink()
            else:
                shutil.rmtree(draft)


def _renew_snapshot(
    site: Site, tombstones: Tombstones, log: pl.DataFrame, erasure: Erasure
) -> None:
    """The current snapshot without the person, under a new name, as readers may have the old open.

    The others were kept for readers that are long done, and go.
    """
    pointer = serving_pointer(site.settings, site.tenant)
    current = snapshot(pointer)
    if current is not None:
        new = current.with_name(f"{current.stem.partition('_')[0]}_{secrets.token_hex(4)}.duckdb")
        shutil.copyfile(current, new)
        new.chmod(0o600)
        rewrite(
            warehouse_of(site.settings, site.tenant),
            lambda tx: scrub(tx, tombstones, log, erasure.customers),
            new,
        )
        point(pointer, new.name)
    for old in _snapshots(site):
        if old != snapshot(pointer):
            old.unlink()


def _left(site: Site, ops: OpsStore, texts: Sequence[str]) -> dict[str, int]:
    """Where the person is still found, by table or file."""
    left: dict[str, int] = {}
    pattern = pattern_of(texts)
    for path in (warehouse_of(site.settings, site.tenant).path, *_snapshots(site), *_backups(site)):
        with duckdb.connect(path, read_only=True) as connection:
            found = tables_mentioning(Transaction(connection), texts)
        left |= {f"{path.name}: {table}": count for table, count in found.items()}
    for table in filter(OPS_TABLES.get, OPS_TABLES):
        rows = (" ".join(map(str, row.values())) for row in ops.rows_mentioning(table, list(texts)))
        if speaking := sum(1 for row in rows if pattern.search(row.casefold())):
            left[f"operações: {table}"] = speaking
    for path in searched(site.settings, site.tenant):
        if path != journal(site) and mentions(path, pattern):
            folder = str(path.parent.relative_to(site.settings.home))
            left[folder] = left.get(folder, 0) + 1
    return left


def _destinations(site: Site, ops: OpsStore, people: People) -> list[dict[str, str]]:
    """Files that listed them; their own statement went nowhere else."""
    clock = zone(site.tenant)
    return [
        {
            "lista": row["kind"],
            "arquivo": row["destination"],
            "quando": f"{row['at'].astimezone(clock):%d/%m/%Y %H:%M}",
            "por": row["actor"],
        }
        for row in ops.exports_of([customer_id for customer_id, *_ in people.customers])
        if row["kind"] != STATEMENTS
    ]


def _copies(site: Site, ops: OpsStore) -> list[dict[str, str]]:
    """Backups in which they still are, and the day on which each has expired."""
    clock, days = zone(site.tenant), timedelta(days=site.tenant.privacy.backup_days)
    folder = site.settings.backup_folder(site.tenant.slug)
    found = []
    for export in ops.exports():
        made_on = export.at.astimezone(clock).date()
        path = folder / export.destination  # one that is elsewhere is told by its whole path
        if export.kind == BACKUP and (path.exists() or made_on + days > site.today()):
            until = f"{made_on + days:%d/%m/%Y}"
            found.append({"arquivo": export.destination, "ate": until})
    return found


def _logged(erasure: Erasure) -> pl.DataFrame:
    """The actions of an erasure that was not begun, as the log would have them."""
    told = [(one.customer_id, json.dumps(one.payload)) for one in erasure.actions()]
    schema = {"customer_id": pl.String, "payload": pl.String}
    return pl.DataFrame(told, schema=schema, orient="row").with_columns(kind=pl.lit(ERASED))


def _snapshots(site: Site) -> list[Path]:
    return sorted(serving_pointer(site.settings, site.tenant).parent.glob("*.duckdb"))


def _backups(site: Site) -> list[Path]:
    folder = site.settings.store_folder(site.tenant.slug) / "backups"
    return sorted(folder.glob("*.duckdb"))


@contextmanager
def _alone(site: Site) -> Iterator[None]:
    """No round, no refine run, no backup and no restore beside us."""
    with safekeeping(site, PURPOSE), no_rounds(site, PURPOSE):
        yield
