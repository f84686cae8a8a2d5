"""An erasure in the inbox: the person goes from what was posted, the facts of the sale stay."""

import json

import pytest
from ops_samples import AT

from crm_assets.privacy.erased_ops import forget_ops
from crm_assets.privacy.scrub import HIDDEN
from crm_resources.ops import InboxEvent, OpsStore

pytestmark = pytest.mark.slow

TEXTS = ("ana@example.com", "5511987651234", "ana souza")
SALE = {
    "id": "e1",
    "event": "PURCHASE_APPROVED",
    "data": {
        "product": {"id": 7, "name": "Curso"},
        "buyer": {"name": "Ana Souza", "email": "ana@example.com", "address": {"city": "Recife"}},
        "purchase": {"transaction": "HP1", "price": {"value": 10.5}},
        "subscription": {"plan": {"name": "Mensal"}, "subscriber": {"code": "ABC", "name": "Ana"}},
        "affiliates": [{"name": "ana souza"}, {"name": "Bia"}],
    },
}
LEFT = {
    "id": "e1",
    "event": "PURCHASE_APPROVED",
    "data": {
        "product": {"id": 7, "name": "Curso"},
        "purchase": {"transaction": "HP1", "price": {"value": 10.5}},
        "subscription": {"plan": {"name": "Mensal"}, "subscriber": {"code": "ABC"}},
        "affiliates": [{}, {"name": "Bia"}],
    },
}
OLD = {"transaction": "HP1", "email": "ana@example.com", "first_name": "Ana", "doc": "1",
       "phone_number": "1", "address_city": "Recife", "prod_name": "Curso",
       "name_subscription_plan": "Mensal"}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (json.dumps(SALE), json.dumps(LEFT)),
        (json.dumps(SALE).replace("ana@", "joana@").replace("Ana Souza", "Ana").replace(
            "ana souza", "x"), None),
        (json.dumps(OLD), '{"transaction": "HP1", "prod_name": "Curso", '
         '"name_subscription_plan": "Mensal"}'),
        ('{"id": "1", "name": "Ana", "whatsapp_phone": "+5511987651234"}', "{}"),
        ('["ana@example.com"]', "{}"),
        ("ana@example.com, sem JSON", HIDDEN),
        ("outra coisa", None),
        ('{"a": 1.10}', None),
        ('{"event": "\\ud800", "data": {"e": "ana@example.com"}}', '{"event": "?", "data": {}}'),
    ],
)  # fmt: skip
def test_a_person_goes_from_what_was_posted_and_the_sale_stays(store, address, body, left):
    other = OpsStore(address, "other")
    for one in (store, other):
        one.receive([InboxEvent(kind="hotmart", event_key="e1", body=body, received_at=AT)])
    counted = {} if left is None else {"operações: inbox": 1}
    assert forget_ops(store, TEXTS, {}, dry_run=True) == counted
    assert store.events()[0].body == body
    assert forget_ops(store, TEXTS, {}) == counted
    assert store.events()[0].body == (body if left is None else left)
    assert forget_ops(store, TEXTS, {}) == {}
    assert other.events()[0].body == body
