"""The operations store on a server: it goes, comes back, refuses, and keeps its password."""

import multiprocessing
import pickle
import traceback
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_shared.serdes import serialize_value
from ops_samples import action, load, sql
from postgres import PASSWORD
from sqlalchemy import make_url

from crm_assets.settings import Settings, SettingsError
from crm_assets.tenants import build_tenant_model
from crm_resources.ops import OpsStore, StoreUnavailableError, tables
from crm_resources.ops import database as module
from crm_resources.ops.database import probe
from crm_resources.ops.resource import OpsResource

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'crm'"


@pytest.fixture
def store(postgres):
    return OpsStore(postgres, "acme")


def told(raised):
    """All that an exception can show of itself, here and in a log."""
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert raised.value.__cause__ is None
    for part in (PASSWORD, "canário", "can%C3%A1rio", "crm-postgres"):
        assert part not in shown
    return str(raised.value)


# The server goes and comes back


def test_a_connection_that_died_in_the_pool_is_replaced(store, postgres_server):
    store.append_actions([action("a")])
    postgres_server.hang_up()
    assert store.append_actions([action("b")]) == 1
    postgres_server.hang_up()
    assert store.actions()["idempotency_key"].to_list() == ["a", "b"]


@pytest.mark.parametrize("after", [["b"], []], ids=["at a statement", "at the commit"])
def test_a_connection_lost_while_writing_leaves_nothing(store, postgres_server, after):
    def write():
        with store._write() as connection:
            connection.execute(tables.actions.insert(), store._row(action("a")))
            postgres_server.hang_up()
            for key in after:
                connection.execute(tables.actions.insert(), store._row(action(key)))

    with pytest.raises(StoreUnavailableError) as raised:
        write()
    assert told(raised) == (
        "A conexão com o banco de operações de CRM_OPS_URL caiu; nada ficou gravado pela metade."
    )
    assert store.actions().is_empty()
    assert store.append_actions([action("c")]) == 1


def test_a_store_outlives_its_server(store, postgres, postgres_server):
    store.append_actions([action("a")])
    postgres_server.stop()
    try:
        for attempt in (store.loads, lambda: OpsStore(postgres, "acme"), lambda: probe(postgres)):
            with pytest.raises(StoreUnavailableError) as raised:
                attempt()
            assert told(raised) == (
                "O banco de operações não respondeu: confira o endereço em CRM_OPS_URL e se o "
                "servidor está no ar."
            )
    finally:
        postgres_server.start()
    assert store.actions()["idempotency_key"].to_list() == ["a"]


# What it refuses


@pytest.mark.parametrize("changed", [{"password": "outra"}, {"username": "ninguem"}])
def test_whom_the_server_turns_away_is_told_so(postgres, postgres_server, changed):
    address = postgres_server.address(**changed)
    with pytest.raises(
        StoreUnavailableError, match="recusou a conexão: confira o usuário, a senha"
    ):
        OpsStore(address, "acme")


def test_a_database_that_is_not_there_is_told_so(postgres_server):
    with pytest.raises(StoreUnavailableError) as raised:
        OpsStore(postgres_server.address("nenhum"), "acme")
    assert "confira o usuário, a senha e o nome do banco" in told(raised)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql+psycopg://crm:senha@canário@127.0.0.1/crm", "código, como %40 em lugar de @"),
        ("postgresql+psycopg://crm:senha-canário@127.0.0.1:porta/crm", "não está bem escrito"),
        ("postgresql+psycopg://crm:senha-canário@nenhum.invalid/crm", "não respondeu"),
        ("postgres://crm:senha-canário@127.0.0.1:1/crm", "não respondeu"),
        ("postgresql://crm:senha-canário@127.0.0.1:99999/crm", "não respondeu"),
    ],
)
def test_a_wrong_address_is_told_without_its_password(address, said):
    with pytest.raises(StoreUnavailableError) as raised:
        OpsStore(address, "acme")
    assert said in told(raised)


def test_a_role_that_may_not_make_tables_is_told_so(postgres_server):
    postgres_server.admin("CREATE SCHEMA others; GRANT USAGE ON SCHEMA others TO crm", "crm")
    with pytest.raises(StoreUnavailableError, match="não tem permissão no banco"):
        OpsStore(postgres_server.address(query={"options": "-csearch_path=others"}), "acme")


def test_a_server_for_reading_only_is_told_so(postgres):
    OpsStore(postgres, "acme")
    reading = f"{postgres}%20-cdefault_transaction_read_only%3Don"
    copy = OpsStore(reading, "acme")
    assert copy.loads() == []
    with pytest.raises(StoreUnavailableError, match="só aceita leitura"):
        copy.record_load(load())
    copy.close()


def test_a_writer_does_not_wait_for_ever(store, postgres, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)
    with store._write(), pytest.raises(StoreUnavailableError, match="ocupado por outra gravação"):
        OpsStore(postgres, "acme").append_actions([action("a")])
    assert store.append_actions([action("a")]) == 1


def test_one_tenants_writer_leaves_the_others_alone(store, postgres):
    with store._write():
        assert OpsStore(postgres, "beta").append_actions([action("a")]) == 1


@pytest.mark.parametrize(
    ("encoding", "kept"), [("UTF8", True), ("SQL_ASCII", True), ("LATIN1", False)]
)
def test_a_database_that_cannot_keep_every_name_is_refused_by_the_doctor(
    postgres_server, encoding, kept
):
    made = f"TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'"
    with postgres_server.database(made) as address:
        if kept:
            store = OpsStore(address, "acme")
            store.record_load(load(reason="não é João 😀"))
            assert [each.reason for each in store.loads()] == ["não é João 😀"]
            assert probe(address).endswith(f" em {encoding}, tabelas: {tables.VERSION}")
        else:
            with pytest.raises(StoreUnavailableError, match="está em LATIN1, que não guarda"):
                probe(address)
        module._pooled(make_url(address)).dispose()


def test_the_probe_changes_nothing(postgres):
    assert probe(postgres).endswith(" em UTF8, tabelas: nenhuma ainda")
    assert sql(postgres, TABLES) == [(0,)]


# Its connections


def test_the_stores_of_a_process_share_connections(postgres):
    ((others,),) = sql(postgres, CONNECTIONS)
    stores = [OpsStore(postgres, tenant) for tenant in "abc" for _ in range(4)]
    for one in stores:
        one.append_actions([action("a")])
        assert one.actions().height == 1
    assert sql(postgres, CONNECTIONS) == [(others + 1,)]
    stores[0].close()
    assert sql(postgres, CONNECTIONS) == [(others,)]
    assert stores[1].loads() == []


def backend(store):
    with store._transaction() as connection:
        return connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(store):
    mine = backend(store)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=lambda: there.send(backend(store)))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert here.recv() != mine
    assert backend(store) == mine, "the parent's is still open"


def test_many_threads_append_without_losing_any(store):
    keys = [str(number) for number in range(40)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda key: store.append_actions([action(key)]), keys))
    assert sorted(store.actions()["idempotency_key"]) == sorted(keys)


# Its address is a secret


def configured(tmp_path, address, **more):
    return Settings.from_environ({"CRM_HOME": str(tmp_path), "CRM_OPS_URL": address, **more})


@pytest.mark.filterwarnings("ignore:Property:DeprecationWarning")
def test_settings_and_resources_do_not_show_the_address(tmp_path, postgres, monkeypatch):
    from crm_assets.definitions import build

    monkeypatch.setenv("CRM_OPS_URL", postgres)
    settings = configured(tmp_path, postgres)
    definitions = build(settings, {"acme": build_tenant_model("acme", {}, {})})
    shown = [
        repr(settings),
        repr(OpsResource(url=postgres, tenant="acme")),
        serialize_value(RepositorySnap.from_def(definitions.get_repository_def())),
    ]
    assert "CRM_OPS_URL" in shown[2]
    for text in shown:
        assert "can%C3%A1rio" not in text
        assert "crm-postgres" not in text


@pytest.mark.slow
def test_a_failed_step_does_not_show_the_address(tmp_path, postgres, postgres_server):
    @dg.asset
    def landed(ops: OpsResource) -> None:
        ops.store().record_load(load())

    wrong = OpsResource(url=postgres_server.address(password="senha-canário"), tenant="acme")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        done = dg.materialize(
            [landed], resources={"ops": wrong}, instance=instance, raise_on_error=False
        )
        assert not done.success
        logged = instance.all_logs(done.run_id)
    assert "recusou a conexão" in str(logged)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"recusou a conex" in kept
    assert "canário".encode() not in kept
    assert b"can\\u00e1rio" not in kept
    assert b"can%C3%A1rio" not in kept


def test_an_error_can_be_sent_to_another_process(postgres_server):
    with pytest.raises(StoreUnavailableError) as raised:
        OpsStore(postgres_server.address("nenhum"), "acme")
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


@pytest.mark.parametrize(
    "address", ["mysql://crm:canario@host/crm", "host:5432/canario", "sqlite:///canario", "canario"]
)
def test_any_other_address_is_refused_by_name_only(tmp_path, address):
    with pytest.raises(
        SettingsError, match=r"CRM_OPS_URL precisa começar com postgresql"
    ) as raised:
        configured(tmp_path, address)
    assert "canario" not in str(raised.value)


def test_the_environments_of_one_address_are_apart(tmp_path, postgres):
    for environment in ("dev", "prd"):
        settings = configured(tmp_path, postgres, ENVIRONMENT=environment)
        store = OpsStore(settings.ops_address("acme"), settings.ops_tenant("acme"))
        assert store.actions().is_empty()
        store.append_actions([action("a")])
    assert configured(tmp_path, "").ops_tenant("acme") == "acme"


def test_an_address_does_not_make_the_decisions_in_a_file_forgotten(tmp_path):
    file = tmp_path / "db" / "dev" / "acme" / "ops.sqlite"
    OpsStore(file, "acme").append_actions([action("a", kind="opt_out")])
    settings = configured(tmp_path, "postgresql+psycopg://host/crm")
    with pytest.raises(SettingsError, match=r"CRM_OPS_URL .* a empresa acme já tem um ops.sqlite"):
        settings.ops_address("acme")
    assert settings.ops_address("beta") == "postgresql+psycopg://host/crm"
