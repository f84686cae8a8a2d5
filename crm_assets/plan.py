"""What is due: the pure plan that the command, the schedules and the sensors share (design 10).

Nothing here reads a store or a clock; everything is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import chain

from crm_assets.settings import Environment, SettingsError
from crm_assets.slices import end_of_day, month_keys, month_of, start_of_day, zone
from crm_assets.tenants import Tenant
from crm_resources.ops import Load

REFUSALS_SHOWN_DAYS = 30
PAGE_ROWS = 500
HOTMART_SOURCES = (
    "hotmart_transactions",
    "hotmart_customers",
    "hotmart_commissions",
    "hotmart_price_details",
    "hotmart_subscription_transactions",
)
SOURCES_OF = {
    "hotmart": HOTMART_SOURCES,
    "subscriptions": ("hotmart_subscriptions",),
    "events": ("events",),
    "hotmart_csv": ("hotmart_csv",),
    "manychat": ("manychat",),
    "actions": ("actions",),
}
"""Sources in the loads ledger by ingest job, in the order of the daily round."""

OCCASIONAL = frozenset({"hotmart_csv", "events"})
"""Sources that nobody misses: not mentioned before they were used."""

WINDOW_START_TAG = "crm/window_start"
WINDOW_END_TAG = "crm/window_end"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class IngestRequest:
    """One run of one source: a contiguous stretch of partitions, or none for a whole source.

    Attributes:
        source: name of the ingest job.
        slices: the partitions, in their order.
        window: the part of them to read, when not all.
        note: what a person should know about this request.
    """

    source: str
    slices: tuple[str, ...] = ()
    window: tuple[datetime, datetime] | None = None
    note: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """Run tags that say the same to Dagster."""
        tags: dict[str, str] = {}
        if self.slices:
            tags |= {RANGE_START_TAG: self.slices[0], RANGE_END_TAG: self.slices[-1]}
        if self.window:
            start, end = self.window
            tags |= {WINDOW_START_TAG: start.isoformat(), WINDOW_END_TAG: end.isoformat()}
        return tags


@dataclass(frozen=True)
class Landed:
    """What the operations store knows when a plan is made.

    Attributes:
        loads: the latest load of every slice.
        last_action_id: newest action in the log.
        due_events: whether something in the inbox waits to be taken.
        file_keys: by source, the dynamic partitions of its files, in Dagster's order.
    """

    loads: Sequence[Load] = ()
    last_action_id: int = 0
    due_events: bool = False
    file_keys: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of(self, source: str) -> dict[str, Load]:
        """Latest loads of one source by slice."""
        return {load.slice: load for load in self.loads if load.source == source}


def plan_hotmart(
    tenant: Tenant, environment: Environment, now: datetime, landed: Landed, job: str = "hotmart"
) -> list[IngestRequest]:
    """Slices to read now: `prd` incremental, `hml` the previous month, `dev` yesterday (rules 1.1).

    Incremental means the slices of sales that `due_slices` names; a subscription of any age may
    change any day, so that all of theirs are read.

    Args:
        tenant: whose account.
        environment: which of the three worlds.
        now: the present.
        landed: what is known.
        job: `hotmart` for sales, or `subscriptions`.

    Raises:
        SettingsError: `prd` has no start date, or there is nothing to read after it.
    """
    today = now.astimezone(zone(tenant)).date()
    first = tenant.hotmart.start_date
    if first is None and environment is Environment.PRD:
        raise SettingsError(
            f"Falta HOTMART_START_DATE (AAAA-MM-DD) da empresa {tenant.slug}: "
            "sem ela não se sabe desde quando ler."
        )
    wanted = {
        Environment.DEV: today - timedelta(days=1),
        Environment.HML: month_of(today) - timedelta(days=1),
        Environment.PRD: today,
    }[environment]
    if first and month_of(first) > wanted:
        raise SettingsError(
            f"HOTMART_START_DATE ({first}) da empresa {tenant.slug} vem depois do que o ambiente "
            f"{environment} lê hoje ({wanted}): não há o que ler."
        )
    if environment is Environment.DEV:
        return [_one_day(tenant, job, wanted)]
    if environment is Environment.HML:
        key = month_of(wanted).isoformat()
        return [IngestRequest(job, (key,), note="mês anterior inteiro")]
    assert first
    last = min(today, tenant.hotmart.end_date or today)
    keys = month_keys(first, last)
    due = keys
    if job == "hotmart":
        due = due_slices(tenant, keys, now, [landed.of(source) for source in HOTMART_SOURCES])
    return [IngestRequest(job, stretch) for stretch in stretches(due, keys)]


def due_slices(
    tenant: Tenant, keys: Sequence[str], now: datetime, held: Sequence[Mapping[str, Load]]
) -> list[str]:
    """Slices without a complete read, touched by late changes, or not re-read for a week.

    Args:
        tenant: whose settings say how far changes reach back.
        keys: the slices that exist.
        now: the present.
        held: per endpoint, the latest load of each slice.
    """
    today = now.astimezone(zone(tenant)).date()
    fresh_from = month_of(today - timedelta(days=tenant.hotmart.refresh_days)).isoformat()
    stale_before = now - timedelta(days=tenant.hotmart.full_refresh_days)
    return [
        key
        for key in keys
        if key >= fresh_from
        or any(
            key not in loads or not is_complete(tenant, loads[key]) or loads[key].at <= stale_before
            for loads in held
        )
    ]


def estimated_calls(request: IngestRequest, landed: Landed) -> int:
    """Pages that a Hotmart request will ask for, by what each slice held the last time."""
    held = [landed.of(source) for source in SOURCES_OF[request.source]]
    return sum(
        1 + (loads[key].rows if key in loads else 0) // PAGE_ROWS
        for loads in held
        for key in request.slices
    )


def is_complete(tenant: Tenant, load: Load) -> bool:
    """Whether a load read its whole month, or all of it up to the configured last day."""
    end = tenant.hotmart.end_date
    month = date.fromisoformat(load.slice)
    if end is None or month_of(end) != month:
        return load.complete
    return load.complete or (
        load.window_start is not None
        and load.window_end is not None
        and load.window_start <= start_of_day(tenant, month)
        and load.window_end >= end_of_day(tenant, end)
    )


def plan_files(source: str, landed: Landed) -> list[IngestRequest]:
    """Files received and not yet landed; those refused wait until they change."""
    waiting = {load.slice for load in landed.of(source).values() if load.status == "received"}
    known = landed.file_keys.get(source, ())
    keys = [*known, *sorted(waiting - set(known))]
    due = [key for key in keys if key in waiting]
    return [IngestRequest(source, stretch) for stretch in stretches(due, keys)]


def plan_actions(landed: Landed) -> list[IngestRequest]:
    """The action log, when it grew since it was last read."""
    load = landed.of("actions").get("all")
    known = (
        load is not None
        and load.status == "landed"
        and load.content_sha256 == str(landed.last_action_id)
    )
    return [] if known else [IngestRequest("actions")]


def plan_events(landed: Landed) -> list[IngestRequest]:
    """What was posted to us, when something waits or the warehouse lost a day of it."""
    is_lost = any(load.status == "received" for load in landed.of("events").values())
    return [IngestRequest("events")] if landed.due_events or is_lost else []


def source_ages(loads: Iterable[Load]) -> dict[str, datetime | None]:
    """When each source last landed anything; None when it never did."""
    expected = [s for s in chain.from_iterable(SOURCES_OF.values()) if s not in OCCASIONAL]
    last: dict[str, datetime | None] = dict.fromkeys(expected)
    for load in loads:
        if load.status == "landed":
            last[load.source] = max(last.get(load.source) or load.at, load.at)
    return last


def refused_files(loads: Iterable[Load], now: datetime) -> list[Load]:
    """Contact files whose content was refused in the last month, the newest last."""
    recent = now - timedelta(days=REFUSALS_SHOWN_DAYS)
    refused = [load for load in loads if load.status == "refused" and load.at > recent]
    return sorted(refused, key=lambda load: load.at)


def stretches(due: Iterable[str], keys: Sequence[str]) -> list[tuple[str, ...]]:
    """Split the due keys into runs of neighbours in `keys`."""
    position = {key: index for index, key in enumerate(keys)}
    found: list[list[str]] = []
    for key in due:
        if found and position[found[-1][-1]] == position[key] - 1:
            found[-1].append(key)
        else:
            found.append([key])
    return [tuple(stretch) for stretch in found]


def refine_reason(
    *,
    now: datetime,
    due_at: datetime,
    ingest_ended_at: float,
    refine_created_at: float,
    refined_today: bool,
) -> str | None:
    """Why a refine run is due, or None (design 10).

    Args:
        now: the present.
        due_at: instant of today's daily round.
        ingest_ended_at: epoch seconds of the last end of an ingest run; 0 when there was none.
        refine_created_at: epoch seconds of the last refine run's creation; 0 likewise.
        refined_today: a refine run of today's partition exists.
    """
    if ingest_ended_at > refine_created_at:
        return f"depois-de-{ingest_ended_at:.3f}"
    if now >= due_at and not refined_today:
        return f"dia-{due_at.date()}"
    return None


def daily_instant(tenant: Tenant, schedule_time: time, day: date) -> datetime:
    """The instant of a day's round."""
    return datetime.combine(day, schedule_time, zone(tenant))


def _one_day(tenant: Tenant, job: str, day: date) -> IngestRequest:
    return IngestRequest(
        job,
        (month_of(day).isoformat(),),
        window=(start_of_day(tenant, day), end_of_day(tenant, day)),
        note="só ontem; use prd ou um backfill",
    )
