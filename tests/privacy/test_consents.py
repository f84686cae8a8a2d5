"""What people allowed and refused: the ledger, what is in force, and who obeys it (rules 3.3)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import NOON, Lake, cus, random_cases, site

from crm_assets.checks.silver import Consents, ContactRecords, CustomerXref, OptOuts
from crm_assets.contact.channels import CHANNELS
from crm_assets.privacy.consents import (
    PURPOSES,
    Keys,
    UnknownKey,
    consent_actions,
    keys_of,
    keys_of_customer,
    opt_out_actions,
)
from crm_assets.silver.contacts import _write

DAY = timedelta(days=1)
MAIL, PHONE, SHORT = "a@example.com", "+5511987650001", "+551187650001"
ALL = {(channel, purpose) for channel in CHANNELS for purpose in PURPOSES}
NOBODY = {"customer_id": None, "actor": "ana", "at": NOON}


def refined(actions=(), records=()):
    """A lake whose step of the action log has run."""
    lake = Lake()
    for number, action in enumerate(actions, start=1):
        lake.bronze(
            "bronze.crm_actions",
            {"id": number, "idempotency_key": str(number), "occurred_at": NOON, **action},
        )
    rows = [
        {"record_id": f"manychat:file{row.pop('file')}:{i}", "source": "manychat",
         "source_id": str(i), **row}
        for i, row in enumerate(map(dict, records))
    ]  # fmt: skip
    lake.put("silver.contact_records", ContactRecords, *rows)
    lake.put(
        "silver.customer_xref",
        CustomerXref,
        *({name: row[name] for name in ("record_id", "source_id")} | {"customer_id": cus(1)}
          for row in rows),
    )  # fmt: skip
    _write(site(), lake.tx)
    assert lake.keeps("silver.consents", Consents)
    assert lake.keeps("silver.opt_outs", OptOuts)
    return lake


def no(day=0, channel=None, purpose=None, **more):
    keys = {"email_key": MAIL} if "phone_key" not in more else {}
    return {"kind": "opt_out", "occurred_at": NOON + day * DAY, "channel": channel,
            "purpose": purpose, **keys, **more}  # fmt: skip


def yes(day=0, channel="whatsapp", purpose="remarketing", **more):
    keys = {"email_key": MAIL} if "phone_key" not in more else {}
    return {"kind": "consent", "occurred_at": NOON + day * DAY, "channel": channel,
            "purpose": purpose, "payload": '{"wording": "Aceito", "evidence": "f1"}',
            **keys, **more}  # fmt: skip


def blocked(lake, key=MAIL):
    """The channels and purposes that a key may not be contacted by and for."""
    rows = lake.rows("SELECT channel, purpose FROM silver.opt_outs WHERE key = ?", [key])
    return {
        (channel, purpose)
        for channel, purpose in ALL
        if any(
            row["channel"] in {channel, None} and row["purpose"] in {purpose, None} for row in rows
        )
    }


def only(channel=None, purpose=None):
    return {cell for cell in ALL if channel in {cell[0], None} and purpose in {cell[1], None}}


ONE = ("whatsapp", "remarketing")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        pytest.param([], set(), id="nothing said"),
        pytest.param([no()], ALL, id="everything refused"),
        pytest.param([no(channel="sms")], only("sms"), id="one channel"),
        pytest.param([no(purpose="novidades")], only(purpose="novidades"), id="one purpose"),
        pytest.param([yes()], set(), id="only allowed"),
        pytest.param([no(), yes(1)], ALL - {ONE}, id="a later consent lifts what it names"),
        pytest.param([no(1), yes()], ALL, id="an earlier one lifts nothing"),
        pytest.param([no(), yes()], ALL - {ONE}, id="of one instant, the later action"),
        pytest.param([yes(), no()], ALL, id="of one instant, the later refusal"),
        pytest.param([no(), yes(1), no(2)], ALL, id="refused again"),
        pytest.param([no(channel="whatsapp", purpose="remarketing"), yes(1)], set(), id="exactly"),
        pytest.param([no(channel="sms"), yes(1)], only("sms"), id="another channel"),
        pytest.param([no(purpose="novidades"), yes(1)], only(purpose="novidades"),
                     id="another purpose"),
        pytest.param([no(purpose="eventos"), yes(1, purpose="eventos")], set(),
                     id="a purpose of another version"),
        pytest.param([no(), yes(1, channel=None)], ALL, id="a consent to any channel is void"),
        pytest.param([no(), yes(1, purpose=None)], ALL, id="a consent for anything is void"),
        pytest.param([no(), yes(1, payload='{"given_at": "2026-03-14T00:00:00-03:00"}')], ALL,
                     id="given before, written down after"),
        pytest.param([no(email_key="b@example.com"), yes(1)], set(), id="another person"),
    ],
)  # fmt: skip
def test_what_is_in_force(words, found):
    assert blocked(refined(words)) == found


def test_a_refusal_that_nobody_touched_stays_as_it_was_said():
    rows = refined([no(), no(2)]).rows("SELECT * EXCLUDE since FROM silver.opt_outs")
    assert rows == [
        {"key_kind": "email", "key": MAIL, "channel": None, "purpose": None, "origin": "pedido"}
    ]


CHANNEL = st.sampled_from([None, *CHANNELS])
WORDS = st.lists(
    st.one_of(
        st.builds(no, st.integers(0, 5), CHANNEL, st.sampled_from([None, *PURPOSES])),
        st.builds(yes, st.integers(0, 5), st.sampled_from(CHANNELS), st.sampled_from(PURPOSES)),
    ),
    max_size=6,
)


def last_word_refuses(words, cell):
    """The rule in plain words: of all that was said of a channel and purpose, the last counts."""
    said = [
        (word["occurred_at"], place, word["kind"])
        for place, word in enumerate(words)
        if word["channel"] in {cell[0], None} and word["purpose"] in {cell[1], None}
    ]
    return bool(said) and max(said)[2] == "opt_out"


@given(WORDS)
@random_cases(12)
def test_the_last_word_counts_whatever_was_said_before(words):
    assert blocked(refined(words)) == {cell for cell in ALL if last_word_refuses(words, cell)}


def optin(value, day, **more):
    return {"email_key": MAIL, "optin_whatsapp": value, "observed_at": NOON + day * DAY,
            "file": day, **more}  # fmt: skip


REVOKED = [optin(True, 1), optin(False, 2)]


@pytest.mark.parametrize(
    ("records", "words", "found"),
    [
        (REVOKED, [yes(3)], only("whatsapp") - {ONE}),
        (REVOKED, [yes(1)], only("whatsapp")),
        (REVOKED, [yes(2)], only("whatsapp")),
        ([*REVOKED, optin(True, 3)], [], only("whatsapp")),
        ([*REVOKED, optin(True, 4), optin(False, 5)], [yes(3)], only("whatsapp")),
        ([*REVOKED, optin(True, 4)], [yes(3)], only("whatsapp") - {ONE}),
        ([optin(True, 1)], [no(0)], ALL),
        ([optin(True, 9)], [no(0)], ALL),
    ],
    ids=[
        "a consent lifts it", "an earlier one does not", "nor one of the same instant",
        "no import lifts it", "what is withdrawn after the consent counts anew",
        "an import says nothing after a consent", "an opt-in before", "no opt-in lifts a request",
    ],
)  # fmt: skip
def test_what_imports_show_against_what_was_said(records, words, found):
    assert blocked(refined(words, records)) == found


def test_the_ledger_tells_every_word_with_its_proof():
    records = [optin(False, 0), *REVOKED, optin(True, 3)]
    words = [no(channel="sms", reason="respondeu SAIR", actor="ana"), yes(1, actor="ana")]
    rows = refined(words, records).rows("FROM silver.consents ORDER BY occurred_at, action_id")
    told = [(r["status"], r["channel"], r["source"], r["evidence"], r["action_id"]) for r in rows]
    assert told == [
        ("revoked", "sms", "pedido", "respondeu SAIR", 1),
        ("granted", "whatsapp", "pedido", "f1", 2),
        ("granted", "whatsapp", "manychat", "manychat:file1:1", None),
        ("revoked", "whatsapp", "manychat", "manychat:file2:2", None),
        ("granted", "whatsapp", "manychat", "manychat:file3:3", None),
    ]
    assert [row["wording"] for row in rows] == [None, "Aceito", None, None, None]


def test_a_revocation_that_was_lifted_is_not_forgotten_with_its_file():
    lake = refined([yes(3)], REVOKED)
    lake.tx.execute("DELETE FROM silver.contact_records WHERE record_id LIKE 'manychat:file2%'")
    for _ in range(2):
        _write(site(), lake.tx)
    revoked = lake.rows("FROM silver.consents WHERE status = 'revoked'")
    assert [(row["occurred_at"], row["evidence"]) for row in revoked] == [
        (NOON + 2 * DAY, "manychat:file2:1")
    ]
    assert blocked(lake) == only("whatsapp") - {ONE}


def test_a_number_whose_revocation_was_lifted_stays_free_in_both_forms():
    keys = {"email_key": None, "phone": PHONE, "phone_key": PHONE}
    records = [optin(True, 1, **keys), optin(False, 2, **keys)]
    lake = refined([], records)
    for _ in range(2):
        _write(site(), lake.tx)
    assert blocked(lake, PHONE) == blocked(lake, SHORT) == only("whatsapp")
    assert lake.value("SELECT count(*) FROM silver.consents WHERE status = 'revoked'") == 1
    word = yes(3, phone_key=PHONE)
    lake.bronze("bronze.crm_actions", {"id": 1, "idempotency_key": "1", **word})
    for _ in range(2):
        _write(site(), lake.tx)
        assert blocked(lake, PHONE) == blocked(lake, SHORT) == only("whatsapp") - {ONE}


def test_a_warehouse_of_before_the_ledger_keeps_its_revocations():
    lake = refined()
    lake.tx.execute("DROP TABLE silver.consents")
    lake.put(
        "silver.opt_outs",
        OptOuts,
        {"key_kind": "email", "key": MAIL, "channel": "email", "origin": "manychat"},
        {"key_kind": "email", "key": MAIL, "channel": "sms", "origin": "pedido"},
    )
    for _ in range(2):
        _write(site(), lake.tx)
        assert blocked(lake) == only("email")
        assert lake.value("SELECT count(*) FROM silver.consents") == 1


@pytest.mark.parametrize("said", [PHONE, SHORT])
@pytest.mark.parametrize("allowed", [PHONE, SHORT])
def test_a_number_is_blocked_with_and_without_the_ninth_digit(said, allowed):
    refusal = no(phone_key=said)
    lake = refined([refusal])
    assert blocked(lake, PHONE) == blocked(lake, SHORT) == ALL
    lake = refined([refusal, yes(1, phone_key=allowed)])
    assert blocked(lake, PHONE) == blocked(lake, SHORT) == ALL - {ONE}


@pytest.mark.parametrize("number", ["+551132345678", "+15551234567", "+5511900000001"])
def test_a_number_that_never_lacked_the_digit_has_one_form(number):
    lake = refined([no(phone_key=number)])
    assert lake.column("SELECT key FROM silver.opt_outs") == [number]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (" Ana@Example.com ", Keys(emails=("ana@example.com",))),
        ("11 8765-0001", Keys(phones=(PHONE,))),
        ("(11) 98765-0001", Keys(phones=(PHONE,))),
        ("+1 415 555 2671", Keys(phones=("+14155552671",))),
        ("11 1234-1234", None),
        ("98765-0001", None),
        ("teste@example.com.invalid", None),
        ("Ana Souza", None),
        ("", None),
    ],
)
def test_a_person_is_meant_by_an_email_or_phone_in_any_writing(text, keys):
    if keys is None:
        with pytest.raises(UnknownKey) as refusal:
            keys_of(text)
        assert not text or text not in str(refusal.value)
    else:
        assert keys_of(text) == keys


def test_a_suspect_number_identifies_nobody_and_can_still_say_no():
    assert keys_of("11 91111-2222") == Keys(phones=("+5511911112222",))


def test_a_customer_is_meant_with_every_key():
    records = [
        {"email_key": MAIL, "phone": PHONE, "phone_key": PHONE, "file": 1},
        {"email_key": "b@example.com", "phone": "+5511911112222", "file": 2},
    ]
    keys = keys_of_customer(refined(records=records).tx, cus(1))
    assert keys == Keys((MAIL, "b@example.com"), ("+5511911112222", PHONE))


def test_what_is_written_down_is_read_back():
    keys = Keys((MAIL,), (PHONE,))
    said = opt_out_actions(keys, channels=["sms"], purpose=None, reason="SAIR", **NOBODY)
    allowed = consent_actions(
        keys, channels=["sms"], purpose="novidades", wording="Aceito", evidence="f1",
        source="formulario", given_at=NOON + DAY, **NOBODY,
    )  # fmt: skip
    assert len({action.idempotency_key for action in (*said, *allowed)}) == 4
    assert all(MAIL not in a.idempotency_key for a in (*said, *allowed)), "no address in it"
    assert (
        opt_out_actions(Keys((MAIL,)), channels=[], purpose=None, reason="", **NOBODY)[0].channel
        is None
    )


@pytest.mark.slow
def test_who_left_is_in_no_file_of_any_format_and_in_no_batch(world, finished_home):
    """The whole path: a word in the log, the next round, and every file that is made after it."""
    import shutil

    from crm_assets.gold.files import Exporter
    from crm_assets.gold.formats import Format

    shutil.copytree(finished_home, world.home, dirs_exist_ok=True)
    batch = world.rows("SELECT customer_id, phone FROM gold.remarketing_batches ORDER BY position")
    world = world.at("2026-03-16T09:00:00-03:00")
    member = world.value("SELECT customer_id FROM gold.audience_ilpi ORDER BY ltv DESC LIMIT 1")
    tx_keys = world.rows(
        "SELECT DISTINCT email_key FROM silver.contact_records JOIN silver.customer_xref "
        "USING (record_id) WHERE customer_id = ? AND email_key IS NOT NULL", [member]
    )  # fmt: skip
    gone = Keys(emails=tuple(row["email_key"] for row in tx_keys))
    silent = next(row for row in batch if row["customer_id"] != member)
    at = world.settings.now()
    words = {"reason": "SAIR", "customer_id": None, "actor": "ana", "at": at, "purpose": None}
    world.ops.append_actions(
        [
            *opt_out_actions(gone, channels=[], **words),
            *opt_out_actions(Keys(phones=(silent["phone"],)), channels=["whatsapp"], **words),
        ]
    )
    world.green("actions", "refine")
    rows = world.rows(
        "SELECT customer_id, opted_out, blocked_channels FROM silver.customers "
        "WHERE customer_id IN (?, ?)", [member, silent["customer_id"]]
    )  # fmt: skip
    known = {row["customer_id"]: row for row in rows}
    assert known[member]["opted_out"]
    assert known[silent["customer_id"]]["blocked_channels"] == ["whatsapp"]
    assert not world.value(
        "SELECT count(*) FROM gold.remarketing_batches WHERE batch_date = '2026-03-16' "
        "AND customer_id IN (?, ?)", [member, silent["customer_id"]]
    )  # fmt: skip
    for flavour in Format:
        exporter = Exporter(world.settings, world.tenant, world.ops, flavour)
        made = [exporter.audience(slug) for slug in world.tenant.audiences]
        made += [exporter.customers(), exporter.remarketing(world.site.today())]
        for export in made:
            assert member not in export.customer_ids, flavour
            if flavour in {Format.CSV, Format.TXT, Format.VCF} and export.path:
                digits = silent["phone"].removeprefix("+")
                assert digits not in export.path.read_text(encoding="utf-8"), flavour
