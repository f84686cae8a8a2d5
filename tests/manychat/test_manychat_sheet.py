"""The sheet's address: read from a real server, refused by name, and never told."""

from __future__ import annotations

import logging
import re
from time import monotonic, sleep

import pytest
from sheet_server import ANA, BIA, CANARY, LOGIN, QUICK

from crm_assets.bronze import receiving
from crm_assets.bronze.manychat_sheet import Patience, SheetError, csv_address, read_sheet
from crm_assets.settings import SettingsError
from crm_assets.tenants import build_tenant_model


@pytest.fixture(scope="module")
def tenant():
    return build_tenant_model("default", {}, {})


def refused(tenant, patience=QUICK):
    with pytest.raises(SheetError) as error:
        read_sheet(tenant, patience)
    told = str(error.value)
    assert "MANYCHAT_SHEET_URL" in told
    assert CANARY not in told
    assert "127.0.0.1" not in told
    assert error.value.__cause__ is None
    assert told.endswith(".")
    return told


GOOGLE = "https://docs.google.com/spreadsheets/d/1AbC_-x"


@pytest.mark.parametrize(
    ("address", "csv"),
    [
        (f"{GOOGLE}/edit#gid=42", f"{GOOGLE}/export?format=csv&gid=42"),
        (f"{GOOGLE}/edit?gid=42#gid=42", f"{GOOGLE}/export?format=csv&gid=42"),
        (f"{GOOGLE}/edit?usp=sharing", f"{GOOGLE}/export?format=csv"),
        (f"{GOOGLE}/view?usp=sharing&gid=7", f"{GOOGLE}/export?format=csv&gid=7"),
        (GOOGLE, f"{GOOGLE}/export?format=csv"),
        (f"{GOOGLE}/", f"{GOOGLE}/export?format=csv"),
        (f"{GOOGLE}/export?format=csv&gid=1", f"{GOOGLE}/export?format=csv&gid=1"),
        (f"{GOOGLE}/gviz/tq?tqx=out:csv", f"{GOOGLE}/gviz/tq?tqx=out:csv"),
        (
            "https://docs.google.com/spreadsheets/u/1/d/1AbC/edit#gid=0",
            "https://docs.google.com/spreadsheets/u/1/d/1AbC/export?format=csv&gid=0",
        ),
        (
            "https://docs.google.com/spreadsheets/d/e/2PACX-1v/pubhtml?gid=3&single=true",
            "https://docs.google.com/spreadsheets/d/e/2PACX-1v/pub?output=csv&gid=3",
        ),
        (
            "https://docs.google.com/spreadsheets/d/e/2PACX-1v/pub?output=csv",
            "https://docs.google.com/spreadsheets/d/e/2PACX-1v/pub?output=csv",
        ),
        ("https://example.com/edit#gid=4", "https://example.com/edit#gid=4"),
        ("http://example.com/a.csv?x=1", "http://example.com/a.csv?x=1"),
    ],
)
def test_a_browsers_address_becomes_the_export_of_its_tab(address, csv):
    assert csv_address(address) == csv
    assert csv_address(csv) == csv


def test_the_content_comes_as_it_is_through_redirects(sheet, tenant):
    sheet.replies = [(307, {"location": f"{sheet.url}/export"}, b""), (200, {}, BIA)]
    assert read_sheet(tenant, QUICK) == BIA
    assert sheet.asked == [f"/planilha?chave={CANARY}", "/export"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_asked_again(sheet, tenant, status):
    sheet.replies = [(status, {}, b""), (status, {}, b""), (200, {}, ANA)]
    assert read_sheet(tenant, QUICK) == ANA


def test_what_does_not_pass_is_given_up(sheet, tenant):
    sheet.holds(b"", status=502)
    assert "não está disponível agora (resposta 502)" in refused(tenant)
    assert len(sheet.asked) == 3


@pytest.mark.parametrize(
    ("status", "headers", "body", "sign"),
    [
        (200, {"content_type": "text/html; charset=utf-8"}, LOGIN, "página de entrada"),
        (200, {"content_type": "text/html"}, b"<p>Entre</p>", "página de entrada"),
        (200, {"content_type": "text/plain"}, b"\n <HTML lang=pt>", "página de entrada"),
        (401, {}, b"", "resposta 401"),
        (403, {}, b"", "resposta 403"),
        (404, {}, LOGIN, "resposta 404"),
        (204, {}, b"", "resposta 204"),
    ],
)
def test_a_sheet_that_is_not_shared_is_told_in_one_sentence(
    sheet, tenant, status, headers, body, sign
):
    sheet.holds(body, status, **headers)
    told = refused(tenant)
    assert "não está compartilhada" in told
    assert sign in told
    assert len(sheet.asked) == 1


def test_redirects_without_end_are_refused_at_once(sheet, tenant):
    sheet.holds(b"", 302, location="/outra")
    assert "não pode ser lida deste endereço" in refused(tenant)
    assert len(sheet.asked) == 6


def test_a_huge_sheet_is_refused_by_what_it_announces_or_by_what_comes(sheet, tenant, monkeypatch):
    monkeypatch.setattr(receiving, "MAX_BYTES", 2**20)
    sheet.holds([b"x"], content_length=str(2**30))
    assert "mais de 1 MB, o limite" in refused(tenant)

    sent = []

    def endless():
        while len(sent) < 10_000:
            sent.append(1)
            yield b"x" * 2**16

    sheet.holds(endless())
    assert "mais de 1 MB, o limite" in refused(tenant)
    assert len(sent) < 1_000


def test_a_sheet_that_does_not_answer_is_given_up(sheet, tenant):
    def never():
        sleep(0.5)
        yield b""

    sheet.holds(never(), content_length="5")
    told = refused(tenant, Patience(timeout=0.1, attempts=1))
    assert "não respondeu (ReadTimeout)" in told


def test_a_sheet_that_drips_is_given_up_at_the_deadline(sheet, tenant):
    def drip():
        for _ in range(100):
            sleep(0.05)
            yield b"a;b\n"

    sheet.holds(drip())
    started = monotonic()
    assert "demorou demais" in refused(tenant, Patience(timeout=1, deadline=0.2))
    assert monotonic() - started < 2


def test_nobody_there(sheet, tenant, monkeypatch):
    monkeypatch.setenv("MANYCHAT_SHEET_URL", f"http://127.0.0.1:1/{CANARY}")
    assert "não respondeu (ConnectError)" in refused(tenant)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "Falta MANYCHAT_SHEET_URL"),
        ("   ", "Falta MANYCHAT_SHEET_URL"),
        (f"planilha/{CANARY}", "precisa ser o endereço"),
        (f"file:///etc/{CANARY}", "precisa ser o endereço"),
        (f"http://{CANARY}\x01/", "não pode ser lida deste endereço"),
    ],
)
def test_an_address_that_is_none_is_named_by_its_variable(tenant, monkeypatch, address, told):
    monkeypatch.setenv("MANYCHAT_SHEET_URL", address)
    assert told in refused(tenant)


def test_no_log_shows_the_address(sheet, tenant, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    sheet.replies = [(302, {"location": f"/{CANARY}"}, b""), (200, {}, ANA)]
    read_sheet(tenant, QUICK)
    assert CANARY not in caplog.text
    assert logging.getLogger("httpx").level == logging.DEBUG


def test_each_tenant_has_its_own_variable(sheet, monkeypatch):
    acme = build_tenant_model("acme", {}, {})
    assert acme.manychat.sheet_url_env == "ACME_MANYCHAT_SHEET_URL"
    with pytest.raises(SheetError, match="Falta ACME_MANYCHAT_SHEET_URL"):
        read_sheet(acme, QUICK)
    other = build_tenant_model("acme", {"manychat": {"sheet_url_env": "MANYCHAT_SHEET_URL"}}, {})
    assert read_sheet(other, QUICK) == ANA


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"sheet_url": f"https://{CANARY}"}, "escreva em sheet_url_env o nome da variável"),
        ({"sheet_url_env": f"https://{CANARY}"}, "precisa ser o nome de uma variável de ambiente"),
        ({"sheet_every_minutes": 0}, "precisa ser 1 ou mais"),
        ({"sheet_every_minutes": 1441}, "precisa ser 1440 ou menos"),
    ],
)
def test_the_tenant_file_holds_no_address(table, told):
    with pytest.raises(SettingsError, match=re.escape(told)) as error:
        build_tenant_model("default", {"manychat": table}, {})
    assert CANARY not in str(error.value)
