"""The statement: everything of the person who asks, in every layer, and nothing of anybody else."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from event_rows import held
from lake import NOON, cus, site

from crm_assets.privacy import erased_tables
from crm_assets.privacy.consents import Keys, opt_out_actions
from crm_assets.privacy.rights import open_request
from crm_assets.privacy.statement import (
    OF_PERSON,
    OF_RECORDS,
    TOLD_OTHERWISE,
    ChooseRecords,
    UnknownRecord,
    rendered,
    statement,
    write_statement,
)
from crm_assets.privacy.statement_text import TITLES, masked
from crm_assets.resources import warehouse_of
from crm_assets.silver import contacts, customers, records, sales, xref
from crm_assets.steps import Site
from crm_resources.ops import ExportRecord, Load, OpsStore

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
SLICE = "2026-03-01_0123456789ab"


@dataclass
class House:
    """A tenant with three people: Ana, and Bruno and Carla on one phone."""

    site: Site
    ops: OpsStore

    def of(self, email):
        """The customer who holds an e-mail."""
        found = warehouse_of(self.site.settings, self.site.tenant).read(
            "SELECT customer_id FROM silver.contact_records JOIN silver.customer_xref "
            "USING (record_id) WHERE email_key = ? AND valid_to IS NULL",
            [email],
        )
        return found.item(0, 0)

    def told(self, email, records=()) -> dict[str, Any]:
        return statement(self.site.settings, self.site.tenant, self.of(email), records)


def _bronze(tx, table, **row):
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    tx.execute(f"INSERT INTO bronze.{table} ({names}) VALUES ({marks})", list(row.values()))


def _sale(tx, number, name, email, phone, ucode):
    code = f"HP{number}"
    base = {"transaction": code, "slice": "2026-01-01", "extracted_at": NOON}
    _bronze(
        tx, "hotmart_transactions", **base, status="APPROVED", ordered_at=NOON - 60 * DAY,
        approved_at=NOON - 60 * DAY, product_id="1", product_name="Curso ILPI", buyer_name=name,
        buyer_email=email, buyer_ucode=ucode, price_value=Decimal("100.00"), price_currency="BRL",
        commission_as="PRODUCER", raw=json.dumps({"buyer": {"email": email}}),
    )  # fmt: skip
    _bronze(tx, "hotmart_customers", **base, name=name, email=email, cellphone=phone, ucode=ucode)


def _contact(tx, line, name, phone, email=None, **more):
    _bronze(tx, "manychat_contacts", line=line, manychat_id=str(line), full_name=name, email=email,
            whatsapp_phone=phone, slice=SLICE, extracted_at=NOON - 10 * DAY, **more)  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    home = tmp_path_factory.mktemp("house")
    place = site(home=home)
    ops = OpsStore(place.settings.ops_address("default"), "default")
    ops.record_load(
        Load(source="manychat", slice=SLICE, status="landed", file_name="contatos.csv",
             content_sha256="0" * 64, at=NOON - 10 * DAY)
    )  # fmt: skip
    ana = Keys(("ana@example.com",))
    said = {"purpose": None, "reason": "respondeu SAIR", "customer_id": None, "actor": "bia"}
    ops.append_actions(opt_out_actions(ana, channels=["sms"], at=NOON - DAY, **said))
    open_request(
        ops, place.tenant, type="acesso", channel="e-mail", received_on=NOON.date(),
        email_key="ana@example.com", actor="bia", at=NOON,
    )  # fmt: skip
    with warehouse_of(place.settings, place.tenant).write("teste") as tx:
        _sale(tx, 1, "Ana Souza", "ana@example.com", "11987650001", "u1")
        _contact(tx, 1, "Ana", "11987650001", optin_email=True)
        _sale(tx, 2, "Bruno Lima", "bruno@example.com", "11987650002", "u2")
        _contact(tx, 2, "Carla Dias", "11987650002", "carla@example.com")
        _contact(tx, 3, "Outra", "11987650003", "outra@example.com")
        ana = {"name": "Ana Souza", "email": "ana@example.com", "phone": "11987650001"}
        _bronze(tx, "hotmart_events", **held(1, **ana))
        _bronze(tx, "hotmart_events", **held(2, **ana, kind=None, transaction="HP9"))
        bruno = {"name": "Bruno Lima", "email": "bruno@example.com", "phone": "11987650002"}
        _bronze(tx, "hotmart_events", **held(3, **bruno, transaction="HP2"))
        for place_of in ("e1", "e3"):
            _bronze(tx, "rejects", source="events", slice="hotmart:2026-03-12", place=place_of)
        log = ops.actions().rename({"at": "occurred_at"})
        tx.append("bronze.crm_actions", log)
        for step in (
            records._write, xref._prepare, xref._write, sales._write_sales, sales._write_products,
            contacts._write, customers._prepare, customers._write,
        ):  # fmt: skip
            step(place, tx)
    house = House(place, ops)
    output = place.settings.output_folder("default")
    for name, ids in (
        ("publico/a.csv", [house.of("ana@example.com")]),
        ("clientes/b.csv", [cus(9)]),
    ):
        ops.record_export(
            ExportRecord(kind=name.split("/")[0], destination=name, filter={"audience": "ilpi"},
                         customer_ids=ids, actor="bia", at=NOON)
        )  # fmt: skip
    (output / "publico").mkdir(parents=True)
    (output / "publico" / "a.csv").touch()
    return house


def test_everything_of_a_person_is_in_it(house):
    told = house.told("ana@example.com")
    head, data = told["titular"], told["dados"]
    assert head["cadastro_inteiro"]
    assert head["registros"] == ["hotmart:u1", "manychat:1"]
    assert {"bronze.hotmart_transactions", "bronze.hotmart_customers", "bronze.manychat_contacts",
            "silver.contact_records", "silver.customer_xref", "silver.sales", "silver.customers",
            "silver.customer_lineage", "silver.customer_ids", "silver.customer_merges",
            "silver.consents", "silver.opt_outs"} <= data.keys()  # fmt: skip
    assert [row["event_id"] for row in data["bronze.hotmart_events"]] == ["e1", "e2"]
    assert [row["place"] for row in data["bronze.rejects"]] == ["e1"]
    (sale,) = data["bronze.hotmart_transactions"]
    assert sale["raw"] == {"buyer": {"email": "ana@example.com"}}
    assert sale["price_value"] == "100.00"
    assert sale["ordered_at"] == "2026-01-14T12:00:00-03:00", "on the tenant's clock"
    assert {(row["status"], row["channel"]) for row in data["silver.consents"]} == {
        ("revoked", "sms"), ("granted", "email"),
    }  # fmt: skip
    assert [one["kind"] for one in told["acoes"]] == ["opt_out", "request_opened"]
    assert [one["tipo"] for one in told["pedidos"]] == ["acesso"]
    assert told["arquivos_recebidos"] == [
        {"fonte": "manychat", "arquivo": "contatos.csv",
         "recebido_em": "2026-03-05T12:00:00-03:00", "tem_copia": False}
    ]  # fmt: skip
    (export,) = told["arquivos_gerados"]
    assert (export["destino"], export["ainda_existe"]) == ("publico/a.csv", True)


def test_nobody_else_is_in_it(house):
    text = json.dumps(house.told("ana@example.com"))
    for other in ("bruno", "carla", "outra", "0002", "0003", "u2", "HP2", "b.csv", cus(9)):
        assert other not in text, other


def test_it_is_json_and_readable_text(house):
    told = house.told("ana@example.com")
    assert json.loads(rendered(told, "json")) == told
    text = rendered(told, "txt")
    for line in ("CADASTRO", "nome: Ana Souza", "COMPRAS", "valor pago: 100.00", "RECUSAS EM VIGOR",
                 "pedido em: 14/01/2026 12:00", "destino: publico/a.csv", "canais recusados: sms",
                 "PEDIDOS SEUS (LGPD)"):  # fmt: skip
        assert line in text, line
    assert "None" not in text
    assert "run_id" not in text
    assert text.count(told["titular"]["customer_id"]) == 1


def test_a_statement_is_a_private_file_and_in_the_register(house):
    told = house.told("ana@example.com")
    path = write_statement(house.site.settings, house.site.tenant, told, "json", "bia")
    customer_id = house.of("ana@example.com")
    assert path.parent.name == "titulares"
    assert path.name == f"titular_{customer_id}_2026-03-15.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == told
    record = house.ops.exports()[-1]
    assert (record.kind, record.customer_ids, record.actor) == (
        "titulares", (customer_id,), "bia",
    )  # fmt: skip


def test_two_people_on_one_phone_are_never_shown_together(house):
    assert house.of("bruno@example.com") == house.of("carla@example.com")
    with pytest.raises(ChooseRecords) as choice:
        house.told("bruno@example.com")
    (bruno,), (carla,) = choice.value.groups
    assert bruno == {"ref": "hotmart:u2", "source": "hotmart", "name": "B*** L***",
                     "email": "b***@e***", "phone": "+55*********02"}  # fmt: skip
    assert carla["ref"] == "manychat:2"
    assert "@" not in str(choice.value)


@pytest.mark.parametrize(
    ("named", "present", "absent"),
    [
        ("hotmart:u2", ("bruno@example.com", "HP2"), ("carla", "manychat:2")),
        ("hotmart:HP2", ("bruno@example.com", "HP2"), ("carla", "manychat:2")),
        ("manychat:2", ("carla@example.com",), ("bruno", "u2", "HP2")),
    ],
)
def test_the_records_of_whoever_asks_are_shown_alone(house, named, present, absent):
    told = house.told("bruno@example.com", [named])
    text = json.dumps(told)
    assert not told["titular"]["cadastro_inteiro"]
    assert "silver.customers" not in told["dados"], "it is made of both"
    assert told["arquivos_gerados"] == []
    assert all(one in text for one in present)
    assert not any(one in text for one in absent)
    assert "só têm o telefone em comum" in rendered(told, "txt")


def test_who_names_all_records_gets_all(house):
    told = house.told("bruno@example.com", ["hotmart:u2", "manychat:2"])
    assert told["titular"]["cadastro_inteiro"]


@pytest.mark.parametrize("named", [["manychat:1"], ["hotmart:u2", "nothing"]])
def test_a_record_of_somebody_else_is_refused(house, named):
    with pytest.raises(UnknownRecord):
        house.told("bruno@example.com", named)


def test_every_table_that_can_hold_a_person_is_told():
    """The register of the eraser knows every table; the statement tells those with people."""
    held = {name for name in {**OF_RECORDS, **OF_PERSON} if not name.endswith("<name>")}
    personal = {
        name
        for name, rule in erased_tables.TABLES.items()
        if not isinstance(rule, erased_tables.Impersonal)
    }
    assert personal - held - TOLD_OTHERWISE == set()
    assert {**OF_RECORDS, **OF_PERSON}.keys() == TITLES.keys()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ana@example.com", "a***@e***"),
        ("+5511987650001", "+55*********01"),
        ("Ana  de Souza", "A*** d*** S***"),
        (None, None),
    ],
)
def test_what_identifies_is_masked(text, shown):
    assert masked(text) == shown
