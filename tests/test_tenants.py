"""The tenant model: by environment alone or by `tenants.toml`, and its refusals."""

from datetime import date
from pathlib import Path

import pytest

from crm_assets.settings import Settings, SettingsError
from crm_assets.tenants import (
    DEFAULT,
    Tenant,
    build_tenant_model,
    load_tenants,
    location_tenants,
)

TWO = """
[tenants.default]
name = "Escola Aurora"

[tenants.acme]
name = "Acme"
timezone = "America/Manaus"
currency = "USD"
schedules_on = true

[tenants.acme.hotmart]
start_date = 2024-05-10
client_secret_env = "ACME_SECRET"

[tenants.acme.audiences.cursos]
label = "Cursos"
public_label = "cursos"
product_ids = [123, "456"]

[tenants.acme.audiences.resto]
label = "O resto"
public_label = "outros"
rest = true
"""


def load(folder: Path, text: str | None = None, **environ: str) -> dict[str, Tenant]:
    if text is not None:
        (folder / "tenants.toml").write_text(text, encoding="utf-8")
        environ["CRM_TENANTS"] = str(folder / "tenants.toml")
    environ.setdefault("CRM_HOME", str(folder))
    return load_tenants(Settings.from_environ(environ), environ)


def refused(table: object, slug: str = "acme", **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        build_tenant_model(slug, table, environ)
    return str(caught.value)


def test_without_a_file_there_is_one_tenant_by_environment_alone(monkeypatch, tmp_path):
    monkeypatch.setattr("crm_assets.settings.CHECKOUT", tmp_path)
    tenants = load(tmp_path, HOTMART_START_DATE="2025-01-15", HOTMART_END_DATE="2025-12-31")
    (tenant,) = tenants.values()
    assert tenant.slug == DEFAULT
    assert (tenant.hotmart.start_date, tenant.hotmart.end_date) == (
        date(2025, 1, 15),
        date(2025, 12, 31),
    )
    assert tenant.hotmart.client_id_env == "HOTMART_CLIENT_ID"
    assert list(tenant.audiences) == ["todos"]
    assert tenant.audiences["todos"].rest


def test_a_file_may_hold_several_tenants_in_its_order(tmp_path):
    tenants = load(tmp_path, TWO)
    assert list(tenants) == ["default", "acme"]
    acme = tenants["acme"]
    assert (acme.timezone, acme.currency, acme.schedules_on) == ("America/Manaus", "USD", True)
    assert acme.audiences["cursos"].product_ids == ("123", "456")
    assert tenants["default"].name == "Escola Aurora"


def test_named_tenants_read_variables_with_their_name_before(tmp_path):
    tenants = load(
        tmp_path,
        TWO,
        HOTMART_START_DATE="2020-01-01",
        ACME_HOTMART_END_DATE="2025-01-31",
        HOTMART_API_URL="http://127.0.0.1:1/",
    )
    default, acme = tenants["default"].hotmart, tenants["acme"].hotmart
    assert (default.start_date, default.end_date) == (date(2020, 1, 1), None)
    assert (acme.start_date, acme.end_date) == (date(2024, 5, 10), date(2025, 1, 31))
    assert (acme.client_id_env, acme.client_secret_env, acme.basic_token_env) == (
        "ACME_HOTMART_CLIENT_ID",
        "ACME_SECRET",
        "ACME_HOTMART_BASIC_TOKEN",
    )
    assert default.api_url == acme.api_url == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("named", "loaded"),
    [
        (None, ["default", "acme"]),
        ("", ["default", "acme"]),
        (" , ", ["default", "acme"]),
        ("acme", ["acme"]),
        (" acme , default,", ["acme", "default"]),
    ],
)
def test_a_code_location_loads_all_tenants_or_those_it_is_narrowed_to(tmp_path, named, loaded):
    (tmp_path / "tenants.toml").write_text(TWO, encoding="utf-8")
    environ = {"CRM_TENANTS": str(tmp_path / "tenants.toml")}
    environ |= {} if named is None else {"CRM_LOCATION_TENANTS": named}
    assert list(location_tenants(Settings.from_environ(environ), environ)) == loaded


def test_a_code_location_cannot_be_narrowed_to_a_tenant_that_is_none(tmp_path):
    (tmp_path / "tenants.toml").write_text(TWO, encoding="utf-8")
    environ = {"CRM_TENANTS": str(tmp_path / "tenants.toml")}
    environ["CRM_LOCATION_TENANTS"] = "default,outra"
    with pytest.raises(SettingsError, match=r"cita a empresa desconhecida 'outra'"):
        location_tenants(Settings.from_environ(environ), environ)


def test_the_sample_tenant_can_be_read():
    from world import SAMPLE

    (tenant,) = load(SAMPLE, CRM_TENANTS=str(SAMPLE / "tenants.toml")).values()
    assert list(tenant.audiences) == ["ilpi", "estetica"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "não tem tabela"),
        ("tenants = 5", "não tem tabela"),
        ("[tenants]", "não tem tabela"),
        ("[tenants.acme", "tenants.toml não é TOML válido: erro no fim do arquivo."),
        ("[tenants.acme]\nname = Acme", "não é TOML válido: erro na linha 2, coluna 8."),
        ("[tenants.acme]\nname = 'a'\n[tenants.acme]", "erro na linha 3, coluna 14."),
        ("[tenants]\nacme = 5", "tenants.acme precisa ser uma tabela"),
    ],
)
def test_a_file_that_is_none_is_refused_by_its_name(tmp_path, text, told):
    with pytest.raises(SettingsError, match=r"tenants") as caught:
        load(tmp_path, text)
    assert told in str(caught.value)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    file = tmp_path / "tenants.toml"
    file.write_bytes('[tenants.acme]\nname = "São"'.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"UTF-8"):
        load(tmp_path, CRM_TENANTS=str(file))


def test_a_file_that_is_asked_for_must_exist(tmp_path):
    with pytest.raises(SettingsError, match=r"CRM_TENANTS aponta para um arquivo que não existe"):
        load(tmp_path, CRM_TENANTS=str(tmp_path / "nada.toml"))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"cor": 1}, "tenants.acme.cor: chave desconhecida"),
        ({"name": 5}, "tenants.acme.name: precisa ser um texto"),
        ({"timezone": "Marte/Base"}, "tenants.acme.timezone: fuso horário desconhecido"),
        ({"timezone": "../../etc/passwd"}, "tenants.acme.timezone: fuso horário desconhecido"),
        ({"currency": "real"}, "tenants.acme.currency: precisa ser o código de uma moeda"),
        ({"schedules_on": "talvez"}, "tenants.acme.schedules_on: precisa ser true ou false"),
        ({"owners": "eu"}, "tenants.acme.owners: precisa ser uma lista"),
        ({"hotmart": 5}, "hotmart precisa ser uma tabela"),
        ({"hotmart": {"start_date": "ontem"}}, "hotmart.start_date: precisa ser uma data"),
        ({"hotmart": {"refresh_days": -1}}, "hotmart.refresh_days: precisa ser 0 ou mais"),
        ({"hotmart": {"refresh_days": 9999}}, "hotmart.refresh_days: precisa ser 3650 ou menos"),
        ({"hotmart": {"calls_per_minute": 0}}, "calls_per_minute: precisa ser maior que 0"),
        ({"hotmart": {"api_url": "ftp://x"}}, "hotmart.api_url: precisa começar com https://"),
        ({"remarketing": {"batch_size": 51}}, "remarketing.batch_size: precisa ser 50 ou menos"),
        ({"remarketing": {"batch_size": "x"}}, "batch_size: precisa ser um número inteiro"),
        ({"alerts": {"max_mrr_fall": 0}}, "alerts.max_mrr_fall: precisa ser maior que 0."),
        ({"identity": {"max_merged_share": 2}}, "max_merged_share: precisa ser 1 ou menos."),
        ({"audiences": {"a": {"label": "A"}}}, "audiences.a.public_label: falta este valor"),
        ({"audiences": {"a": 5}}, "audiences.a: precisa ser uma tabela"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(table, told):
    assert told in refused(table)


@pytest.mark.parametrize("key", ["client_secret", "client_id", "basic_token"])
def test_a_secret_in_the_file_is_refused_and_never_repeated(key):
    told = refused({"hotmart": {key: "s3gr3d0"}})
    assert f"{key}_env" in told
    assert "s3gr3d0" not in told


def test_a_secret_where_the_name_of_its_variable_belongs_is_never_repeated():
    told = refused({"hotmart": {"client_secret_env": "s3gr3d0-valor"}})
    assert "tenants.acme.hotmart.client_secret_env: precisa ser o nome de uma variável" in told
    assert "s3gr3d0" not in told


@pytest.mark.parametrize("slug", ["Acme", "1acme", "acme-sa", "a/b", "", "..", "a" * 40])
def test_a_slug_is_small_letters_digits_and_underscores(slug):
    assert "letras minúsculas" in refused({}, slug)


def test_the_slug_of_an_audience_becomes_a_table_name_and_is_checked_too():
    audience = {"label": "A", "public_label": "a", "rest": True}
    told = refused({"audiences": {"a b": audience}})
    assert "tenants.acme.audiences.a b" in told
    assert "letras minúsculas" in told


@pytest.mark.parametrize("label", ["../fora", "a/b", "", "x" * 61, "a\nb"])
def test_a_public_label_becomes_a_file_name_and_cannot_leave_its_folder(label):
    table = {"audiences": {"a": {"label": "A", "public_label": label, "rest": True}}}
    assert "audiences.a.public_label: precisa ter até 60 letras" in refused(table)


def test_only_one_audience_takes_the_rest():
    rest = {"label": "A", "public_label": "a", "rest": True}
    assert "só um público" in refused({"audiences": {"a": rest, "b": rest}})


def test_a_period_that_ends_before_it_starts_is_refused_with_both_names():
    told = refused({}, ACME_HOTMART_START_DATE="2025-02-01", ACME_HOTMART_END_DATE="2025-01-31")
    assert "HOTMART_END_DATE (2025-01-31)" in told
    assert "HOTMART_START_DATE (2025-02-01)" in told


@pytest.mark.parametrize("name", ["HOTMART_API_URL", "HOTMART_AUTH_URL"])
def test_an_address_is_refused_by_its_variable(name):
    assert f"{name} precisa começar com https://" in refused({}, **{name: "developers.hotmart.com"})


@pytest.mark.parametrize("name", ["HOTMART_START_DATE", "HOTMART_END_DATE"])
def test_a_wrong_day_is_refused_by_its_full_variable(name):
    assert f"ACME_{name} precisa ser uma data" in refused({}, **{f"ACME_{name}": "01/02/2025"})
