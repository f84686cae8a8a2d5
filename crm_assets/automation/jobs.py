"""Jobs, schedules and sensors of one tenant: what makes a round happen without a person.

A round is one run per ingest source and then one `refine` run (design 10). What is due is decided
by the pure functions of `plan.py`; here stands only the wiring to Dagster. Everything is off until
it is switched on in the UI, by the tenant file (`schedules_on`) or by `crm dev`.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import time

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from crm_assets.automation.alerts import RUN_FAILED
from crm_assets.automation.events import are_due, events_sensor, events_sweep
from crm_assets.automation.files import contact_files_sensor, contact_sheet_sensor
from crm_assets.automation.notify import report
from crm_assets.automation.runs import (
    ACTIVE,
    BY_COMMAND,
    BY_TAG,
    ROUND_TAG,
    STAGE_TAG,
    TENANT_TAG,
    job_name,
    runs_of,
)
from crm_assets.automation.watch import watch
from crm_assets.bronze.receiving import FILE_SOURCES, MANYCHAT
from crm_assets.gold.churn_report import CHURN_REPORT
from crm_assets.plan import (
    HOTMART_SOURCES,
    SOURCES_OF,
    IngestRequest,
    Landed,
    daily_instant,
    plan_actions,
    plan_events,
    plan_files,
    plan_hotmart,
    refine_reason,
)
from crm_assets.settings import SettingsError
from crm_assets.silver.access import ACCESS_TABLES
from crm_assets.silver.audit import audit_key
from crm_assets.steps import Site
from crm_resources.ops import OpsStore

SOURCES = tuple(SOURCES_OF)
"""Ingest jobs, in the order of the daily round."""

DAILY = {
    "hotmart": "Todo dia, lê da Hotmart os meses que faltam e os dos últimos 90 dias.",
    "subscriptions": "Todo dia, lê da Hotmart todas as assinaturas, que mudam em qualquer idade.",
}
"""Ingest jobs with a schedule of their own, and what it does."""

HOUSEKEEPING = {
    "retention": ("0 4 * * *", "Todo dia, apaga o que passou do prazo de guarda."),
    "cleanup": ("0 4 1 * *", "No dia 1, arquiva os eventos processados há mais de um ano."),
    "backup": ("30 5 * * *", "Todo dia, faz a cópia de segurança e a confere."),
}
"""Jobs without a source by stage: when, and what it does."""

BY_THE_CLOCK = {
    "identity_audit": ("0 5 * * 0", "Todo domingo, resolve tudo de novo e compara."),
    "access": ("20 * * * *", "Toda hora, revê os acessos que vencem pelo relógio."),
    "churn": ("0 3 * * 0", "Todo domingo, analisa o churn e quem está em risco."),
}
"""Jobs on assets of their own, told in the same way."""

SCHEDULES_ON = "CRM_SCHEDULES_ON"
ACTIONS_EVERY_SECONDS = 15 * 60

_NEWEST_LOADS = 10
_BRONZE_OF = {
    "hotmart": tuple(f"bronze.{source}" for source in HOTMART_SOURCES),
    "subscriptions": ("bronze.hotmart_subscriptions",),
    "events": ("bronze.hotmart_events",),
    "hotmart_csv": ("bronze.hotmart_csv",),
    "manychat": ("bronze.manychat_contacts",),
    "actions": ("bronze.crm_actions",),
}


def automation(
    site: Site, assets: Sequence[dg.AssetsDefinition], housekeeping: Mapping[str, dg.JobDefinition]
) -> dg.Definitions:
    """Jobs, schedules and sensors of one tenant.

    Args:
        site: the tenant.
        assets: all of its assets.
        housekeeping: the jobs of `HOUSEKEEPING`, which know of the rounds, above this.
    """
    ingest = {
        source: dg.define_asset_job(
            job_name(site, source),
            selection=dg.AssetSelection.assets(*(site.key(table) for table in tables)),
            description=f"Lê {source} e guarda como veio.",
            tags={TENANT_TAG: site.tenant.slug, STAGE_TAG: "ingest"},
        )
        for source, tables in _BRONZE_OF.items()
    }
    bronze = {site.key(table) for tables in _BRONZE_OF.values() for table in tables}
    apart = {*bronze, site.key(CHURN_REPORT.name)}
    refined = [key for asset in assets for key in asset.keys if key not in apart]
    refine = dg.define_asset_job(
        job_name(site, "refine"),
        selection=dg.AssetSelection.assets(*refined) - dg.AssetSelection.checks(audit_key(site)),
        description="Refaz cadastro, públicos, lote do dia, cópia de leitura e arquivos.",
        tags={TENANT_TAG: site.tenant.slug, STAGE_TAG: "refine"},
    )
    others: dict[str, UnresolvedAssetJobDefinition | dg.JobDefinition] = {
        stage: dg.define_asset_job(
            job_name(site, stage),
            selection=selection,
            description=BY_THE_CLOCK[stage][1],
            tags={TENANT_TAG: site.tenant.slug},
        )
        for stage, selection in {
            "identity_audit": dg.AssetSelection.checks(audit_key(site)),
            "access": dg.AssetSelection.assets(*(site.key(table.name) for table in ACCESS_TABLES)),
            "churn": dg.AssetSelection.assets(site.key(CHURN_REPORT.name)),
        }.items()
    }
    others |= housekeeping
    wiring = _Automation(site)
    return dg.Definitions(
        jobs=[*ingest.values(), refine, *others.values()],
        schedules=[
            *(wiring.daily(source, ingest[source]) for source in DAILY),
            events_sweep(site, ingest["events"], wiring.schedule_status),
            *(
                wiring.at(cron, others[stage], description)
                for stage, (cron, description) in {**BY_THE_CLOCK, **HOUSEKEEPING}.items()
            ),
        ],
        sensors=[
            *wiring.contacts(ingest[MANYCHAT]),
            events_sensor(site, ingest["events"], wiring.sensor_status),
            wiring.crm_actions(ingest["actions"]),
            wiring.refine_after_ingest(refine),
            wiring.catch_up(ingest),
            *watch(
                site,
                {**ingest, "refine": refine, **others},
                wiring.sensor_status,
            ),
        ],
    )


def landed(site: Site, ops: OpsStore, instance: dg.DagsterInstance) -> Landed:
    """What the plan needs to know."""
    return Landed(
        loads=ops.loads(),
        last_action_id=ops.last_action_id(),
        due_events=are_due(ops, site.settings.now()),
        file_keys={
            source: instance.get_dynamic_partitions(files.name or "")
            for source, files in site.partitions.files_of.items()
        },
    )


def plan(site: Site, source: str, known: Landed) -> list[IngestRequest]:
    """The ingest requests of one source now.

    Raises:
        SettingsError: the source cannot be planned; the message names the setting.
    """
    if source in DAILY and site.tenant.hotmart.enabled:
        settings = site.settings
        return plan_hotmart(site.tenant, settings.environment, settings.now(), known, source)
    if source in FILE_SOURCES and (source != MANYCHAT or site.tenant.manychat.enabled):
        return plan_files(source, known)
    if source == "events":
        return plan_events(known)
    return plan_actions(known) if source == "actions" else []


@dataclass(frozen=True)
class _Automation:
    """Builds the schedules and sensors of one tenant."""

    site: Site

    @property
    def _on(self) -> bool:
        return self.site.tenant.schedules_on or os.environ.get(SCHEDULES_ON, "0") not in {"", "0"}

    @property
    def schedule_status(self) -> dg.DefaultScheduleStatus:
        """Whether schedules are on when the location loads."""
        status = dg.DefaultScheduleStatus
        return status.RUNNING if self._on else status.STOPPED

    @property
    def sensor_status(self) -> dg.DefaultSensorStatus:
        """Whether sensors are on when the location loads."""
        status = dg.DefaultSensorStatus
        return status.RUNNING if self._on else status.STOPPED

    def daily(self, source: str, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
        """The daily read of one of Hotmart's jobs at `SCHEDULE_TIME`, in the tenant's zone."""
        at = self.site.settings.schedule_time

        @dg.schedule(
            name=f"{job_name(self.site, source)}_daily",
            job=job,
            cron_schedule=f"{at.minute} {at.hour} * * *",
            execution_timezone=self.site.tenant.timezone,
            default_status=self.schedule_status,
            required_resource_keys=self.site.resource_keys("ops"),
            description=DAILY[source],
        )
        def daily(
            context: dg.ScheduleEvaluationContext,
        ) -> Iterator[dg.RunRequest | dg.SkipReason]:
            try:
                yield from self._requests(
                    source, self.site.ops(context), context.scheduled_execution_time
                )
            except SettingsError as error:
                yield dg.SkipReason(str(error))

        return daily

    def at(
        self, cron: str, job: dg.JobDefinition | UnresolvedAssetJobDefinition, description: str
    ) -> dg.ScheduleDefinition:
        """A job at fixed times in the tenant's zone."""
        return dg.ScheduleDefinition(
            name=f"{job.name}_schedule",
            job=job,
            cron_schedule=cron,
            execution_timezone=self.site.tenant.timezone,
            default_status=self.schedule_status,
            description=description,
        )

    def catch_up(self, jobs: Mapping[str, UnresolvedAssetJobDefinition]) -> dg.SensorDefinition:
        """Today's daily reads, when their time has passed and nobody asked for them.

        Dagster makes a missed tick up once, but only of a schedule that was on before; here is
        what it does not know of: a first start, a schedule switched on late. A read is missing
        when two looks find no run of it, so that Dagster comes first.
        """
        site = self.site

        @dg.sensor(
            name=f"{job_name(site, 'daily')}_catch_up",
            jobs=[jobs[source] for source in DAILY],
            minimum_interval_seconds=120,
            default_status=self.sensor_status,
            required_resource_keys=site.resource_keys("ops"),
            description="Faz a leitura de hoje que já passou da hora e ninguém pediu.",
        )
        def catch_up(context: dg.SensorEvaluationContext) -> dg.SensorResult:
            due_at = daily_instant(site.tenant, site.settings.schedule_time, site.today())
            missing = [
                source
                for source in DAILY
                if site.settings.now() >= due_at
                and not runs_of(
                    site, context.instance, job=job_name(site, source), created_after=due_at
                )
            ]
            cursor = json.dumps([due_at.isoformat(), *missing])
            requests: list[dg.RunRequest] = []
            for source in missing if context.cursor == cursor else ():
                with suppress(SettingsError):
                    requests += self._requests(source, site.ops(context), due_at)
            return dg.SensorResult(run_requests=requests, cursor=cursor)

        return catch_up

    def _requests(self, source: str, ops: OpsStore, due_at: datetime) -> list[dg.RunRequest]:
        """The runs of a source's daily round; a setting in the way is an open incident.

        Raises:
            SettingsError: the source cannot be planned.
        """
        try:
            planned = plan(self.site, source, Landed(loads=ops.loads()))
        except SettingsError as error:
            report(ops, RUN_FAILED, source, str(error), self.site.settings.now())
            raise
        moment = f"{due_at:%Y%m%d%H%M}"
        return [
            dg.RunRequest(
                run_key=f"{moment}:{request.slices[0]}",
                job_name=job_name(self.site, source),
                tags={**request.tags, ROUND_TAG: moment},
            )
            for request in planned
        ]

    def contacts(self, job: UnresolvedAssetJobDefinition) -> list[dg.SensorDefinition]:
        """Contact files and the sheet, taken in as they come."""

        def is_running(instance: dg.DagsterInstance) -> bool:
            return bool(runs_of(self.site, instance, job=job.name, statuses=ACTIVE))

        return [
            contact_files_sensor(self.site, job, self.sensor_status, is_running),
            contact_sheet_sensor(self.site, job, self.sensor_status),
        ]

    def crm_actions(self, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
        """New actions in the log, at most every fifteen minutes."""

        @dg.sensor(
            name=f"{job_name(self.site, 'actions')}_log",
            job=job,
            minimum_interval_seconds=ACTIONS_EVERY_SECONDS,
            default_status=self.sensor_status,
            required_resource_keys=self.site.resource_keys("ops"),
            description="Vê decisões novas (pedidos para sair, contatos pulados) e as aplica.",
        )
        def actions_log(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
            known = landed(self.site, self.site.ops(context), context.instance)
            if not plan_actions(known):
                return dg.SkipReason("nenhuma decisão nova")
            today = self.site.today()
            return dg.RunRequest(run_key=f"{today}:{known.last_action_id}")

        return actions_log

    def refine_after_ingest(self, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
        """One refine run after the ingests of a round, or when today's is missing."""

        @dg.sensor(
            name=f"{job_name(self.site, 'refine')}_after_ingest",
            job=job,
            minimum_interval_seconds=30,
            default_status=self.sensor_status,
            required_resource_keys=self.site.resource_keys("ops"),
            description=(
                "Refaz as respostas depois que uma fonte terminou, bem ou mal; por eventos, no "
                f"máximo a cada {self.site.tenant.refine_every_minutes} minutos."
            ),
        )
        def refine_after_ingest(
            context: dg.SensorEvaluationContext,
        ) -> dg.RunRequest | dg.SkipReason:
            if runs_of(self.site, context.instance, statuses=ACTIVE):
                return dg.SkipReason("há uma execução em andamento")
            reason = self._reason(context.instance, self.site.ops(context))
            if reason is None:
                return dg.SkipReason("nada novo desde o último refine")
            today = self.site.today()
            return dg.RunRequest(run_key=reason, partition_key=today.isoformat())

        return refine_after_ingest

    def _reason(self, instance: dg.DagsterInstance, ops: OpsStore) -> str | None:
        site = self.site
        now = site.settings.now()
        today = site.today()
        refines = runs_of(site, instance, stage="refine")
        refined_at = max((record.create_timestamp.timestamp() for record in refines), default=0)
        pause = 60 * site.tenant.refine_every_minutes
        held_back = job_name(site, "events") if time() < refined_at + pause else None
        ingests = [
            record.end_time or 0
            for record in (
                *runs_of(site, instance, stage="ingest"),
                *_landing_runs(instance, ops),
            )
            if record.dagster_run.tags.get(BY_TAG) != BY_COMMAND
            and record.dagster_run.job_name != held_back
        ]
        return refine_reason(
            now=now,
            due_at=daily_instant(site.tenant, site.settings.schedule_time, today),
            ingest_ended_at=max(ingests, default=0),
            refine_created_at=refined_at,
            refined_today=any(
                record.dagster_run.tags.get("dagster/partition") == today.isoformat()
                for record in refines
            ),
        )


def _landing_runs(instance: dg.DagsterInstance, ops: OpsStore) -> Sequence[dg.RunRecord]:
    """The runs that landed something last, also those that a person started on an asset."""
    newest = sorted(ops.loads(), key=lambda load: load.id or 0)[-_NEWEST_LOADS:]
    run_ids = [load.run_id for load in newest if load.run_id]
    return instance.get_run_records(dg.RunsFilter(run_ids=run_ids)) if run_ids else []
