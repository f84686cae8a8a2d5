"""Cancelling and reactivating as a person asks for it: state first, read back, one log."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tenacity import wait_none
from typer.testing import CliRunner

from crm_assets.outbound.subscription_actions import (
    LINK_LASTS,
    Order,
    Result,
    carry_out,
    rehearse,
    settle,
    waiting,
)
from crm_resources.hotmart import HotmartClient, HotmartError, Limiter
from crm_resources.hotmart.sandbox import SANDBOX_CREDENTIALS, Faults
from crm_resources.hotmart.sandbox_data import SandboxData
from crm_resources.ops import OpsStore

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def sales():
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 30, tzinfo=UTC)
    return SandboxData.generate(7, 600, start, end)


@pytest.fixture
def account(shared_sandbox, sales):
    """The server of a sandbox with invented subscriptions."""
    data = SandboxData(sales.find(), sales.now_ms)
    shared_sandbox.sandbox.reset(data, Faults(calls_per_minute=0))
    return shared_sandbox


@pytest.fixture
def ops(tmp_path):
    return OpsStore(tmp_path / "ops.sqlite", "default")


@pytest.fixture
def connect(account):
    def make():
        return HotmartClient(
            SANDBOX_CREDENTIALS, account.url, account.url, attempts=2, backoff=wait_none(),
            limiter=Limiter(100_000, period=0.3, concurrency=16),
        )  # fmt: skip

    return make


def codes(account, *statuses):
    held = {}
    for each in account.sandbox.data.subscriptions():
        if each.billing_type == "SUBSCRIPTION":
            held.setdefault(each.item["subscriber_code"], []).append(each.item["status"])
    return [code for code, found in held.items() if len(found) == 1 and found[0] in statuses]


def order(verb, *wanted, at=AT, option=True):
    return Order(
        verb=verb, codes=wanted, option=option, actor="ana", reason="pediu", at=at,
        owners={wanted[0]: "cus_1"},
    )  # fmt: skip


def steps(ops):
    log = ops.actions()
    return [
        (kind.removeprefix("subscription_"), json.loads(payload)["subscriber_code"])
        for kind, payload in zip(log["kind"], log["payload"], strict=True)
    ]


def sent(account, verb):
    answered = account.sandbox.answers.items()
    return sum(count for answer, count in answered if answer.startswith(f"{verb} "))


async def do(connect, ops, wish):
    async with connect() as client:
        results = await carry_out(client, ops, wish, waits=(0.0, 0.0))
    return [(result.code, result.outcome) for result in results]


@pytest.mark.anyio
async def test_each_stands_where_its_state_says_and_only_what_is_due_is_asked_for(
    account, connect, ops
):
    running, ended = codes(account, "ACTIVE")[0], codes(account, "CANCELLED_BY_CUSTOMER")[0]
    wish = order("cancel", running, ended, "NOBODY00")
    assert await do(connect, ops, wish) == [
        (running, "done"), (ended, "already"), ("NOBODY00", "missing"),
    ]  # fmt: skip
    assert steps(ops) == [("cancel_requested", running), ("cancel_done", running)]
    log = ops.actions()
    assert set(log["actor"]) == {"ana"}
    assert set(log["reason"]) == {"pediu"}
    assert set(log["customer_id"]) == {"cus_1"}
    assert json.loads(log["payload"][0])["send_mail"] is True
    assert await do(connect, ops, order("cancel", running)) == [(running, "already")]
    assert len(ops.actions()) == 2
    assert sent(account, "cancel") == 1


@pytest.mark.anyio
async def test_a_rehearsal_asks_for_nothing(account, connect, ops):
    running = codes(account, "ACTIVE")[0]
    async with connect() as client:
        told = await rehearse(client, order("cancel", running), ops.actions())
    assert told == [Result(running, "due", "ACTIVE")]
    assert sent(account, "cancel") == 0
    assert ops.actions().is_empty()


@pytest.mark.anyio
async def test_a_cancellation_without_answer_is_read_back_and_found_done(account, connect, ops):
    running = codes(account, "ACTIVE")[0]
    account.sandbox.faults.lost_changes = ["502"]
    assert await do(connect, ops, order("cancel", running)) == [(running, "done")]
    assert sent(account, "cancel") == 1
    assert steps(ops)[-1] == ("cancel_done", running)


@pytest.mark.anyio
async def test_a_cancellation_that_was_not_made_is_asked_for_once_more(account, connect, ops):
    running = codes(account, "ACTIVE")[0]
    async with connect() as client:
        await client._access_token()
        account.sandbox.faults.next_answers = []
        original = client.post
        calls = []

        async def flaky(path, body, where):
            calls.append(path)
            if len(calls) == 1:
                account.sandbox.faults.next_answers = ["503"]
            return await original(path, body, where)

        client.post = flaky
        results = await carry_out(client, ops, order("cancel", running), waits=(0.0,))
    assert [(r.code, r.outcome) for r in results] == [(running, "done")]
    assert len(calls) == 2


@pytest.mark.anyio
async def test_what_stays_unknown_is_told_so_and_may_be_asked_again(account, connect, ops):
    running = codes(account, "ACTIVE")[0]
    async with connect() as client:

        async def silent(path, body, where):
            from crm_resources.hotmart import UnansweredError

            raise UnansweredError("sem resposta")

        client.post = silent
        results = await carry_out(client, ops, order("cancel", running), waits=(0.0,))
    assert [(r.code, r.outcome) for r in results] == [(running, "unknown")]
    assert steps(ops)[-1] == ("cancel_unknown", running)
    assert await do(connect, ops, order("cancel", running)) == [(running, "done")]


@pytest.mark.anyio
async def test_a_refusal_changes_nothing_and_gives_the_reason(account, connect, ops):
    running = codes(account, "ACTIVE")[0]
    account.sandbox.faults.refuse_changes = {running: "SUBSCRIPTION_IN_DISPUTE"}
    async with connect() as client:
        (result,) = await carry_out(client, ops, order("cancel", running), waits=(0.0,))
    assert result == Result(running, "refused", "SUBSCRIPTION_IN_DISPUTE")
    assert json.loads(ops.actions()["payload"][-1])["detail"] == "SUBSCRIPTION_IN_DISPUTE"


@pytest.mark.anyio
async def test_nothing_is_asked_when_the_state_cannot_be_read(account, connect, ops):
    account.sandbox.faults.down_endpoints = ["subscriptions"]
    with pytest.raises(HotmartError):
        await do(connect, ops, order("cancel", codes(account, "ACTIVE")[0]))
    assert ops.actions().is_empty()


@pytest.mark.anyio
async def test_a_reactivation_waits_for_its_subscriber_and_is_not_asked_for_twice(
    account, connect, ops
):
    ended = codes(account, "CANCELLED_BY_CUSTOMER")[0]
    assert await do(connect, ops, order("reactivate", ended)) == [(ended, "pending")]
    assert await do(connect, ops, order("reactivate", ended)) == [(ended, "pending")]
    assert sent(account, "reactivate") == 1
    (found,) = waiting(ops.actions(), AT).values()
    assert found.until == AT + LINK_LASTS
    later = AT + LINK_LASTS + timedelta(seconds=1)
    assert waiting(ops.actions(), later) == {}
    async with connect() as client:
        assert list(await settle(client, ops, AT)) == [ended]
        httpx.post(f"{account.url}/sandbox/accept/{ended}")
        assert await settle(client, ops, AT) == {}
        assert await settle(client, ops, AT) == {}
    assert steps(ops) == [("reactivate_requested", ended), ("reactivate_done", ended)]
    assert await do(connect, ops, order("reactivate", ended)) == [(ended, "already")]


@pytest.mark.anyio
async def test_a_link_that_ended_may_be_asked_for_anew(account, connect, ops):
    ended = codes(account, "CANCELLED_BY_CUSTOMER")[0]
    await do(connect, ops, order("reactivate", ended))
    later = AT + LINK_LASTS + timedelta(seconds=1)
    assert await do(connect, ops, order("reactivate", ended, at=later)) == [(ended, "pending")]
    assert sent(account, "reactivate") == 2


@pytest.mark.anyio
async def test_a_reactivation_without_answer_is_never_sent_again(account, connect, ops):
    ended = codes(account, "CANCELLED_BY_CUSTOMER")[0]
    account.sandbox.faults.lost_changes = ["drop"]
    assert await do(connect, ops, order("reactivate", ended)) == [(ended, "unknown")]
    assert await do(connect, ops, order("reactivate", ended)) == [(ended, "pending")]
    assert sent(account, "reactivate") == 1


@pytest.mark.anyio
async def test_a_subscription_at_the_end_of_its_cycles_cannot_come_back(account, connect, ops):
    overdue = codes(account, "OVERDUE") or codes(account, "CANCELLED_BY_CUSTOMER")
    account.sandbox.data.change(overdue[0], {"status": "OVERDUE"})
    assert await do(connect, ops, order("reactivate", overdue[0])) == [(overdue[0], "refused")]
    assert sent(account, "reactivate") == 0


@pytest.mark.anyio
async def test_what_an_erasure_blanked_waits_for_nobody(ops):
    from crm_resources.ops import Action

    kind = "subscription_reactivate_requested"
    ops.append_actions([Action(kind=kind, idempotency_key="1", payload=None, at=AT)])
    assert waiting(ops.actions(), AT) == {}


# The command


@pytest.fixture
def crm(account, tmp_path):
    from crm_cli.app import app

    environ = {
        "ENVIRONMENT": "prd", "CRM_HOME": str(tmp_path), "CRM_TENANTS": "", "CRM_NOW": "",
        "HOTMART_API_URL": account.url, "HOTMART_AUTH_URL": account.url,
        "HOTMART_CLIENT_ID": SANDBOX_CREDENTIALS.client_id,
        "HOTMART_CLIENT_SECRET": SANDBOX_CREDENTIALS.client_secret,
    }  # fmt: skip

    def call(*arguments, **more):
        return CliRunner().invoke(app, ["subscriptions", *arguments], env=environ, **more)

    return call


def test_the_command_rehearses_asks_and_does(crm, account, tmp_path):
    first, second = codes(account, "ACTIVE")[:2]
    listed = tmp_path / "codigos.txt"
    listed.write_text(f"{first}\n\n{second}\n{first}\n")
    told = crm("cancel", "--file", str(listed), "--dry-run")
    assert told.exit_code == 0
    assert told.output.count("será pedido") == 2
    assert "Nada foi pedido" in told.output
    told = crm("cancel", first, "--reason", "pediu", input="n\n")
    assert told.exit_code == 1
    assert sent(account, "cancel") == 0
    told = crm("cancel", "-", "--reason", "pediu", "--yes", "--no-mail", input=f"{first} {second}")
    assert told.exit_code == 0
    assert told.output.count("feito") == 2
    told = crm("cancel", first, "NOBODY00", "--reason", "pediu", "--yes")
    assert told.exit_code == 1
    assert "já estava assim" in told.output
    assert "não encontrado" in told.output


def test_the_command_shows_what_waits(crm, account):
    ended = codes(account, "CANCELLED_BY_CUSTOMER")[0]
    told = crm("reactivate", ended, "--reason", "voltou", "--yes")
    assert told.exit_code == 0
    assert "aguarda o assinante" in told.output
    assert ended in crm("requests").output
    httpx.post(f"{account.url}/sandbox/accept/{ended}")
    assert "Nenhuma reativação" in crm("requests").output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["cancel"], 2, "ao menos um código"),
        (["cancel", "A1", "--yes"], 2, "--reason precisa"),
        (["cancel", "ana@example.com", "--dry-run"], 2, "1 de 1 não são códigos"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(crm, arguments, code, said):
    told = crm(*arguments)
    assert told.exit_code == code
    assert said in " ".join(told.output.replace("│", " ").split())


def test_an_outage_is_one_sentence(crm, account):
    account.sandbox.faults.forbidden = True
    told = crm("cancel", codes(account, "ACTIVE")[0], "--reason", "pediu", "--yes")
    assert told.exit_code == 1
    assert "403" in told.output


def test_the_list_says_which_wait():
    from crm_assets.outbound.subscription_actions import Waiting
    from crm_cli.subscriptions import _asked

    pending = {"A": Waiting("1", AT, AT + LINK_LASTS)}
    rows = (("A", "INACTIVE"), ("A", "ACTIVE"), ("B", "INACTIVE"))
    told = [_asked({"subscriber_code": code, "status": state}, pending) for code, state in rows]
    assert told == ["; reativação pedida, aguarda o assinante", "", ""]
