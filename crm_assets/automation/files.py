"""Sensors that take contacts in without a person: new files in the folder, and the sheet.

Both only receive; what waits is requested as runs by the sensor of the files.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from crm_assets.automation.notify import report
from crm_assets.bronze.manychat_inbox import Arrival, arrivals, look, settled
from crm_assets.bronze.manychat_sheet import SHEET_FAILED, SheetError, receive_sheet
from crm_assets.bronze.receiving import MANYCHAT, receive
from crm_assets.plan import Landed, plan_files
from crm_assets.steps import Site
from crm_resources.ops import OpsStore


def contact_files_sensor(
    site: Site,
    job: UnresolvedAssetJobDefinition,
    status: dg.DefaultSensorStatus,
    is_running: Callable[[dg.DagsterInstance], bool],
) -> dg.SensorDefinition:
    """New contact files: taken once they stand still between two ticks.

    What waits is requested once a day as long as no import runs, so that one which failed for a
    passing reason is tried again.
    """

    @dg.sensor(
        name=f"{job.name}_files",
        job=job,
        minimum_interval_seconds=30,
        default_status=status,
        required_resource_keys=site.resource_keys("ops"),
        description="Vê arquivos novos em data/input/manychat e os importa.",
    )
    def contact_files(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        ops: OpsStore = site.ops(context)
        found = arrivals(site.settings.input_folder(site.tenant.slug, MANYCHAT))
        before = json.loads(context.cursor or "{}")
        today = site.today()
        seen = before.get("taken", {})
        ready = [a for a in settled(found, before.get("look", {})) if not _taken(a, seen)]
        receipts = [
            receive(arrival.path, site.settings, site.tenant, ops, day=today) for arrival in ready
        ]
        taken = look([a for a in found if a in ready or _taken(a, seen)])
        cursor = json.dumps({"look": look(found), "taken": taken})
        waiting = {load.slice: load for load in ops.loads(MANYCHAT) if load.status == "received"}
        files = site.partitions.files_of[MANYCHAT]
        known = context.instance.get_dynamic_partitions(files.name or "")
        added = [key for key in waiting if key not in known]
        landed = Landed(loads=[*waiting.values()], file_keys={MANYCHAT: [*known, *added]})
        requests = [
            dg.RunRequest(
                run_key=f"{today}:{max(waiting[key].id or 0 for key in request.slices)}:"
                f"{request.slices[0]}:{request.slices[-1]}",
                tags=request.tags,
            )
            for request in plan_files(MANYCHAT, landed)
            if not is_running(context.instance)
        ]
        notes = Counter(receipt.note for receipt in receipts)
        told = "; ".join(f"{note} ({count})" for note, count in notes.items())
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(told or "nenhum arquivo novo"),
            cursor=cursor,
            dynamic_partitions_requests=[files.build_add_request(added)] if added else [],
        )

    return contact_files


def contact_sheet_sensor(
    site: Site, job: UnresolvedAssetJobDefinition, status: dg.DefaultSensorStatus
) -> dg.SensorDefinition:
    """The sheet, read every `sheet_every_minutes`; a failure stays open until it is read again."""
    name = site.tenant.manychat.sheet_url_env

    @dg.sensor(
        name=f"{job.name}_sheet",
        job=job,
        minimum_interval_seconds=60 * site.tenant.manychat.sheet_every_minutes,
        default_status=status,
        required_resource_keys=site.resource_keys("ops"),
        description=f"Lê a planilha de contatos ({name}), quando há uma, e recebe o que mudou.",
    )
    def contact_sheet(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ops: OpsStore = site.ops(context)
        now = site.settings.now()
        try:
            receipt = receive_sheet(site.settings, site.tenant, ops)
        except SheetError as error:
            report(ops, SHEET_FAILED, MANYCHAT, str(error), now)
            return dg.SkipReason(str(error))
        ops.close_incident(SHEET_FAILED, MANYCHAT, now)
        return dg.SkipReason(
            f"planilha: {receipt.note}" if receipt else f"nenhuma planilha ({name} não definida)"
        )

    return contact_sheet


def _taken(arrival: Arrival, taken: Mapping[str, str]) -> bool:
    return taken.get(arrival.label) == arrival.stamp
