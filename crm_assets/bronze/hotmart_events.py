"""Events from the inbox to bronze: each once, whatever dies in between.

A batch is read, typed and committed with its rejects and its ledger row; only then the inbox learns
what became of each event. Dying between the two is harmless, since the same event takes its own
place in bronze again. Unknown events, and those dated ahead of their time, stand in bronze without
a kind, so that nothing is lost.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import dagster as dg
import polars as pl

from crm_assets.bronze.enriching import enrich
from crm_assets.bronze.event_bodies import AHEAD_OF_TIME, NOVELTY, Body, read_batch
from crm_assets.bronze.hotmart_event_rows import CREATED
from crm_assets.bronze.landing import ERASED, BrokenContract, record_landing
from crm_assets.bronze.ledger import to_read_again
from crm_assets.bronze.manychat import CONTACTS
from crm_assets.bronze.manychat_file import FUTURE
from crm_assets.bronze.manychat_requests import read_post
from crm_assets.bronze.receiving import MANYCHAT
from crm_assets.checks.contract import Verdict, check_frame
from crm_assets.checks.events import HotmartEvents
from crm_assets.privacy.posted import facts_of_body
from crm_assets.privacy.scrub import hide_rejects, shield
from crm_assets.privacy.tombstones import KeyUnusable, Tombstones, tombstones_of
from crm_assets.slices import end_of_day, start_of_day, zone
from crm_assets.steps import DATABASE_ERRORS, Events, Metadata, Site, Table, check_results, newest
from crm_resources.ops import InboxEvent, Load, OpsStore, Outcome
from crm_resources.warehouse import BadValueError, Transaction

SOURCE = "events"
HOTMART = "hotmart"
KINDS = (HOTMART, MANYCHAT)
EVENTS = Table(
    "bronze.hotmart_events",
    HotmartEvents,
    "Eventos que a Hotmart mandou por webhook, uma linha por evento, como vieram; os que o "
    "programa não conhece, sem tipo. O que o ManyChat manda vai para os contatos do ManyChat.",
)

AT_ONCE = 10_000
"""Events of one transaction."""

NOVELTY_DAYS = 30
_MAX_ATTEMPTS = 3
_UNTYPED = "valores que não cabem na tabela"
_GONE = "os eventos deste dia já saíram da caixa de entrada e o banco os perdeu"


def event_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The step that takes what is due from the inbox."""

    @dg.multi_asset(
        name=site.op_name("hotmart_events"),
        specs=[site.spec(EVENTS, kinds={"hotmart", "duckdb"})],
        check_specs=[site.contract_spec(EVENTS)],
        required_resource_keys=site.resource_keys("warehouse", "ops", "hotmart"),
    )
    def hotmart_events(context: dg.AssetExecutionContext) -> Events:
        ingest = _Ingest(site, context)
        try:
            ingest.run()
        except (KeyUnusable, BrokenContract, *DATABASE_ERRORS) as error:
            raise dg.Failure(
                f"Os eventos não entraram e esperam na caixa de entrada: {error}",
                allow_retries=False,
            ) from None
        passed = Verdict("contract", passed=True, metadata={"linhas": ingest.landed[EVENTS.name]})
        yield dg.MaterializeResult(
            asset_key=site.key(EVENTS.name),
            metadata=ingest.metadata(),
            check_results=check_results(site, {EVENTS.name: [passed]})[EVENTS.name],
        )

    return [hotmart_events]


@dataclass
class _Batch:
    """What one transaction is to write, and what the inbox is to learn of it afterwards.

    `forgotten` are the facts that stay, by event, of what was posted about somebody erased.
    """

    table: Table
    key: str
    replaced: str
    rows: pl.DataFrame
    rejects: pl.DataFrame
    outcomes: list[Outcome]
    novelties: Counter[tuple[str, str]] = field(default_factory=Counter)
    forgotten: dict[int, dict[str, str]] = field(default_factory=dict)


class _Ingest:
    """One run: takes batches until nothing is due."""

    def __init__(self, site: Site, context: dg.AssetExecutionContext) -> None:
        self.site = site
        self.context = context
        self.warehouse = site.warehouse(context)
        self.ops: OpsStore = site.ops(context)
        self.now = site.settings.now()
        self.stamp = site.run_began_at(context)
        self.landed: Counter[str] = Counter()
        self.erased = 0
        self.states: Counter[str] = Counter()
        self.why: Counter[str] = Counter()
        self.rejected = 0
        self.loads: dict[str, Load] = {}
        self.novelties: list[str] = []
        self.age: Metadata = {}
        self.enriched: Metadata = {}

    def run(self) -> None:
        """Land what is due, then ask the API about sales it has not told us of."""
        lost = self._recall()
        for kind in KINDS:
            while events := self.ops.due_events(kind, self.now, AT_ONCE):
                self._take(kind, events)
        for load in self.loads.values():
            self.ops.record_load(load)
        for load in lost:
            if load.slice not in self.loads:
                self.ops.record_load(_undone(load))
        if self.erased:
            self.ops.compact()
        self._tell_novelties()
        self.enriched = asyncio.run(enrich(self.site, self.context, self.stamp))

    def metadata(self) -> Metadata:
        """What the run did, in counts and names."""
        return {
            "dagster/row_count": self.landed[EVENTS.name],
            **self.age,
            **{_STATES[state]: count for state, count in sorted(self.states.items())},
            **{f"ignorados: {why}": count for why, count in sorted(self.why.items())},
            "rejeitados": self.rejected,
            "contatos do ManyChat": self.landed[CONTACTS.name],
            **({ERASED: self.erased} if self.erased else {}),
            "nomes sem documentação (30 dias)": ", ".join(self.novelties) or "nenhum",
            **self.enriched,
        }

    def _recall(self) -> list[Load]:
        """Ask the inbox again for the days that a lost warehouse took with it."""
        lost = [load for load in self.ops.loads(SOURCE) if load.status == "received"]
        for load in lost:
            kind, _, day = load.slice.partition(":")
            start, end = (of(self.site.tenant, date.fromisoformat(day)) for of in _DAY)
            self.ops.replay(kind, start, end + timedelta(milliseconds=1))
        return lost

    def _take(self, kind: str, events: Sequence[InboxEvent]) -> None:
        """Land a batch; one that a value spoils is halved, so that only that event fails."""
        try:
            batch = self._commit(kind, events, self._posts if kind == MANYCHAT else self._events)
        except (BadValueError, BrokenContract):
            if len(events) > 1:
                middle = len(events) // 2
                self._take(kind, events[:middle])
                self._take(kind, events[middle:])
                return
            batch = self._commit(kind, events, _refused)
        if batch.forgotten:
            self.ops.rewrite("inbox", batch.forgotten)
        self.ops.settle(batch.outcomes, self.now)
        self.states.update(outcome.state for outcome in batch.outcomes)
        self.why.update(o.error or "" for o in batch.outcomes if o.state == "ignored")

    def _commit(
        self,
        kind: str,
        events: Sequence[InboxEvent],
        read: Callable[[Transaction, Sequence[InboxEvent]], _Batch],
    ) -> _Batch:
        """Write what a batch says in one transaction."""
        with self.warehouse.write(f"eventos de {kind}") as tx:
            tombstones = tombstones_of(self.site.settings, self.site.tenant, self.ops)
            batch = read(tx, events)
            self._write(tx, kind, events, batch, tombstones)
            if kind == HOTMART:
                self.age = newest(self.site, tx, EVENTS)
        return batch

    def _events(self, tx: Transaction, events: Sequence[InboxEvent]) -> _Batch:
        bodies, read = read_batch(tx, events)
        unread = read.select(pl.col("event_id").alias("place"), "unread").explode("unread")
        unread = unread.drop_nulls().unnest("unread")
        late = pl.col("field") == CREATED, pl.col("reason") == FUTURE
        future = dict.fromkeys(unread.filter(late)["place"], AHEAD_OF_TIME)
        return _Batch(
            EVENTS,
            "event_id",
            "event_id IN (SELECT event_id FROM incoming)",
            read.drop("unread"),
            pl.concat([_dead(bodies), unread]),
            [
                _outcome(body.event, body.ignored or future.get(body.event.event_key), body.failure)
                for body in bodies
            ],
            Counter(novelty for body in bodies for novelty in body.novelties),
        )

    def _posts(self, _: Transaction, events: Sequence[InboxEvent]) -> _Batch:
        posts = [read_post(event, self.site.tenant.timezone, self.now) for event in events]
        told = [
            post.row.with_columns(received_at=pl.lit(event.received_at))
            for post, event in zip(posts, events, strict=True)
            if post.row is not None
        ]
        bodies = [Body(e, failure=p.failure) for e, p in zip(events, posts, strict=True)]
        return _Batch(
            CONTACTS,
            "line",
            "slice IN (SELECT slice FROM incoming) AND line IN (SELECT line FROM incoming)",
            pl.concat(told) if told else pl.DataFrame(),
            pl.concat([_dead(bodies), *(post.rejects for post in posts)]),
            [_outcome(e, p.ignored, p.failure) for e, p in zip(events, posts, strict=True)],
        )

    def _write(
        self,
        tx: Transaction,
        kind: str,
        events: Sequence[InboxEvent],
        batch: _Batch,
        tombstones: Tombstones,
    ) -> None:
        """Rows, rejects and ledger rows of a batch, each in its place once."""
        slice_of = {event.id: self._slice(kind, event) for event in events}
        rows, rejects = batch.rows, batch.rejects
        if not rows.is_empty():
            rows = self._stamped(rows, batch.table, slice_of)
            rows, erased = shield(batch.table.name, rows, tombstones)
            hidden = batch.rows[batch.key].cast(pl.String).filter(erased)
            rejects = hide_rejects(rejects, hidden, tombstones)
            verdict = check_frame(rows, batch.table.contract)
            if not verdict.passed:
                raise BrokenContract(verdict)
            tx.execute(f"DELETE FROM {batch.table.name} WHERE {batch.replaced}", incoming=rows)
            tx.append(batch.table.name, rows)
            self.landed[batch.table.name] += len(rows)
            self.erased += int(erased.sum())
            number = "line" if batch.table is CONTACTS else "inbox_id"
            body_of = {event.id: event.body for event in events}
            batch.forgotten = {
                id_: {"body": facts_of_body(body_of[id_])}
                for id_ in batch.rows[number].filter(erased)
            }
        for key in sorted(set(slice_of.values())):
            places = [_place(event) for event in events if slice_of[event.id] == key]
            self._record(tx, batch.table, key, rejects, places)
        if batch.novelties:
            self._note(tx, batch.novelties)

    def _slice(self, kind: str, event: InboxEvent) -> str:
        return f"{kind}:{event.received_at.astimezone(zone(self.site.tenant)):%Y-%m-%d}"

    def _stamped(
        self, rows: pl.DataFrame, table: Table, slice_of: Mapping[int | None, str]
    ) -> pl.DataFrame:
        """Rows with where they came from; a contact counts from the moment it was posted."""
        number, read_at = pl.col("inbox_id"), pl.lit(self.stamp)
        if table is CONTACTS:
            number, read_at = pl.col("line"), pl.col("received_at")
        stamped = rows.with_columns(
            slice=number.replace_strict(slice_of, return_dtype=pl.String),
            extracted_at=read_at,
            run_id=pl.lit(self.context.run.run_id),
        )
        return stamped.drop("received_at") if table is CONTACTS else stamped

    def _record(
        self, tx: Transaction, table: Table, key: str, rejects: pl.DataFrame, places: list[str]
    ) -> None:
        """The ledger row of a day, in the transaction of its rows."""
        own = rejects.filter(pl.col("place").is_in(places))
        at = pl.Series("place", places, dtype=pl.String)
        before = tx.scalar(_LANDED_BEFORE, [SOURCE, key])
        elsewhere = tx.scalar(_REJECTED_ELSEWHERE, [SOURCE, key], places=at.to_frame())
        self.rejected += len(own)
        load = Load(
            source=SOURCE,
            slice=key,
            file_name=f"eventos {key}",
            rows=tx.scalar(f"SELECT count(*) FROM {table.name} WHERE slice = ?", [key]),
            rejected=len(own) + elsewhere,
            status="landed",
            complete=False,
            verified=True,
            run_id=self.context.run.run_id,
            at=max(self.stamp, before or self.stamp),  # a run that began later may have ended first
        )
        record_landing(tx, load, own, at)
        self.loads[key] = load

    def _note(self, tx: Transaction, novelties: Counter[tuple[str, str]]) -> None:
        seen = pl.DataFrame(
            [(*name, count, self.stamp, self.stamp) for name, count in novelties.items()],
            schema=_NOVELTIES,
            orient="row",
        )
        tx.replace_table("bronze.event_novelties", _ADD_UP, seen=seen)

    def _tell_novelties(self) -> None:
        """Keep one open incident with the names of the last month; only a new one is news."""
        known = self.warehouse.read(_RECENT, [self.now, NOVELTY_DAYS]).to_series().to_list()
        self.novelties = known
        detail = f"{', '.join(known)}."
        told = [i.detail for i in self.ops.open_incidents() if i.kind == NOVELTY]
        if not known:
            self.ops.close_incident(NOVELTY, SOURCE, self.now)
        elif not told:
            self.ops.open_incident(NOVELTY, SOURCE, detail, self.now)
        elif told[0] != detail:
            is_news = not set(known) <= set(told[0].removesuffix(".").split(", "))
            self.ops.change_incident(NOVELTY, SOURCE, detail, news=is_news)


def _refused(_: Transaction, events: Sequence[InboxEvent]) -> _Batch:
    """A single event whose values the database refused."""
    return _Batch(
        EVENTS,
        "event_id",
        "false",
        pl.DataFrame(),
        _dead([Body(event, failure=_UNTYPED) for event in events]),
        [_outcome(event, None, _UNTYPED) for event in events],
    )


def _place(event: InboxEvent) -> str:
    """Where an event stands in the rejects."""
    return event.event_key if event.kind == HOTMART else str(event.id)


def _outcome(event: InboxEvent, ignored: str | None, failure: str | None) -> Outcome:
    if event.id is None:
        raise ValueError("an event of the inbox has an id")
    if failure:
        return Outcome(id=event.id, state="failed", error=failure)
    return Outcome(id=event.id, state="ignored" if ignored else "processed", error=ignored)


def _dead(bodies: Iterable[Body]) -> pl.DataFrame:
    """Rejects of the events that this failure makes dead."""
    return pl.DataFrame(
        [
            (_place(body.event), "body", "evento_ilegivel", body.event.body)
            for body in bodies
            if body.failure and body.event.attempts + 1 >= _MAX_ATTEMPTS
        ],
        schema=dict.fromkeys(("place", "field", "reason", "raw"), pl.String),
        orient="row",
    )


def _undone(load: Load) -> Load:
    return replace(to_read_again(load), status="undone", reason=_GONE)


_DAY = (start_of_day, end_of_day)
_STATES = {"processed": "processados", "ignored": "ignorados", "failed": "com falha"}
_NOVELTIES = pl.Schema(
    {
        "what": pl.String(),
        "name": pl.String(),
        "events": pl.Int64(),
        "first_seen_at": pl.Datetime("us", "UTC"),
        "last_seen_at": pl.Datetime("us", "UTC"),
    }
)
_LANDED_BEFORE = "SELECT max(landed_at) FROM bronze.loads WHERE source = ? AND slice = ?"
_REJECTED_ELSEWHERE = """
    SELECT count(*) FROM bronze.rejects
    WHERE source = ? AND slice = ? AND place NOT IN (SELECT place FROM places)
"""
_ADD_UP = """
    SELECT what, name, sum(events)::BIGINT AS events, min(first_seen_at) AS first_seen_at,
           max(last_seen_at) AS last_seen_at
    FROM (FROM bronze.event_novelties UNION ALL BY NAME FROM seen) GROUP BY what, name
"""
_RECENT = """
    SELECT what || ' ' || name FROM bronze.event_novelties
    WHERE last_seen_at::DATE > ?::TIMESTAMPTZ::DATE - ?::INTEGER ORDER BY first_seen_at, what, name
"""
