"""ManyChat contacts: one dynamic partition per content of a contact file (design 6)."""

from dataclasses import replace

import dagster as dg
import polars as pl

from crm_assets.bronze.landing import BrokenContract, SliceReport, record_landing
from crm_assets.bronze.manychat_file import ContactsFile, RefusedFile, read_contacts
from crm_assets.bronze.manychat_inbox import SOURCE, put_away, raw_path
from crm_assets.checks.bronze import ManychatContacts
from crm_assets.checks.contract import check_frame
from crm_assets.steps import DATABASE_ERRORS, Events, Metadata, Site, Table
from crm_resources.ops import Load

CONTACTS = Table(
    "bronze.manychat_contacts",
    ManychatContacts,
    "Contatos do ManyChat como vieram nos arquivos, uma linha por linha do arquivo. "
    "Cada conteúdo de arquivo é uma partição; o mesmo conteúdo nunca entra duas vezes.",
)


def manychat_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The bronze asset of ManyChat contact files."""

    @dg.multi_asset(
        name=site.op_name("manychat_contacts"),
        specs=[site.spec(CONTACTS, kinds={"csv", "polars", "duckdb"})],
        check_specs=[site.contract_spec(CONTACTS)],
        partitions_def=site.partitions.files,
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys=site.resource_keys("warehouse", "ops"),
    )
    def manychat_contacts(context: dg.AssetExecutionContext) -> Events:
        loads = {load.slice: load for load in site.ops(context).loads(SOURCE)}
        report = SliceReport()
        for slice_key in context.partition_keys:
            if slice_key not in loads:
                report.fail(slice_key, NothingToRead("nenhum arquivo recebido tem esta partição"))
                continue
            received = replace(loads[slice_key], run_id=context.run.run_id, reason=None)
            try:
                report.landed[slice_key] = _land(site, context, received)
            except RefusedFile as refusal:
                report.fail(slice_key, refusal)
                if received.status != "landed":
                    site.ops(context).record_load(
                        replace(received, status="refused", reason=str(refusal))
                    )
            except NothingToRead as error:
                report.fail(slice_key, error)
            except (BrokenContract, *DATABASE_ERRORS) as error:
                report.fail(slice_key, error)
            else:
                put_away(site.settings, site.tenant, received)
        yield from report.events(site, context, CONTACTS)

    return [manychat_contacts]


class NothingToRead(Exception):
    """There is no content under a partition; its rows, if any, stay."""


def _land(site: Site, context: dg.AssetExecutionContext, received: Load) -> Metadata:
    """Land one file under the instant it was received, which a later re-reading does not change."""
    contacts = _read(site, received)
    rows = contacts.frame.with_columns(
        slice=pl.lit(received.slice),
        extracted_at=pl.lit(received.at),
        run_id=pl.lit(received.run_id),
    )
    verdict = check_frame(rows, ManychatContacts)
    if not verdict.passed:
        raise BrokenContract(verdict)
    rejects = contacts.rejects.select(
        pl.col("line").alias("place"), pl.col("column").alias("field"), "reason", "raw"
    )
    load = replace(
        received,
        rows=len(rows),
        rejected=len(rejects),
        status="landed",
        complete=True,
        verified=True,
    )
    with site.warehouse(context).write(f"manychat {received.slice}") as tx:
        tx.replace_slice(CONTACTS.name, rows, {"slice": received.slice})
        record_landing(tx, load, rejects)
    site.ops(context).record_load(load)
    context.log.info(f"manychat {received.slice}: {len(rows)} linhas, {len(rejects)} rejeitadas")
    return {
        "dagster/row_count": len(rows),
        "rejeitados": len(rejects),
        "codificação": contacts.encoding,
        "separador": {"\t": "tabulação"}.get(contacts.separator, contacts.separator),
        "colunas próprias": ", ".join(contacts.unmapped) or "nenhuma",
    }


def _read(site: Site, received: Load) -> ContactsFile:
    path = raw_path(site.settings, site.tenant, received.slice)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NothingToRead("a cópia do arquivo não existe mais em raw/") from None
    return read_contacts(content, timezone=site.tenant.timezone, now=site.settings.now())
