"""A company whose operations store is a PostgreSQL server: backed up, restored, moved."""

from dataclasses import replace

import dagster as dg
import pytest
from lake import NOON
from lake import site as site_at

from crm_assets.resources import warehouse_of
from crm_assets.safekeeping.backup import back_up
from crm_assets.safekeeping.restore import restore
from crm_resources.ops import Action

pytestmark = pytest.mark.slow


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def company(home, address=None):
    made = site_at(home=home)
    return replace(made, settings=replace(made.settings, ops_url=address))


def decide(site, *keys):
    site.ops_store().append_actions(
        [Action(kind="note", idempotency_key=key, at=NOON) for key in keys]
    )


def decided(site):
    return site.ops_store().actions()["idempotency_key"].to_list()


def test_it_comes_back_with_what_was_decided_since(postgres, tmp_path, instance):
    site = company(tmp_path, postgres)
    warehouse_of(site.settings, site.tenant).read("SELECT 1")
    decide(site, "a")
    path = back_up(site, {}).path
    decide(site, "b")
    restore(site, path, instance)
    assert decided(site) == ["a", "b"]


@pytest.mark.parametrize("to_server", [True, False])
def test_a_backup_moves_a_company_between_the_two_kinds(postgres, tmp_path, instance, to_server):
    addresses = (None, postgres) if to_server else (postgres, None)
    here, there = (
        company(tmp_path / name, address)
        for name, address in zip(("here", "there"), addresses, strict=True)
    )
    warehouse_of(here.settings, here.tenant).read("SELECT 1")
    decide(here, "a", "b")
    restore(there, back_up(here, {}).path, instance)
    assert decided(there) == ["a", "b"]
    decide(there, "c")
    assert decided(there) == ["a", "b", "c"]
