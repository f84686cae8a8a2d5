"""The register of requests: what was asked, by when it is answered, how it ended (rules 7.6)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import NOON, cus, site

from crm_assets.automation.alerts import REQUEST_OVERDUE, Situation
from crm_assets.automation.watch import note_overdue
from crm_assets.privacy.rights import (
    CLOSED,
    NEEDS_IDENTITY,
    OPENED,
    TYPES,
    RequestError,
    check_request,
    close_request,
    open_request,
    overdue,
    register,
)
from crm_assets.settings import Environment
from crm_resources.ops import Action, Delivery, OpsStore

DAY = timedelta(days=1)
TODAY = date(2026, 3, 15)


class Desk:
    """A tenant's register, at the tests' noon unless another day is said."""

    def __init__(self, folder, **privacy):
        self.site = site(home=folder, privacy=privacy)
        self.tenant = self.site.tenant
        self.ops = OpsStore(folder / "ops.sqlite", "default")

    def open(self, type="acesso", received_on=TODAY, at=NOON, **who):
        who = who or {"customer_id": cus(1)}
        return open_request(
            self.ops, self.tenant, type=type, channel="e-mail", received_on=received_on,
            **who, actor="ana", at=at,
        )  # fmt: skip

    def check(self, number, at=NOON):
        return check_request(self.ops, self.tenant, number, how="ligou", actor="ana", at=at)

    def close(self, number, outcome="atendido", note=None, at=NOON):
        return close_request(
            self.ops, self.tenant, number, outcome=outcome, note=note, actor="ana", at=at
        )

    def on(self, day):
        """The same register on another day."""
        moved = Desk.__new__(Desk)
        moved.site = site(datetime(day.year, day.month, day.day, 15, tzinfo=UTC),
                          self.site.settings.home)  # fmt: skip
        moved.tenant, moved.ops = self.tenant, self.ops
        return moved

    @property
    def all(self):
        return register(self.ops.actions(), self.tenant)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_a_request_goes_from_the_first_word_to_its_end(desk):
    opened = desk.open()
    assert (opened.number, opened.type, opened.channel, opened.customer_id) == (
        1, "acesso", "e-mail", cus(1),
    )  # fmt: skip
    assert opened.is_open
    assert opened.due_on == TODAY + 15 * DAY
    assert desk.check(1).how == "ligou"
    closed = desk.close(1, note="extrato enviado")
    assert (closed.outcome, closed.note, closed.is_open) == ("atendido", "extrato enviado", False)
    assert desk.all == [closed]


def test_numbers_follow_one_another_also_when_two_ask_at_once(desk, monkeypatch):
    assert [desk.open().number for _ in range(3)] == [1, 2, 3]
    real, stale = OpsStore.actions, [desk.ops.actions().clear()]
    monkeypatch.setattr(OpsStore, "actions", lambda ops: stale.pop() if stale else real(ops))
    assert desk.open().number == 4
    assert [request.number for request in desk.all] == [1, 2, 3, 4]


@pytest.mark.parametrize(("days", "due"), [(15, date(2026, 3, 30)), (30, date(2026, 4, 14))])
def test_an_answer_is_due_within_the_days_of_the_tenant(tmp_path, days, due):
    """30 for small agents (Res. CD/ANPD 2/2022)."""
    assert Desk(tmp_path, due_days=days).open().due_on == due


@pytest.mark.parametrize("days", [0, 31])
def test_nobody_may_take_longer_than_the_law(tmp_path, days):
    with pytest.raises(ValueError, match=r"privacy\.due_days"):
        Desk(tmp_path, due_days=days)


def test_the_days_count_from_the_day_it_came_not_from_the_day_it_was_written_down(desk):
    assert desk.open(received_on=TODAY - 10 * DAY).due_on == TODAY + 5 * DAY
    with pytest.raises(RequestError, match="no futuro"):
        desk.open(received_on=TODAY + DAY)


@pytest.mark.parametrize(
    ("day", "late"), [(TODAY, False), (TODAY + 15 * DAY, False), (TODAY + 16 * DAY, True)]
)
def test_it_is_overdue_from_the_day_after_the_last(desk, day, late):
    request = desk.open()
    assert request.is_overdue(day) is late
    assert overdue([request], day) == ([request] if late else [])
    desk.close(1, "desistencia")
    assert overdue(desk.all, day) == []


@pytest.mark.parametrize("type", sorted(TYPES))
def test_data_is_neither_shown_nor_changed_for_somebody_unknown(desk, type):
    desk.open(type)
    if type in NEEDS_IDENTITY:
        with pytest.raises(RequestError, match="identidade"):
            desk.close(1)
        desk.check(1)
    assert desk.close(1).outcome == "atendido"


@pytest.mark.parametrize("outcome", ["desistencia", "sem_dados"])
def test_what_gives_nothing_away_needs_no_identity(desk, outcome):
    desk.open()
    assert desk.close(1, outcome).outcome == outcome


def test_a_refusal_says_why(desk):
    desk.open()
    with pytest.raises(RequestError, match="motivo"):
        desk.close(1, "recusado")
    assert desk.close(1, "recusado", "não provou quem é").note == "não provou quem é"


def test_what_ended_is_not_changed_any_more(desk):
    desk.open()
    desk.close(1, "desistencia")
    for change in (desk.check, desk.close):
        with pytest.raises(RequestError, match=r"encerrado em 15/03/2026"):
            change(1)
    with pytest.raises(RequestError, match="Não há pedido 2"):
        desk.check(2)


def test_a_second_end_that_came_at_the_same_time_is_ignored(desk):
    desk.open()
    desk.close(1, "desistencia")
    late = {"request": 1, "outcome": "atendido", "note": None}
    desk.ops.append_actions([Action(kind=CLOSED, idempotency_key="late", payload=late)])
    assert desk.all[0].outcome == "desistencia"


def test_somebody_who_is_not_in_the_master_may_ask(desk):
    request = desk.open(email_key="new@example.com")
    assert (request.customer_id, request.email_key) == (None, "new@example.com")
    assert "new@example.com" not in repr(request)


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """Two requests from the first word to the end."""
    desk = Desk(tmp_path_factory.mktemp("register"))
    for number in (1, 2):
        desk.open(at=NOON + number * DAY)
        desk.check(number)
        desk.close(number)
    return desk


@given(order=st.permutations(range(6)))
def test_the_register_is_the_same_in_whichever_order_the_rows_are_read(busy, order):
    log = busy.ops.actions()
    assert register(log[list(order)], busy.tenant) == register(log, busy.tenant)


def test_actions_that_name_no_request_are_none(desk):
    desk.ops.append_actions(
        [
            Action(kind=OPENED, idempotency_key="blanked", payload={}),
            Action(kind=CLOSED, idempotency_key="orphan", payload={"request": 9}),
            Action(kind="opt_out", idempotency_key="other", email_key="a@example.com"),
        ]
    )
    assert desk.all == []
    assert desk.open().number == 1


def incidents(desk):
    return {i.subject: i for i in desk.ops.open_incidents() if i.kind == REQUEST_OVERDUE}


def test_an_overdue_request_is_told_once_and_ends_with_its_answer(desk):
    desk.open()
    desk.open("oposicao", received_on=TODAY - 30 * DAY)
    for _ in range(2):
        note_overdue(desk.site, desk.ops)
        assert {subject: i.revision for subject, i in incidents(desk).items()} == {"pedido 2": 1}
    later = desk.on(TODAY + 16 * DAY)
    note_overdue(later.site, later.ops)
    assert set(incidents(desk)) == {"pedido 1", "pedido 2"}
    desk.close(2)
    note_overdue(later.site, later.ops)
    assert set(incidents(desk)) == {"pedido 1"}


def test_the_alert_says_what_is_due_and_names_nobody(desk):
    desk.open("oposicao", received_on=TODAY - 30 * DAY, email_key="ana@example.com")
    note_overdue(desk.site, desk.ops)
    incident = incidents(desk)["pedido 1"]
    told = Situation(desk.tenant, Environment.PRD, NOON, {}).message(
        Delivery(incident=incident, channel="email")
    )
    assert told.subject.endswith("Venceu o prazo de resposta do pedido 1 de um titular (LGPD)")
    assert "oposicao, venceu em 28/02/2026." in told.text
    assert "Efeito nos números: nenhum." in told.text
    assert "crm customers request list --open" in told.text
    assert "ana" not in told.text
