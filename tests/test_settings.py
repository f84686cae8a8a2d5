"""Settings: what is read, and that every refusal names its variable."""

from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.settings import CHECKOUT, Environment, Settings, SettingsError, parse_day


def settings(**environ: str) -> Settings:
    return Settings.from_environ(environ)


@pytest.mark.parametrize("text", ["prd", "PRD", "Prd", " prd "])
def test_the_environment_may_be_written_in_any_case(text):
    assert settings(ENVIRONMENT=text).environment is Environment.PRD


def test_without_any_variable_everything_has_a_default():
    plain = settings()
    assert plain.environment is Environment.DEV
    assert plain.home == CHECKOUT / "data"
    assert plain.tenants_file == CHECKOUT / "tenants.toml"
    assert plain.schedule_time == time(2, 0)
    assert plain.fixed_now is None


def test_an_empty_variable_is_as_good_as_none():
    names = ("ENVIRONMENT", "CRM_HOME", "CRM_TENANTS", "SCHEDULE_TIME", "CRM_NOW")
    assert settings(**dict.fromkeys(names, "")) == settings()


@pytest.mark.parametrize("text", ["prod", "producao", "1", "dev hml"])
def test_a_wrong_environment_is_refused_with_the_three_names(text):
    with pytest.raises(SettingsError, match=r"ENVIRONMENT precisa ser dev, hml ou prd"):
        settings(ENVIRONMENT=text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00", time(0)),
        ("02:30", time(2, 30)),
        ("23:59:00", time(23, 59)),
        (" 07:05 ", time(7, 5)),
    ],
)
def test_the_schedule_time_is_hours_and_minutes(text, expected):
    assert settings(SCHEDULE_TIME=text).schedule_time == expected


@pytest.mark.parametrize(
    "text", ["24:00", "2:30", "02", "0230", "02:60", "02h30", "02:00:00.5", "x"]
)
def test_any_other_schedule_time_is_refused_by_name(text):
    with pytest.raises(SettingsError, match=r"SCHEDULE_TIME precisa ser HH:MM"):
        settings(SCHEDULE_TIME=text)


def test_seconds_in_the_schedule_time_are_refused_with_the_reason():
    with pytest.raises(SettingsError, match=r"SCHEDULE_TIME não aceita segundos, porque"):
        settings(SCHEDULE_TIME="02:00:30")


def test_the_clock_can_be_replaced_by_an_instant_with_a_zone():
    fixed = settings(CRM_NOW="2026-03-15T09:00:00-03:00")
    assert fixed.now() == datetime(2026, 3, 15, 12, tzinfo=UTC)
    assert fixed.now().tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["2026-03-15T09:00:00", "2026-03-15", "ontem", "0001-01-01T00:00+14:00"]
)
def test_an_instant_without_zone_is_refused_by_name(text):
    with pytest.raises(SettingsError, match=r"CRM_NOW precisa ser um instante ISO com fuso"):
        settings(CRM_NOW=text)


def test_today_is_a_day_of_the_zone():
    late = settings(CRM_NOW="2026-03-15T01:30:00+00:00")
    assert late.today("America/Sao_Paulo") == date(2026, 3, 14)
    assert late.today("Europe/Lisbon") == date(2026, 3, 15)


def test_without_a_fixed_clock_time_passes():
    assert abs((settings().now() - datetime.now(UTC)).total_seconds()) < 5


def test_folders_are_apart_by_environment_and_tenant(tmp_path: Path):
    home = settings(CRM_HOME=str(tmp_path), ENVIRONMENT="hml")
    assert home.store_folder("acme") == tmp_path / "db" / "hml" / "acme"
    assert home.output_folder("acme") == tmp_path / "output" / "hml" / "acme"
    assert home.dagster_home == tmp_path / "dagster" / "hml"


def test_the_operations_store_is_there_once_its_file_is(tmp_path: Path):
    home = settings(CRM_HOME=str(tmp_path))
    assert not home.has_ops("acme")
    Path(home.ops_address("acme")).parent.mkdir(parents=True)
    Path(home.ops_address("acme")).touch()
    assert home.has_ops("acme")
    assert not home.has_ops("default")


def test_an_operations_store_with_an_address_is_taken_to_be_there(tmp_path: Path):
    home = settings(CRM_HOME=str(tmp_path), CRM_OPS_URL="postgresql+psycopg://host/ops")
    assert home.ops_address("acme") == "postgresql+psycopg://host/ops"
    assert home.has_ops("acme")


def test_only_named_tenants_have_an_input_folder_of_their_own(tmp_path: Path):
    home = settings(CRM_HOME=str(tmp_path))
    assert home.input_folder("default", "manychat") == tmp_path / "input" / "manychat"
    assert home.input_folder("acme", "manychat") == tmp_path / "input" / "manychat" / "acme"


def test_relative_folders_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    relative = settings(CRM_HOME="dados", CRM_TENANTS="t.toml")
    assert relative.home == tmp_path / "dados"
    assert relative.tenants_file == tmp_path / "t.toml"


@given(st.dates())
def test_a_day_is_read_as_it_is_written(day: date):
    assert parse_day("X", day.isoformat()) == day


@pytest.mark.parametrize("text", ["20250101", "2025-1-1", "01/02/2025", "2025-02-30", "2025-W01-1"])
def test_any_other_day_is_refused_by_name(text):
    with pytest.raises(SettingsError, match=r"HOTMART_START_DATE precisa ser uma data AAAA-MM-DD"):
        parse_day("HOTMART_START_DATE", text)


@pytest.mark.parametrize("text", [None, ""])
def test_no_day_is_no_day(text):
    assert parse_day("X", text) is None


def test_another_database_than_postgresql_is_refused_without_its_address():
    with pytest.raises(SettingsError, match=r"CRM_OPS_URL precisa começar com") as refused:
        settings(CRM_OPS_URL="mysql://ana:segredo@host/ops")
    assert "segredo" not in str(refused.value)


def test_a_file_of_decisions_is_never_left_behind_for_a_server(tmp_path):
    there = settings(CRM_HOME=str(tmp_path))
    file = Path(there.ops_address("acme"))
    file.parent.mkdir(parents=True)
    file.touch()
    moved = settings(CRM_HOME=str(tmp_path), CRM_OPS_URL="postgresql+psycopg://host/ops")
    with pytest.raises(SettingsError, match=r"CRM_OPS_URL está definida, mas a empresa acme"):
        moved.ops_address("acme")
