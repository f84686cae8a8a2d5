"""Erasing a person: from every table, file, copy and snapshot, so that nobody brings them back.

The tombstones come first and a journal before them, so that whatever cuts an erasure short, the
person cannot come in again and the next call ends what was begun. At the end everything is searched
for the person, and the certificate tells what was found.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import duckdb
import polars as pl

from crm_assets.bronze.receiving import write_private
from crm_assets.gold.people import reading
from crm_assets.gold.snapshot import serving_pointer
from crm_assets.privacy.certificate import Certificate, write_certificate
from crm_assets.privacy.erased_files import forget_files, searched
from crm_assets.privacy.erased_ops import TABLES as OPS_TABLES
from crm_assets.privacy.erased_ops import forget_ops
from crm_assets.privacy.person import Person, gather
from crm_assets.privacy.scrub import CUSTOMERS, ERASED, mark, masked_log, scrub
from crm_assets.privacy.search import mentions, pattern_of, tables_mentioning
from crm_assets.privacy.tombstones import Tombstones, bury, tombstones_of
from crm_assets.resources import warehouse_of
from crm_assets.rounds import run_lock
from crm_assets.slices import zone
from crm_assets.steps import Site
from crm_resources.locks import hold
from crm_resources.ops import Action, OpsStore
from crm_resources.rewriting import rewrite
from crm_resources.serving import point, snapshot
from crm_resources.warehouse import Transaction

PURPOSE = "crm customers erase"
SNAPSHOTS, BACKUPS = "cópias de leitura (serving), arquivos", "cópias do banco (backups), arquivos"


class ErasureError(RuntimeError):
    """Nothing was erased; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """An erasure as its journal keeps it until it has ended.

    Attributes:
        number: which one.
        surrogate: the random id under which the person's sales go on.
        actor: who does it.
        reason: why.
        began_at: when, ISO.
        person: who.
        found: rows, lines or files of the person, by place.
        destinations: files that listed the person.
        for_good: whether the person must not come back, or only these records.
    """

    number: str
    surrogate: str
    actor: str
    reason: str
    began_at: str
    person: Person = field(repr=False)
    found: dict[str, int]
    destinations: list[dict[str, str]]
    for_good: bool = True

    @property
    def renamed(self) -> list[str]:
        """Customer ids of which nothing stays."""
        return [customer_id for customer_id, is_whole in self.person.customers if is_whole]

    @property
    def customers(self) -> pl.DataFrame:
        """The customers that go, as `scrub` takes them."""
        rows = [(customer, self.surrogate, whole) for customer, whole in self.person.customers]
        return pl.DataFrame(rows, schema=CUSTOMERS, orient="row")


@dataclass(frozen=True)
class Outcome:
    """What became of an erasure.

    Attributes:
        certificate: the readable file.
        found: what went, by place.
        left: where the person was still found.
    """

    certificate: Path
    found: dict[str, int]
    left: dict[str, int]


def erase(
    site: Site,
    customer_id: str,
    refs: Sequence[str],
    *,
    actor: str,
    reason: str,
    for_good: bool = True,
) -> Outcome:
    """Erase the person behind some records of a customer.

    Args:
        site: the tenant.
        customer_id: a live customer.
        refs: those of its records that are the person's; all of them for all of it.
        actor: who does it.
        reason: why, without naming the person.
        for_good: the person must not come back; else only these records must not, so that who
            was forgotten by age may buy or write again.

    Raises:
        Busy: a round runs.
        ErasureError: an earlier erasure has not ended, or the reason names the person.
        KeyUnusable: the key of the tombstones is missing or another one.
    """
    with _alone(site):
        if pending(site):
            raise ErasureError(
                "Um apagamento anterior não terminou: rode `crm customers erase --resume` antes."
            )
        tombstones_of(site.settings, site.tenant, site.ops_store())
        erasure = rehearse(site, customer_id, refs, actor=actor, reason=reason)
        erasure = replace(erasure, for_good=for_good)
        _write_journal(site, erasure)
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
    site: Site, customer_id: str, refs: Sequence[str], *, actor: str = "", reason: str = ""
) -> Erasure:
    """What an erasure would do, without doing it.

    Raises:
        ErasureError: the reason names the person.
    """
    settings, tenant, ops = site.settings, site.tenant, site.ops_store()
    surrogate = f"cus_{uuid4().hex}"
    with reading(settings, tenant) as tx:
        person = gather(tx, customer_id, refs)
        if pattern_of(person.texts).search(reason.casefold()):
            raise ErasureError(
                "--reason cita um dado da pessoa, e o motivo fica guardado: escreva-o sem nome, "
                "e-mail, telefone nem documento."
            )
        theirs = Tombstones(secrets.token_bytes()).over(person.values)
        log = pl.concat(
            [masked_log(ops.actions(), theirs), _logged(person, surrogate)], how="diagonal"
        )
        draft = Erasure(
            number=secrets.token_hex(6),
            surrogate=surrogate,
            actor=actor,
            reason=reason,
            began_at=settings.now().isoformat(),
            person=person,
            found={},
            destinations=_destinations(site, ops, person),
        )
        draft.found.update(scrub(tx, theirs, log, draft.customers))
    draft.found.update(forget_ops(ops, person.texts, draft.renamed, surrogate, dry_run=True))
    draft.found.update(forget_files(settings, tenant, ops, theirs, person.texts, dry_run=True))
    for label, files in ((SNAPSHOTS, _snapshots(site)), (BACKUPS, _backups(site))):
        if files:
            draft.found[label] = len(files)
    return draft


def pending(site: Site) -> Erasure | None:
    """The erasure that has begun and not ended."""
    with suppress(FileNotFoundError):
        told = json.loads(_journal(site).read_text(encoding="utf-8"))
        person = told.pop("person")
        return Erasure(
            **told,
            person=Person(
                records=tuple(person["records"]),
                customers=tuple((customer, whole) for customer, whole in person["customers"]),
                values=frozenset((kind, value) for kind, value in person["values"]),
                texts=tuple(person["texts"]),
                sources=tuple(person["sources"]),
                shared=person["shared"],
            ),
        )
    return None


def _finish(site: Site, erasure: Erasure) -> Outcome:
    """Every step may be done again; none needs what an earlier one took away."""
    settings, tenant, ops, person = site.settings, site.tenant, site.ops_store(), erasure.person
    _drop_drafts(site)
    buried = {(kind, value) for kind, value in person.values if erasure.for_good or kind == "sale"}
    tombstones = bury(settings, tenant, ops, buried).over(person.values)
    ops.append_actions([_action(erasure)])
    forget_ops(ops, person.texts, erasure.renamed, erasure.surrogate)
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
    forget_files(settings, tenant, ops, tombstones, person.texts)
    shutil.rmtree(settings.store_folder(tenant.slug) / "tmp", ignore_errors=True)
    compacted = ops.compact()
    left = _left(site, ops, person.texts)
    certificate = Certificate(
        number=erasure.number,
        actor=erasure.actor,
        reason=erasure.reason,
        began_at=datetime.fromisoformat(erasure.began_at),
        ended_at=settings.now(),
        records=len(person.records),
        tombstones=len(buried),
        shared=person.shared,
        found=erasure.found,
        left=left,
        destinations=erasure.destinations,
        sources=person.sources,
        postgres=not compacted,
    )
    path = write_certificate(settings, tenant, certificate)
    if not left:
        _journal(site).unlink()
    return Outcome(path, erasure.found, left)


def _drop_drafts(site: Site) -> None:
    """Half-written databases that a kill left behind; nobody else writes now."""
    store = site.settings.store_folder(site.tenant.slug)
    for folder in (store, store / "serving", store / "backups"):
        for draft in folder.glob(".*"):
            if draft.is_file():
                draft.unlink()


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
        if path != _journal(site) and mentions(path, pattern):
            folder = str(path.parent.relative_to(site.settings.home))
            left[folder] = left.get(folder, 0) + 1
    return left


def _destinations(site: Site, ops: OpsStore, person: Person) -> list[dict[str, str]]:
    clock = zone(site.tenant)
    return [
        {
            "lista": row["kind"],
            "arquivo": row["destination"],
            "quando": f"{row['at'].astimezone(clock):%d/%m/%Y %H:%M}",
            "por": row["actor"],
        }
        for row in ops.exports_of([customer_id for customer_id, _ in person.customers])
    ]


def _action(erasure: Erasure) -> Action:
    return Action(
        kind=ERASED,
        idempotency_key=f"{ERASED}:{erasure.number}",
        customer_id=erasure.surrogate,
        payload={"records": list(erasure.person.records)},
        actor=erasure.actor,
        reason=erasure.reason,
        at=datetime.fromisoformat(erasure.began_at),
    )


def _logged(person: Person, surrogate: str) -> pl.DataFrame:
    """The action of an erasure that was not begun, as the log would have it."""
    payload = json.dumps({"records": list(person.records)})
    return pl.DataFrame({"kind": [ERASED], "customer_id": [surrogate], "payload": [payload]})


def _snapshots(site: Site) -> list[Path]:
    return sorted(serving_pointer(site.settings, site.tenant).parent.glob("*.duckdb"))


def _backups(site: Site) -> list[Path]:
    folder = site.settings.store_folder(site.tenant.slug) / "backups"
    return sorted(folder.glob("*.duckdb"))


def _journal(site: Site) -> Path:
    return site.settings.store_folder(site.tenant.slug) / "erasure.json"


def _write_journal(site: Site, erasure: Erasure) -> None:
    told = asdict(erasure)
    told["person"]["values"] = sorted(erasure.person.values)
    write_private(_journal(site), json.dumps(told).encode())


@contextmanager
def _alone(site: Site) -> Iterator[None]:
    """No round and no refine run beside us."""
    lock = run_lock(site)
    with hold(lock, PURPOSE, 0), hold(lock.with_name("refine.lock"), PURPOSE, 0):
        yield
