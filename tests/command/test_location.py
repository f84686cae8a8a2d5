"""The code location: it loads alone, without network, and under one name everywhere."""

import os
import subprocess
import sys
import tomllib

import pytest
from world import SAMPLE

from crm_assets.settings import CHECKOUT, Settings, SettingsError

BLOCKED = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("the location opened a connection")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import crm_assets.definitions as location

repository = location.defs.get_repository_def()
assert "pandas" not in sys.modules
print(sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")))
"""


def fresh(code, home, **environ):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "CRM_HOME": str(home), **environ},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_it_loads_in_a_fresh_interpreter_without_network_or_files(tmp_path):
    home = tmp_path / "home"
    done = fresh(BLOCKED, home, CRM_TENANTS=str(SAMPLE / "tenants.toml"))
    assert done.returncode == 0, done.stderr
    jobs = """
        access actions backup churn cleanup events hotmart hotmart_csv identity_audit manychat
        refine retention subscriptions
    """
    assert done.stdout.strip() == str(jobs.split())
    assert not home.exists()


def test_project_and_workspace_name_the_same_module_and_location():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]
    dg_project = project["dg"]["project"]
    workspace = (CHECKOUT / "workspace.yaml").read_text().split()
    module = project["dagster"]["module_name"]
    name = project["dagster"]["code_location_name"]
    assert (module, name) == ("crm_assets.definitions", "crm")
    assert dg_project["code_location_target_module"] == module
    assert dg_project["code_location_name"] == name
    assert workspace[workspace.index("module_name:") + 1] == module
    assert workspace[workspace.index("location_name:") + 1] == name


@pytest.fixture
def two_tenants(tmp_path, monkeypatch):
    file = tmp_path / "tenants.toml"
    file.write_text("[tenants.default]\n[tenants.acme]\n")
    monkeypatch.setenv("CRM_TENANTS", str(file))
    return Settings.from_environ({"CRM_TENANTS": str(file)})


@pytest.mark.parametrize(
    ("named", "loaded"),
    [("", ["default", "acme"]), ("acme", ["acme"]), (" acme , default ", ["acme", "default"])],
)
def test_a_variable_narrows_the_tenants_of_a_location(two_tenants, monkeypatch, named, loaded):
    from crm_assets.tenants import location_tenants

    monkeypatch.setenv("CRM_LOCATION_TENANTS", named)
    assert list(location_tenants(two_tenants, os.environ)) == loaded


def test_an_unknown_tenant_of_a_location_is_named(two_tenants, monkeypatch):
    from crm_assets.tenants import location_tenants

    monkeypatch.setenv("CRM_LOCATION_TENANTS", "acme,nada")
    with pytest.raises(SettingsError, match=r"CRM_LOCATION_TENANTS .* 'nada'"):
        location_tenants(two_tenants, os.environ)


def test_keys_and_groups_of_a_named_tenant_carry_its_name(two_tenants):
    from crm_assets.definitions import build
    from crm_assets.tenants import location_tenants

    graph = build(two_tenants, location_tenants(two_tenants, os.environ)).resolve_asset_graph()
    keys = {node.key.to_user_string(): node.group_name for node in graph.asset_nodes}
    assert keys["bronze/hotmart_transactions"] == "bronze"
    assert keys["acme/bronze/hotmart_transactions"] == "acme_bronze"
    own = {key for key in keys if not key.startswith("acme/")}
    assert {f"acme/{key}" for key in own} == set(keys) - own
    for node in graph.asset_nodes:
        tenant = node.key.path[0] == "acme"
        assert all((parent.path[0] == "acme") == tenant for parent in node.parent_keys)
