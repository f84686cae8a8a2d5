"""From bronze to the batch through every step, for rules that no single step can keep."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from lake import Lake, local, site

from crm_assets.gold import audiences, remarketing
from crm_assets.silver import carts, contacts, customers, records, sales, xref

pytestmark = pytest.mark.slow

LOG = pl.Schema(
    {"kind": pl.String, "day": pl.Date, "customer_id": pl.String}
    | {"id": pl.Int64, "idempotency_key": pl.String}
)
DAY = timedelta(days=1)
NOW = local("2026-03-15 09:00")


class Company(Lake):
    """One tenant's bronze, refined as often as asked."""

    def sale(self, number, email, days=60, cellphone=None, **fields):
        at = NOW - days * DAY
        sale = {
            "transaction": f"HP{number:010}",
            "status": "APPROVED",
            "ordered_at": at,
            "approved_at": at,
            "product_id": "1",
            "product_name": "Curso ILPI",
            "buyer_email": email,
            "price_value": Decimal("100.00"),
            "price_currency": "BRL",
            "commission_as": "PRODUCER",
            "slice": "2026-01-01",
            "extracted_at": NOW,
            **fields,
        }
        self.bronze("bronze.hotmart_transactions", sale)
        buyer = {name: sale[name] for name in ("transaction", "slice", "extracted_at")}
        self.bronze("bronze.hotmart_customers", {**buyer, "email": email, "cellphone": cellphone})

    def contact(self, line, phone, **fields):
        contact = {"line": line, "whatsapp_phone": phone, "slice": "f", "extracted_at": NOW}
        self.bronze("bronze.manychat_contacts", {**contact, **fields})

    def status(self, number, status):
        """What a later read of the slice finds, as the bronze step records it."""
        code = f"HP{number:010}"
        self.bronze(
            "bronze.hotmart_status_changes",
            {"transaction": code, "from_status": "APPROVED", "to_status": status, "seen_at": NOW},
        )
        self.tx.execute(
            "UPDATE bronze.hotmart_transactions SET status = ? WHERE transaction = ?",
            [status, code],
        )

    def refine(self, now: datetime = NOW):
        tenant = site(now)
        for step in (
            records._write,
            xref._prepare,
            xref._write,
            sales._write_sales,
            sales._write_products,
            carts._write,
            contacts._write,
            customers._prepare,
            customers._write,
        ):
            step(tenant, self.tx)
        parameters = {"slug": "ilpi", "triggers": []}
        self.tx.replace_table("gold.audience_ilpi", audiences._AUDIENCE, parameters)
        assert audiences._sales_match("gold.audience_ilpi", parameters, self.tx).passed
        today = tenant.settings.today("America/Sao_Paulo")
        remarketing._write(tenant, [today], today, pl.DataFrame(schema=LOG), self.tx)
        assert remarketing._outside_windows(tenant.tenant.remarketing, self.tx).passed
        return self.column(
            "SELECT phone FROM gold.remarketing_batches WHERE batch_date = ? ORDER BY position",
            [today],
        )


ANA, BIA = "ana@example.com", "bia@example.com"
PHONE = "+5511987650001"


def test_a_purchase_under_a_merged_identity_keeps_the_person_out():
    """B8: yesterday's purchase was made with another e-mail and the same phone."""
    company = Company()
    company.sale(1, ANA, days=60, cellphone=PHONE)
    company.sale(2, BIA, days=1, cellphone=PHONE)
    company.contact(2, "+5521987650002")
    assert company.refine() == ["+5521987650002"]
    assert company.column("SELECT ltv FROM gold.audience_ilpi") == [Decimal("200.00")]


def test_a_buyers_manychat_contact_counts_for_the_buyer():
    """The later of both dates is taken for everyone, buyers included (seed S1.61)."""
    company = Company()
    company.sale(1, ANA, cellphone=PHONE)
    company.contact(2, PHONE, remarketing_at=NOW - 29 * DAY)
    assert company.refine() == []
    assert company.refine(NOW + DAY) == [PHONE]


@pytest.mark.parametrize("status", ["REFUNDED", "CHARGEBACK"])
def test_a_reversal_takes_the_purchase_back(status):
    company = Company()
    company.sale(1, ANA, cellphone=PHONE)
    company.refine()
    bought = "SELECT has_purchased FROM silver.customers"
    members = "SELECT count(*) FROM gold.audience_ilpi"
    assert (company.value(bought), company.value(members)) == (True, 1)
    company.status(1, status)
    company.refine(NOW + DAY)
    assert (company.value(bought), company.value(members)) == (False, 0)
    assert company.value("SELECT segment FROM silver.customers") is None


@pytest.mark.parametrize(("days", "enters"), [(29, False), (30, True)])
def test_a_refund_seen_within_the_window_keeps_the_person_out(days, enters):
    company = Company()
    company.sale(1, ANA, cellphone=PHONE)
    company.status(1, "REFUNDED")
    assert company.refine(NOW + days * DAY) == ([PHONE] if enters else [])


def test_a_dispute_keeps_the_person_out_until_it_is_settled():
    company = Company()
    company.sale(1, ANA, cellphone=PHONE)
    company.status(1, "PROTESTED")
    assert company.refine() == []
    assert company.value("SELECT has_purchased FROM silver.customers")
    company.status(1, "COMPLETE")
    assert company.refine(NOW + DAY) == [PHONE]


def test_an_opt_out_follows_the_key_into_a_merged_customer():
    company = Company()
    company.sale(1, ANA, cellphone=PHONE)
    company.contact(2, PHONE)
    company.bronze(
        "bronze.crm_actions",
        {"id": 1, "kind": "opt_out", "email_key": ANA, "occurred_at": NOW},
    )
    assert company.refine() == []
    assert company.column("SELECT exportable FROM gold.audience_ilpi") == [False]


def test_another_producers_buyer_is_kept_in_silver_only():
    company = Company()
    company.sale(1, ANA, cellphone=PHONE, commission_as="AFFILIATE")
    assert company.refine() == []
    assert company.value("SELECT count(*) FROM gold.audience_ilpi") == 0
    assert company.value("SELECT count(*) FROM silver.customers WHERE NOT is_own") == 1


def test_a_buyer_without_any_key_is_in_the_reconciliation_only():
    company = Company()
    company.sale(1, "sem email")
    assert company.refine() == []
    assert company.value("SELECT count(*) FROM silver.customers") == 0
    assert company.value("SELECT count(*) FROM silver.sales WHERE is_eligible") == 1


def test_two_buyer_ids_with_one_e_mail_are_one_person_with_all_their_sales():
    """Seeds S0.13 and S1.66: bronze keeps both, lifetime value counts under every id."""
    company = Company()
    company.sale(1, ANA, days=60, buyer_ucode="u1")
    company.sale(2, ANA, days=50, buyer_ucode="u2")
    company.refine()
    assert company.value("SELECT count(DISTINCT buyer_ucode) FROM bronze.hotmart_transactions") == 2
    assert company.column("SELECT ltv FROM gold.audience_ilpi") == [Decimal("200.00")]


def test_a_buyer_without_e_mail_is_a_member_by_the_phone():
    company = Company()
    company.sale(1, None, days=60, cellphone=PHONE)
    company.refine()
    (member,) = company.rows("FROM gold.audience_ilpi")
    assert (member["email"], member["phone"], member["ltv"]) == (None, PHONE, Decimal("100.00"))


def test_refine_leaves_bronze_as_it_was():
    company = Company()
    company.sale(1, ANA, cellphone=PHONE)
    company.contact(2, PHONE, remarketing_at=NOW)
    tables = company.column(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'bronze' ORDER BY ALL"
    )
    before = {table: company.rows(f"FROM bronze.{table} ORDER BY ALL") for table in tables}
    company.refine()
    assert {table: company.rows(f"FROM bronze.{table} ORDER BY ALL") for table in tables} == before
    assert before["hotmart_transactions"]
