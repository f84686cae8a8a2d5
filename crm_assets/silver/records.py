"""Contact records and sale records: the one silver step that reads the vendors' bronze tables.

Both are made in one transaction, so that every later step sees the same moment of bronze. A contact
record is one raw record of a person with its identity keys, or the reason why it has none.
"""

from __future__ import annotations

from functools import partial

import dagster as dg
import polars as pl

from crm_assets.bronze.ledger import all_here
from crm_assets.checks.contract import Verdict
from crm_assets.checks.events import Events
from crm_assets.checks.silver import ContactRecords, SaleRecords
from crm_assets.contact.document import normalize_documents
from crm_assets.contact.email import normalize_emails
from crm_assets.contact.name import clean_names
from crm_assets.contact.phone import state_of_area_code
from crm_assets.contact.phone_choice import choose_phones
from crm_assets.contact.place import country_codes, instagram_handles, uf_codes
from crm_assets.silver.contact_sources import raw_contacts
from crm_assets.silver.event_rules import events_sql
from crm_assets.silver.sale_rules import sale_records_sql
from crm_assets.steps import Metadata, Reconciliation, Site, Table, table_step
from crm_resources.warehouse import Transaction

CONTACT_RECORDS = Table(
    "silver.contact_records",
    ContactRecords,
    "Cada registro de pessoa de cada fonte, com e-mail e telefone normalizados como chaves de "
    "identidade, ou o motivo de não servirem de chave.",
    reads=(
        "bronze.hotmart_transactions",
        "bronze.hotmart_customers",
        "bronze.hotmart_subscriptions",
        "bronze.hotmart_csv",
        "bronze.hotmart_events",
        "bronze.manychat_contacts",
    ),
)
SALE_RECORDS = Table(
    "silver.sale_records",
    SaleRecords,
    "Cada transação no estado mais recente, com o que ela significa: paga, reembolsada, pendente.",
    reads=(
        "bronze.hotmart_transactions",
        "bronze.hotmart_commissions",
        "bronze.hotmart_price_details",
        "bronze.hotmart_subscription_transactions",
        "bronze.hotmart_subscriptions",
        "bronze.hotmart_csv",
        "bronze.hotmart_events",
    ),
)
EVENTS = Table(
    "silver.events",
    Events,
    "O que cada evento entendido diz: o que houve, com que venda, assinatura ou carrinho, de quem.",
    reads=("bronze.hotmart_events",),
)


def record_assets(site: Site) -> list[dg.AssetsDefinition]:
    """The step that turns bronze into records."""
    transactions_match = Reconciliation(
        SALE_RECORDS.name,
        "transacoes_iguais_ao_bronze",
        "Toda transação distinta do bronze aparece uma vez no silver.",
        _transactions_match,
    )
    return [
        table_step(
            site,
            "records",
            [EVENTS, CONTACT_RECORDS, SALE_RECORDS],
            write=partial(_write, site),
            reconciliations=[all_here(site, CONTACT_RECORDS.name), transactions_match],
        )
    ]


def _write(site: Site, tx: Transaction) -> dict[str, Metadata]:
    include_affiliates = site.tenant.hotmart.include_affiliate_sales
    sale_records = sale_records_sql(
        currency=site.tenant.currency, include_affiliates=include_affiliates
    )
    tx.replace_table(EVENTS.name, events_sql())
    tx.replace_table(SALE_RECORDS.name, sale_records)
    records = contact_records(raw_contacts(tx), include_affiliates=include_affiliates)
    replace_contact_records(tx, records)
    keyless = records.filter(pl.col("email_key").is_null() & pl.col("phone_key").is_null())
    return {
        EVENTS.name: {"por tipo": _counts(tx, "kind", EVENTS.name)},
        CONTACT_RECORDS.name: {
            "sem chave": len(keyless),
            "sem chave de e-mail": _reasons(records, "email_reason"),
            "sem chave de telefone": _reasons(records, "phone_reason"),
        },
        SALE_RECORDS.name: {"por status": _counts(tx, "status_class", SALE_RECORDS.name)},
    }


def replace_contact_records(tx: Transaction, records: pl.DataFrame) -> None:
    """Write `silver.contact_records` anew and note what each changed record was before.

    The identity step resolves only what a note in `silver.contact_changes` touches, and clears it.
    """
    if tx.scalar(_HAS_RECORDS):
        tx.execute(_NOTE_CHANGES, records=records)
    tx.replace_table(CONTACT_RECORDS.name, records)


def contact_records(raw: pl.DataFrame, *, include_affiliates: bool = False) -> pl.DataFrame:
    """Normalise the raw contact columns of all sources into `silver.contact_records`."""
    emails = normalize_emails(raw["email_text"])
    address_country = country_codes(raw["country_text"])
    told_country = address_country.fill_null(country_codes(raw["checkout_text"]))
    documents = normalize_documents(raw["document_text"], address_country)
    brazilian = (
        documents["document_kind"].is_in(["cpf", "cnpj"]) & documents["document_valid"]
    ).fill_null(False) | raw["is_brazilian"].fill_null(False)
    phones = choose_phones(raw["phone_text"], raw["second_phone_text"], told_country, brazilian)
    names = clean_names(raw["name_text"])
    frame = pl.concat(
        [
            raw.with_columns(
                address_country=address_country,
                told_country=told_country,
                uf=uf_codes(raw["state_text"]),
            ),
            emails.select("email", "email_key", pl.col("reason").alias("email_reason")),
            documents,
            phones.select(
                pl.col("e164").alias("phone"),
                "phone_key",
                pl.col("reason").alias("phone_reason"),
                pl.col("kind").alias("phone_kind"),
                pl.col("region").alias("phone_region"),
                state_of_area_code(phones["area_code"]).alias("phone_state"),
            ),
            names,
        ],
        how="horizontal",
    )
    country = pl.coalesce("told_country", "phone_region")
    in_brazil = pl.col("address_country").fill_null("BR") == "BR"
    address_state = pl.when(in_brazil).then("uf").otherwise("state_text")
    ddd_state = pl.when(country == "BR").then("phone_state")
    return frame.select(
        "record_id",
        "source",
        "source_id",
        "source_key",
        "observed_at",
        "email",
        "email_key",
        "email_reason",
        "phone",
        "phone_key",
        "phone_reason",
        "phone_kind",
        "name",
        "first_name",
        "document",
        "document_kind",
        "document_valid",
        instagram_handles(pl.col("instagram_text")).alias("instagram"),
        "hotmart_ucode",
        "manychat_id",
        "city",
        pl.coalesce(address_state, ddd_state).alias("state"),
        pl.when(address_state.is_not_null())
        .then(pl.lit("endereco"))
        .when(ddd_state.is_not_null())
        .then(pl.lit("ddd"))
        .alias("state_source"),
        country.alias("country"),
        (address_state.is_not_null() | pl.col("address_country").is_not_null()).alias(
            "has_address"
        ),
        "first_seen_at",
        "last_interaction_at",
        "remarketing_at",
        "optin_whatsapp",
        "optin_sms",
        "optin_email",
        (pl.lit(include_affiliates) | ~pl.col("is_affiliate")).alias("is_own"),
    )


def _transactions_match(tx: Transaction) -> Verdict:
    bronze = tx.scalar(_DISTINCT_TRANSACTIONS)
    silver = tx.scalar("SELECT count(*) FROM silver.sale_records WHERE source = 'hotmart'")
    return Verdict(
        "transacoes_iguais_ao_bronze", bronze == silver, {"bronze": bronze, "silver": silver}
    )


def _reasons(records: pl.DataFrame, column: str) -> str:
    counted = records.drop_nulls(column).group_by(column).len().sort("len", descending=True)
    return ", ".join(f"{reason}: {count}" for reason, count in counted.rows()) or "nenhum"


def _counts(tx: Transaction, column: str, table: str) -> str:
    counted = tx.read(f"SELECT {column}, count(*) FROM {table} GROUP BY ALL ORDER BY 2 DESC")
    return ", ".join(f"{value}: {count}" for value, count in counted.rows()) or "nenhum"


_HAS_RECORDS = """
    SELECT count(*) FROM duckdb_tables()
    WHERE schema_name = 'silver' AND table_name = 'contact_records'
"""
_IDENTITY = """
    source, source_id, source_key, email_key, phone_key, document, document_kind, document_valid,
    hotmart_ucode, first_name, name
"""
_NOTE_CHANGES = f"""
    INSERT INTO silver.contact_changes
    SELECT coalesce(was.record_id, now.record_id), was.email_key, was.phone_key,
           was.source || ':' || was.source_key
    FROM (SELECT *, ({_IDENTITY}) AS identity FROM silver.contact_records) AS was
    FULL JOIN (SELECT *, ({_IDENTITY}) AS identity FROM records) AS now USING (record_id)
    WHERE was.record_id IS NULL OR now.record_id IS NULL
       OR was.identity IS DISTINCT FROM now.identity
"""
_DISTINCT_TRANSACTIONS = """
    SELECT count(DISTINCT transaction) FROM (
        SELECT transaction FROM bronze.hotmart_transactions
        UNION ALL SELECT transaction FROM bronze.hotmart_csv
        UNION ALL SELECT transaction FROM silver.events WHERE sale_status IS NOT NULL
    ) WHERE transaction IS NOT NULL
"""
