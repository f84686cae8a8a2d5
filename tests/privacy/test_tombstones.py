"""Tombstones: the key, what is recognised, and what becomes of a row on its way into bronze."""

import stat
import threading

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.privacy.identifiers import identifiers, read
from crm_assets.privacy.scrub import HIDDEN, hide_rejects, shield
from crm_assets.privacy.tombstones import (
    NOBODY,
    KeyUnusable,
    Tombstones,
    bury,
    key_path,
    make_key,
    tags_of,
    tombstones_of,
)
from crm_assets.settings import Settings
from crm_assets.tenants import build_tenant_model
from crm_resources.ops import OpsStore

KEY = b"k" * 32
TENANT = build_tenant_model("default", {}, {})


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environ({"CRM_HOME": str(tmp_path), "ENVIRONMENT": "prd"})


@pytest.fixture
def ops(settings):
    return OpsStore(settings.ops_address("default"), "default")


def over(**cells):
    """Tombstones of the person behind some cells, by kind."""
    frame = pl.DataFrame({kind: [cell] for kind, cell in cells.items()})
    found = identifiers(frame, {kind: (kind,) for kind in cells})
    return Tombstones(KEY).over(found.select("kind", "value").rows())


def hits(tombstones, kind, *cells):
    frame = pl.DataFrame({"cell": cells}, schema={"cell": pl.String})
    return tombstones.of_rows(frame, {kind: ("cell",)}).to_list()


@pytest.mark.parametrize(
    ("kind", "buried", "comes", "known"),
    [
        ("email", "Ana@Example.com", " ana@example.com", True),
        ("email", "ana@example.com", "<ana@example.com>; outra@example.com", True),
        ("email", "ana@example.com", "Outra@example.com, ANA@example.com", True),
        ("email", "ana@example.com", "an.a@example.com", False),
        ("email", "ana@example.com", "ana+1@example.com", False),
        ("email", "teste@example.com", "teste@example.com", False),
        ("phone", "+55 11 98765-1234", "1187651234", True),
        ("phone", "11 8765-1234", "+5511987651234", True),
        ("phone", "(11) 98765-1234", "5511987651234.0", True),
        ("phone", "+5511987651234", "+5521987651234", False),
        ("phone", "11 3456-7890", "+551134567890", True),
        ("phone", "11 99999-9999", "11 99999-9999", False),
        ("phone", "98765-1234", "98765-1234", False),
        ("phone", "+351 912 345 678", "351912345678", True),
        ("document", "529.982.247-25", "52998224725", True),
        ("document", "111.111.111-11", "111.111.111-11", False),
        ("document", "123.456.789-00", "12345678900", True),
        ("document", "null", "null", False),
        ("ucode", "AB-1234", "ab-1234 ", True),
        ("manychat", "17", "17", False),
        ("manychat", "-", "-", False),
        ("social", "@ana.b", "ana.b", True),
    ],
)
def test_the_same_person_is_recognised_however_it_is_written(kind, buried, comes, known):
    assert hits(over(**{kind: buried}), kind, comes, None) == [known, False]


@pytest.mark.slow
@given(st.from_regex(r"\(?[1-9]{2}\)? ?9?[6-9][0-9]{3}-?[0-9]{4}", fullmatch=True))
def test_a_cell_always_recognises_itself_and_its_ninth_digit(cell):
    forms = set(read("phone", pl.Series([cell]))["value"])
    with_ninth = {form for form in forms if len(form) == 13}
    assert all(form[:4] + form[5:] in forms for form in with_ninth if form[5] in "6789")
    assert hits(over(phone=cell), "phone", cell) == [bool(forms)]


def test_nothing_is_looked_at_without_tombstones():
    assert hits(NOBODY, "email", "ana@example.com") == [False]
    rows = pl.DataFrame({"no column": [1]})
    assert shield("bronze.manychat_contacts", rows, NOBODY)[0] is rows
    assert hide_rejects(rows, pl.Series([], dtype=pl.String), NOBODY) is rows


def test_a_shared_value_is_buried_with_the_name_only():
    values = identifiers(
        pl.DataFrame({"phone": ["11 98765-1234"], "name": ["Ána  Souza"]}),
        {"phone": ("phone",), "name": ("name",)},
    ).filter(pl.col("kind") == "shared")
    tombstones = Tombstones(KEY).over(values.select("kind", "value").rows())
    rows = pl.DataFrame({"phone": ["+5511987651234"] * 3, "name": ["ana souza", "José", None]})
    traits = {"phone": ("phone",), "name": ("name",)}
    assert tombstones.of_rows(rows, traits).to_list() == [True, False, False]


def sale(**more):
    columns = {
        "transaction": "HP1", "status": "APPROVED", "buyer_name": "Ana Souza",
        "buyer_email": "ana@example.com", "buyer_ucode": "U-1", "price_value": 10,
        "source_sck": "ana@example.com", "raw": '{"buyer": {"name": "Ana Souza"}}',
        "slice": "2026-01-01", "run_id": "r",
    }  # fmt: skip
    return {**columns, **more}


def test_a_sale_keeps_its_facts_and_nothing_else():
    rows = pl.DataFrame(
        [
            sale(),
            sale(
                transaction="HP2", buyer_email="jo@example.com", buyer_ucode="U-2", buyer_name="Jô"
            ),
        ]
    )
    clean, erased = shield("bronze.hotmart_transactions", rows, over(email="ana@example.com"))
    assert erased.to_list() == [True, False]
    assert clean.row(1) == rows.row(1)
    assert clean.row(0, named=True) == sale(
        buyer_name=None, buyer_email=None, buyer_ucode=None, source_sck=None,
        raw='{"transaction":"HP1","status":"APPROVED","price_value":10}',
    )  # fmt: skip


def test_the_sale_of_an_erased_person_stays_nameless_whoever_tells_it():
    rows = pl.DataFrame([sale(buyer_email=None, buyer_ucode=None, buyer_name="Ana S.")])
    clean, erased = shield("bronze.hotmart_transactions", rows, over(sale="HP1"))
    assert erased.all()
    assert clean["buyer_name"].to_list() == [None]


def test_a_contact_goes_whole():
    traits = ("email", "whatsapp_phone", "phone", "manychat_id", "ig_username", "ig_id",
              "whatsapp_bsuid", "whatsapp_username", "full_name", "first_name",
              "last_name")  # fmt: skip
    rows = pl.DataFrame(
        [{**dict.fromkeys(traits), "line": 2, "email": "ana@example.com"},
         {**dict.fromkeys(traits), "line": 3, "email": "jo@example.com"}],
        schema_overrides=dict.fromkeys(traits, pl.String),
    )  # fmt: skip
    clean, erased = shield("bronze.manychat_contacts", rows, over(email="ana@example.com"))
    assert clean["line"].to_list() == [3]
    assert erased.to_list() == [True, False]


def test_the_text_of_a_reject_is_hidden_by_place_and_by_what_it_says():
    rejects = pl.DataFrame(
        {
            "place": ["HP1", "HP2", None, "HP3"],
            "raw": ["x", "y", '{"buyer":{"email":"ANA@example.com"}}', "z"],
        }
    )
    tombstones = over(email="ana@example.com").over([("sale", "hp3")])
    hidden = hide_rejects(rejects, pl.Series(["HP1"]), tombstones)
    assert hidden["raw"].to_list() == [HIDDEN, "y", HIDDEN, HIDDEN]


def test_the_key_is_private_and_made_once(settings):
    keys = set()
    threads = [
        threading.Thread(target=lambda: keys.add(make_key(settings, TENANT))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = key_path(settings, TENANT)
    assert len(keys) == 1
    assert path.parent == settings.home / "keys" / "prd" / "default"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["tombstone.key"]


def test_tombstones_are_tags_in_the_store_and_need_their_key(settings, ops):
    assert not tombstones_of(settings, TENANT, ops)
    assert not key_path(settings, TENANT).exists()
    buried = bury(settings, TENANT, ops, [("email", "ana@example.com")])
    assert ops.tombstones().keys() >= set(tags_of(buried.key, [("email", "ana@example.com")]))
    assert bury(settings, TENANT, ops, [("email", "ana@example.com")]) == buried
    assert hits(tombstones_of(settings, TENANT, ops), "email", "ana@example.com") == [True]


@pytest.mark.parametrize("content", [None, "not hexadecimal", "00" * 32])
def test_without_the_key_nothing_can_be_told_and_nothing_is_written(settings, ops, content):
    bury(settings, TENANT, ops, [("email", "ana@example.com")])
    path = key_path(settings, TENANT)
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(KeyUnusable, match="chave dos apagamentos de default"):
        tombstones_of(settings, TENANT, ops)
    with pytest.raises(KeyUnusable):
        bury(settings, TENANT, ops, [("email", "jo@example.com")])
