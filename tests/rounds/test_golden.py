"""The sample tenant's answers, whole and exact."""

from datetime import date
from decimal import Decimal

import duckdb
import pytest
from world import SAMPLE_NOW, World, sample_table, sandbox_environ


@pytest.fixture(scope="module")
def golden(finished_home):
    return World(finished_home, None, sandbox_environ(finished_home, "http://x"), sample_table())


def test_one_customer_per_person(golden):
    counts = golden.rows(
        """
        SELECT count(*) AS people, count(*) FILTER (WHERE has_purchased) AS buyers,
               count(*) FILTER (WHERE len(sources) = 2) AS in_both,
               count(*) FILTER (WHERE reachable) AS reachable,
               count(*) FILTER (WHERE opted_out) AS opted_out
        FROM silver.customers
        """
    )
    assert counts == [{"people": 50, "buyers": 27, "in_both": 11, "reachable": 41, "opted_out": 0}]


@pytest.mark.parametrize(
    ("email", "records", "phone", "why"),
    [
        ("ana.souza@example.com", 3, "+5511961234501", "letter case of the address"),
        ("carla.dias@example.com", 2, "+5531988123403", "ninth digit missing at Hotmart"),
        ("diego.fernandes@example.com", 6, "+5555961234504", "area code 55"),
        ("gustavo.lima@example.com", 2, "+12015550107", "a number of the United States"),
        ("elena.martinez@example.com", 2, "+34612345605", "a number of Spain"),
        (
            "igor.hoffmann@example.com",
            2,
            "+5547991234508",
            "a CPF of his own on the family's mobile",
        ),
        ("helena.hoffmann@example.com", 4, "+5547991234508", "with Lia, who has no CPF"),
        ("ju.prado@example.com", 4, "+5585991234509", "two addresses, one mobile"),
        ("barbara.nunes@example.com", 2, None, "99999999 is nobody's number"),
        ("wagner.conceicao@example.com", 1, None, "the spreadsheet ate the digits"),
        ("vinicius.araujo@example.com", 1, "+5581988123418", "ninth digit missing at ManyChat"),
    ],
)
def test_who_is_whom(golden, email, records, phone, why):
    found = golden.rows("SELECT records, phone FROM silver.customers WHERE email = ?", [email])
    assert found == [{"records": records, "phone": phone}], why


def test_different_documents_on_one_phone_are_two_people_and_listed(golden):
    findings = golden.rows(
        "SELECT finding, len(customer_ids) AS people FROM silver.identity_findings ORDER BY ALL"
    )
    assert findings == [
        {"finding": "documentos_separados", "people": 2},
        {"finding": "telefone_compartilhado", "people": 2},
    ]


def test_records_without_any_key_are_nobody(golden):
    keyless = "email_key IS NULL AND phone_key IS NULL"
    assert golden.value(f"SELECT count(*) FROM silver.contact_records WHERE {keyless}") == 3
    assert golden.value("SELECT count(*) FROM silver.sales WHERE customer_id IS NULL") == 1


AUDIENCES = {
    "ilpi": {
        "Ana Beatriz Souza": "497.00",
        "Bárbara Nunes": "497.00",
        "Helena Hoffmann": "497.00",
        "Júlia Prado": "497.00",
        "Diego Fernandes": "485.00",
        "Gustavo Lima": "422.46",
        "Carla Dias": "297.00",
    },
    "estetica": {
        "Júlia Prado": "742.30",
        "Bruno Carvalho": "697.00",
        "Igor Hoffmann": "697.00",
        "Sônia Leal": "697.00",
        "Kátia Rocha": "397.00",
        "Valter Moraes": "332.00",
        "Elena Martínez": "0.00",
    },
}


@pytest.mark.parametrize("slug", AUDIENCES)
def test_lifetime_value_per_audience(golden, slug):
    rows = golden.rows(f"SELECT name, ltv FROM gold.audience_{slug} ORDER BY ltv DESC, name")
    assert {row["name"]: str(row["ltv"]) for row in rows} == AUDIENCES[slug]


def test_a_foreign_sale_is_converted_or_stays_apart(golden):
    """An offer in reais says its rate; one made in euros does not (rules 1.8)."""
    foreign = golden.rows(
        "SELECT name, ltv_foreign FROM gold.audience_ilpi WHERE len(ltv_foreign) > 0 UNION ALL "
        "SELECT name, ltv_foreign FROM gold.audience_estetica WHERE len(ltv_foreign) > 0"
    )
    assert {row["name"]: row["ltv_foreign"] for row in foreign} == {
        "Elena Martínez": [{"currency": "EUR", "amount": Decimal("89.90")}],
    }


def test_net_is_what_hotmart_pays_us(golden):
    (sale,) = golden.rows("FROM silver.sales WHERE sale_id = 'hotmart:HP2025001781'")
    shares = (sale["net"], sale["coproducer_share"], sale["affiliate_share"])
    assert sale["base"] - sale["fees"] == sum(shares)
    assert shares[1:] == (Decimal("120.00"), Decimal("60.00"))
    assert golden.value("SELECT count(*) FROM silver.sales WHERE net_estimated") == 0


def test_every_sale_is_there_once_with_what_it_means(golden):
    classes = golden.rows(
        "SELECT status_class, count(*) AS sales FROM silver.sales GROUP BY ALL ORDER BY ALL"
    )
    assert {row["status_class"]: row["sales"] for row in classes} == {
        "disputed": 1,
        "failed": 2,
        "late": 1,
        "paid": 63,
        "pending": 2,
        "reversed": 4,
    }
    assert golden.value("SELECT count(DISTINCT sale_id) FROM silver.sales") == 73


LIVES = {
    "Alice Barros": ("ativa", "monthly since September"),
    "Breno Teixeira": ("ativa", "a year at once"),
    "Estela Pinho": ("trial", "until the 17th"),
    "Fábio Serra": ("em_risco", "late with the fourth charge"),
    "Gabriela Neto": ("cancelada", "and paid to April"),
    "Hugo Falcão": ("ativa", "back after two months"),
    "Karen Lobo": ("cancelada", "refunded after four days"),
    "Leandro Prates": ("cancelada", "refunded on the same day"),
    "Plínio Dutra": ("outra", "at the end of a term"),
}


def test_subscriptions_of_every_kind(golden):
    found = golden.rows(
        "SELECT name, subscriptions.segment FROM silver.subscriptions "
        "JOIN silver.customers USING (customer_id)"
    )
    segments = {row["name"]: row["segment"] for row in found}
    assert len(segments) == 17
    assert {who: segments[who] for who in LIVES} == {who: LIVES[who][0] for who in LIVES}


MOVEMENTS = (
    "opening", "new", "reactivation", "expansion", "contraction", "churn", "ended", "closing",
)  # fmt: skip


def test_every_movement_of_recurring_revenue(golden):
    """February: Karen and Otília new, Hugo back, Íris up, João down, Karen lost, Plínio at the end.

    March: Leandro, who came and went on the third.
    """
    figures = ", ".join(f"{name}_gross" for name in MOVEMENTS)
    rows = golden.rows(
        f"SELECT {figures} FROM gold.mrr_movements WHERE grain = 'month' AND currency = 'home' "
        "AND period_start >= '2026-02-01' ORDER BY period_start"
    )
    assert [tuple(map(str, row.values())) for row in rows] == [
        ("1173.25", "184.00", "97.00", "100.00", "100.00", "97.00", "120.00", "1237.25"),
        ("1237.25", "97.00", "0.00", "0.00", "0.00", "97.00", "0.00", "1237.25"),
    ]
    levels = golden.rows(
        "SELECT trial, active, delayed, cancelled_paid FROM gold.subscription_metrics "
        "WHERE day = '2026-03-15' AND currency = 'home'"
    )
    assert levels == [{"trial": 1, "active": 10, "delayed": 1, "cancelled_paid": 1}]


def test_the_batch_and_its_order(golden):
    batch = golden.rows("FROM gold.remarketing_batches ORDER BY position")
    assert [row["name"].split()[0] for row in batch] == [
        "Júlia", "Igor", "Sônia", "Gustavo", "Carla", "Renato", "Otávio", "Lorena", "Murilo",
        "Vinícius", "Sérgio", "Tereza", "Olívia", "Quésia", "Nilo", "Ana", "Elena", "Marcelo",
        "Yara",
    ]  # fmt: skip
    assert [row["position"] for row in batch] == list(range(1, 20))
    assert {row["batch_date"] for row in batch} == {date(2026, 3, 15)}
    assert [row["reason"] for row in batch] == ["nunca_contatado"] * 15 + ["contato_antigo"] * 4


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Bruno Carvalho", "bought 23 days ago"),
        ("Valter Moraes", "bought 29 days ago"),
        ("Fabiana Gomes", "contacted this month"),
        ("Nádia Farias", "contacted 29 days ago"),
        ("Cecília Ramos", "open dispute"),
        ("Kátia Rocha", "no phone"),
        ("Rita Vaz", "another producer's buyer"),
    ],
)
def test_who_is_not_in_the_batch(golden, name, why):
    assert golden.value("SELECT count(*) FROM silver.customers WHERE name = ?", [name]) == 1
    sql = "SELECT count(*) FROM gold.remarketing_batches WHERE name = ?"
    assert golden.value(sql, [name]) == 0, why


def test_what_could_not_be_read_is_told_with_its_place(golden):
    rejects = golden.rows("SELECT place, field, reason, raw FROM bronze.rejects ORDER BY raw")
    assert [tuple(row.values()) for row in rejects] == [
        ("4", "data_remarketing", "data_ilegivel", "11/fev"),
        ("5", "ultima_interacao", "data_no_futuro", "20/12/2026"),
        ("8", "WhatsApp", "digitos_perdidos", "5,51196E+12"),
    ]


def test_the_serving_snapshot_says_what_it_holds(golden):
    serving = golden.folder / "serving"
    with duckdb.connect(serving / (serving / "current").read_text(), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM silver.customers").fetchone() == (50,)
        assert con.execute("SELECT count(*) FROM gold.remarketing_batches").fetchone() == (19,)
        assert con.execute("SELECT sum(rows) FROM meta.loads WHERE source LIKE 'hotmart%'")


def test_the_files_of_the_day(golden):
    folder = golden.settings.output_folder("default")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.csv"))
    day = SAMPLE_NOW[:10]
    assert files == [
        f"publico/publico_estetica_{day}.csv",
        f"publico/publico_ilpi_{day}.csv",
        f"remarketing/remarketing_{day}.csv",
    ]
    lines = (folder / files[2]).read_text().splitlines()
    header = "email,phone,last_remarketing_at,last_purchase_at,name,segmento"
    assert (lines[0], len(lines)) == (header, 20)


def test_what_holds_people_is_private_to_its_owner(golden):
    for path in golden.folder.rglob("*"):
        if path.is_file() and path.suffix in {".csv", ".duckdb", ".sqlite"}:
            assert path.stat().st_mode & 0o077 == 0, path.name
    assert golden.folder.stat().st_mode & 0o777 == 0o700
