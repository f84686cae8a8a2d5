"""ManyChat contacts: the bronze table of contact files and of the sheet."""

import dagster as dg

from crm_assets.bronze.file_asset import FileKind, file_asset
from crm_assets.bronze.manychat_file import read_contacts
from crm_assets.bronze.receiving import MANYCHAT
from crm_assets.checks.bronze import ManychatContacts
from crm_assets.steps import Site, Table

CONTACTS = Table(
    "bronze.manychat_contacts",
    ManychatContacts,
    "Contatos do ManyChat como vieram nos arquivos e na planilha, uma linha por linha do arquivo. "
    "Cada conteúdo é uma partição; o mesmo conteúdo nunca entra duas vezes.",
)
KIND = FileKind(
    MANYCHAT,
    CONTACTS,
    lambda content, timezone, now: read_contacts(content, timezone=timezone, now=now),
)


def manychat_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The bronze asset of ManyChat contacts."""
    return [file_asset(site, KIND)]
