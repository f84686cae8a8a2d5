"""The daily backup as a job of Dagster: it makes one, and fails with the reason when it cannot."""

import os

import dagster as dg

from crm_assets.automation.runs import STAGE_TAG, TENANT_TAG, job_name
from crm_assets.safekeeping.backup import BackupError, back_up
from crm_assets.steps import Site
from crm_resources.locks import Busy

BACKUP = "backup"
"""Stage and job."""

WAIT_SECONDS = 60 * 60
"""How long a round may still run at the hour of the backup."""


def backup_job(site: Site) -> dg.JobDefinition:
    """The job that makes the backup of the day and opens it to compare."""

    @dg.op(
        name=site.op_name(BACKUP),
        description="Guarda bancos, arquivos e configuração num arquivo só, conferido.",
    )
    def make_backup(context: dg.OpExecutionContext) -> None:
        try:
            made = back_up(site, os.environ, actor=BACKUP, wait=WAIT_SECONDS)
        except (BackupError, Busy) as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        context.add_output_metadata(
            {
                "arquivo": made.path.name,
                "MB": round(made.size / 2**20, 1),
                "linhas": made.rows,
                "arquivos": made.files,
                "segredos": "criptografados" if made.has_secrets else "fora da cópia",
            }
        )

    @dg.job(
        name=job_name(site, BACKUP),
        tags={TENANT_TAG: site.tenant.slug, STAGE_TAG: BACKUP},
        description="A cópia de segurança do dia.",
    )
    def backup() -> None:
        make_backup()

    return backup
