"""E-mail cells: what is shown, what identifies, and why not."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.contact.email import normalize_emails


def one(cell):
    return normalize_emails(pl.Series([cell], dtype=pl.String)).row(0, named=True)


@pytest.mark.parametrize(
    ("cell", "key"),
    [
        ("  Maria.Silva@Example.COM ", "maria.silva@example.com"),
        ("maria+curso@example.org", "maria+curso@example.org"),
        ("mailto:maria@example.com?subject=Oi", "maria@example.com"),
        ("Maria Silva <maria@example.com>", "maria@example.com"),
        ("maria@example.com;", "maria@example.com"),
        ("maria@example.com.", "maria@example.com"),
        ("'maria@example.com", "maria@example.com"),
        ("mar\u200bia@example.com", "maria@example.com"),
        ("ｍａｒｉａ@example.com", "maria@example.com"),
        ("maria@example.com\u00a0", "maria@example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("maria@sub.example.co.uk", "maria@sub.example.co.uk"),
        ("contato@example.com", "contato@example.com"),
        ("test.ana@example.net", "test.ana@example.net"),
        ("joao@gmail.con", "joao@gmail.con"),
        ("ana@example.com; rui@example.com", "ana@example.com"),
        ("errado@, rui@example.com", "rui@example.com"),
        ("naotem@example.com / rui@example.com", "rui@example.com"),
        ("Ana <ana@example.com>, Rui <rui@example.com>", "ana@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_key(cell, key):
    seen = one(cell)
    assert (seen["email"], seen["email_key"], seen["reason"]) == (key, key, None)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        (" - ", "missing"),
        ("NULL", "missing"),
        ("nan", "missing"),
        ("None", "missing"),
        ("n/a", "missing"),
        ("maria", "malformed"),
        ("maria@example", "malformed"),
        ("maria @example.com", "malformed"),
        ("maria@@example.com", "malformed"),
        (".maria@example.com", "malformed"),
        ("ma..ria@example.com", "malformed"),
        ("maria@-example.com", "malformed"),
        ("maria@example..com", "malformed"),
        ("maria@exam_ple.com", "malformed"),
        ("maria@example.c", "malformed"),
        ("maria@10.0.0.1", "malformed"),
        ("a" * 65 + "@example.com", "malformed"),
        ("maria@" + "b" * 64 + ".com", "malformed"),
        ("maria@" + "b" * 64 + "é.com", "malformed"),
        ("maria@" + ".".join(["b" * 60] * 5) + ".com", "malformed"),
        ("nao@tem.com", "placeholder"),
        ("naotem@example.com", "placeholder"),
        ("nao.tem@example.com", "placeholder"),
        ("sememail@example.com", "placeholder"),
        ("sem_email@example.com", "placeholder"),
        ("NoReply@example.com", "placeholder"),
        ("no-reply@example.com", "placeholder"),
        ("teste@teste.com", "placeholder"),
        ("test@example.com", "placeholder"),
        ("a@a.com", "placeholder"),
        ("x@x.com", "placeholder"),
        ("email@email.com", "placeholder"),
        ("xxx@example.com", "placeholder"),
        ("maria@loja.invalid", "blocked_domain"),
        ("maria@loja.test", "blocked_domain"),
    ],
)
def test_no_key(cell, reason):
    seen = one(cell)
    assert seen["reason"] == reason
    assert seen["email"] is seen["email_key"] is seen["match_hint"] is seen["suggestion"] is None


@pytest.mark.parametrize("cell", ["maria@café.com.br", "maria@xn--caf-dma.com.br"])
def test_international_domain_has_two_forms(cell):
    seen = one(cell)
    assert seen["email"] == "maria@café.com.br"
    assert seen["email_key"] == "maria@xn--caf-dma.com.br"


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("Jo.ao.Silva+curso@gmail.com", "joaosilva@gmail.com"),
        ("joao.silva@googlemail.com", "joaosilva@gmail.com"),
        ("joaosilva@gmail.com", "joaosilva@gmail.com"),
        ("joao.silva+curso@example.com", None),
    ],
)
def test_match_hint_is_for_gmail_only(cell, hint):
    seen = one(cell)
    assert seen["match_hint"] == hint
    assert seen["email_key"] == cell.lower()


@pytest.mark.parametrize(
    ("domain", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.com.br", "gmail.com"),
        ("hotmal.com", "hotmail.com"),
        ("yahooo.com", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("icloud.con", "icloud.com"),
        ("hotmail.com.br", None),
        ("outlook.com.br", None),
        ("live.com.br", None),
        ("yahoo.com.br", None),
        ("gmail.com", None),
    ],
)
def test_typing_errors_are_suggested_never_rewritten(domain, meant):
    seen = one(f"ana.lima@{domain}")
    assert seen["email_key"] == f"ana.lima@{domain}"
    assert seen["suggestion"] == (meant and f"ana.lima@{meant}")


def test_suggestion_belongs_to_the_chosen_address():
    assert one("naotem@gmial.com, rui@example.com")["suggestion"] is None
    assert one("rui@gmial.com, ana@gmail.con")["suggestion"] == "rui@gmail.com"


@pytest.mark.parametrize(
    "cells", [pl.Series([], dtype=pl.String), pl.Series([None, None]), pl.Series(["x"])]
)
def test_any_series_gives_one_row_per_row(cells):
    seen = normalize_emails(cells)
    assert seen.columns == ["email", "email_key", "reason", "match_hint", "suggestion"]
    assert set(seen.dtypes) == {pl.String}
    assert seen.height == cells.len() == seen["reason"].len() - seen["reason"].null_count()


local_part = st.from_regex(r"\A[a-z0-9_]{1,8}(\.[a-z0-9+_-]{1,8}){0,2}\Z")
texts = st.none() | st.text("ab.@+-<>,; éX\u200b'\"", max_size=25)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(texts, max_size=8))
def test_rows_are_independent_and_keys_are_fixed_points(cells):
    seen = normalize_emails(pl.Series(cells, dtype=pl.String))
    assert seen.rows(named=True) == [one(cell) for cell in cells]
    keys = seen["email_key"].drop_nulls()
    assert normalize_emails(keys)["email_key"].to_list() == keys.to_list()
    assert (seen["email_key"].is_null() == seen["reason"].is_not_null()).all()


@settings(max_examples=50, deadline=None)
@given(local_part, st.sampled_from(["example.com", "Example.org", "gmail.com"]))
def test_dots_and_tags_are_never_folded(local, domain):
    seen = one(f" {local.upper()}@{domain}\t")
    assert seen["email_key"] in (f"{local}@{domain.lower()}", None)
    assert seen["reason"] in (None, "placeholder")
