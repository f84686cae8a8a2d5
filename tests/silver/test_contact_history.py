"""Whom we spoke to and who asked us not to (rules 3)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from lake import NOON, Lake, cus, site

from crm_assets.checks.silver import ContactHistory, ContactRecords, CustomerXref, OptOuts
from crm_assets.silver.contacts import LOG_POSITION, _write

TODAY = date(2026, 3, 15)
DAY = timedelta(days=1)
MAIL, PHONE = "a@example.com", "+5511900000001"


def action(kind, number=1, day=TODAY, **more):
    return {"kind": kind, "customer_id": cus(number), "day": day, "occurred_at": NOON, **more}


def contacts(actions=(), records=(), merged=()):
    lake = Lake()
    lake.bronze(
        "bronze.crm_actions",
        *(
            {"id": i, "idempotency_key": str(i), **entry}
            for i, entry in enumerate(actions, start=1)
        ),
    )
    rows = [
        {"record_id": f"manychat:file{entry.pop('file', 0)}:{i}", "source": "manychat",
         "source_id": str(i), **entry}
        for i, entry in enumerate(map(dict, records))
    ]  # fmt: skip
    lake.put("silver.contact_records", ContactRecords, *rows)
    lake.put(
        "silver.customer_xref",
        CustomerXref,
        *(
            {"record_id": r["record_id"], "source_id": r["source_id"], "customer_id": cus(1)}
            for r in rows
        ),
    )
    for old, survivor in [(1, 1), (2, 2), *merged]:
        lake.tx.execute(
            "INSERT INTO silver.customer_ids VALUES (?, 'x', now(), ?)", [cus(old), cus(survivor)]
        )
    lake.told = _write(site(), lake.tx)
    for table, contract in (
        ("silver.contact_history", ContactHistory),
        ("silver.opt_outs", OptOuts),
    ):
        assert lake.keeps(table, contract)
    return lake


SELECTED = action("batch_selected")


@pytest.mark.parametrize(
    ("actions", "merged", "outcome", "counts"),
    [
        ([SELECTED], (), "selecionado", True),
        ([SELECTED, action("batch_delivered")], (), "entregue", True),
        ([SELECTED, action("batch_skipped")], (), "pulado", False),
        ([SELECTED, action("batch_delivered"), action("batch_skipped")], (), "pulado", False),
        ([SELECTED, action("batch_delivered", 2)], (), "selecionado", True),
        ([SELECTED, action("batch_delivered", day=TODAY - DAY)], (), "selecionado", True),
        ([action("batch_selected", day=TODAY - DAY)], (), "nao_entregue", False),
        ([action("batch_selected", day=TODAY - DAY), action("batch_delivered", day=TODAY - DAY)],
         (), "entregue", True),
        ([action("batch_selected", 7), action("batch_skipped", 1)], [(7, 1)], "pulado", False),
        ([action("batch_selected", 7), action("batch_delivered", 1)], [(7, 1)], "entregue", True),
    ],
)  # fmt: skip
def test_what_became_of_a_place(actions, merged, outcome, counts):
    (row,) = contacts(actions, merged=merged).rows("FROM silver.contact_history")
    assert (row["outcome"], row["counts"]) == (outcome, counts)
    assert row["customer_id"] == actions[0]["customer_id"], "history keeps the id as written"


def test_data_remarketing_is_a_contact_on_its_local_day():
    at = NOON.replace(hour=2, minute=59)
    lake = contacts(records=[{"remarketing_at": at}, {"last_interaction_at": at}])
    (row,) = lake.rows("FROM silver.contact_history")
    assert (row["kind"], row["day"], row["counts"]) == ("data_remarketing", TODAY - DAY, True)
    assert lake.told["silver.contact_history"] == {"contam como contato": 1}


def test_other_actions_are_no_contact():
    lake = contacts([action("opt_out", email_key=MAIL), action("batch_delivered")])
    assert lake.value("SELECT count(*) FROM silver.contact_history") == 0


def opt_outs(actions=(), records=()):
    found = contacts(actions, records).rows(
        "SELECT key_kind, key, channel, origin FROM silver.opt_outs ORDER BY ALL"
    )
    return [tuple(row.values()) for row in found]


def test_an_opt_out_action_counts_for_each_of_its_keys():
    both = action("opt_out", email_key=MAIL, phone_key=PHONE)
    assert opt_outs([both]) == [("email", MAIL, None, "pedido"), ("phone", PHONE, None, "pedido")]
    mail_only = action("opt_out", email_key=MAIL, channel="email")
    assert opt_outs([mail_only]) == [("email", MAIL, "email", "pedido")]


def optin(value, day, file=None, **more):
    return {
        "email_key": MAIL,
        "optin_whatsapp": value,
        "observed_at": NOON + day * DAY,
        "file": day if file is None else file,
        **more,
    }


REVOKED = [("email", MAIL, "whatsapp", "manychat")]


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([optin(False, 1)], []),
        ([optin(None, 1), optin(False, 2)], []),
        ([optin(False, 1), optin(True, 2)], []),
        ([optin(True, 1)], []),
        ([optin(True, 1), optin(False, 2)], REVOKED),
        ([optin(True, 1), optin(None, 2), optin(False, 3)], REVOKED),
        ([optin(True, 1), optin(False, 2), optin(True, 3)], REVOKED),
        ([optin(True, 1), optin(False, 2), optin(True, 3), optin(False, 4)], REVOKED),
        ([optin(True, 1), optin(False, 1)], []),
        ([optin(True, 1), optin(False, 2, email_key="b@example.com")], []),
        ([optin(True, 1), optin(False, 1), optin(False, 2)], REVOKED),
    ],
)
def test_only_true_turned_false_between_imports_is_a_revocation(records, found):
    assert opt_outs(records=records) == found
    assert opt_outs(records=records[::-1]) == found


def test_a_revocation_is_per_channel_and_for_every_key():
    keys = {"phone": PHONE, "phone_key": PHONE}
    records = [optin(True, 1, optin_sms=True, **keys), optin(False, 2, optin_sms=True, **keys)]
    assert opt_outs(records=records) == [*REVOKED, ("phone", PHONE, "whatsapp", "manychat")]


def test_the_position_in_the_log_is_what_this_step_read():
    position = f"FROM {LOG_POSITION}"
    assert contacts().value(position) == 0
    lake = contacts([SELECTED, SELECTED])
    lake.bronze("bronze.crm_actions", action("opt_out", email_key=MAIL, id=9))
    assert lake.value(position) == 2


def test_an_id_of_a_lost_warehouse_is_found_again_by_the_keys_of_its_selection():
    """Master 1 holds the person whom the log knows as 8; nobody knows the person called 9."""
    record = {"email_key": MAIL, "email": MAIL, "phone": PHONE}
    lost = [
        action("batch_selected", 8, phone_key=PHONE),
        action("batch_delivered", 8),
        action("batch_selected", 9, email_key="z@example.com"),
    ]
    rows = contacts(lost, [record]).rows("FROM silver.contact_history ORDER BY customer_id")
    assert [(row["customer_id"], row["outcome"]) for row in rows] == [
        (cus(1), "entregue"),
        (cus(9), "selecionado"),
    ]


def test_a_revocation_outlives_the_file_that_showed_it():
    optins = [
        {"email_key": MAIL, "optin_email": optin, "file": n} for n, optin in ((0, True), (1, False))
    ]
    lake = contacts(records=[row | {"observed_at": NOON + row["file"] * DAY} for row in optins])
    (before,) = lake.rows("FROM silver.opt_outs")
    lake.tx.execute("DELETE FROM silver.contact_records WHERE record_id LIKE 'manychat:file1%'")
    _write(site(), lake.tx)
    assert lake.rows("FROM silver.opt_outs") == [before]
    assert (before["channel"], before["origin"]) == ("email", "manychat")
