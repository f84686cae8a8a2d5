"""`crm import`, `crm export`, `crm doctor`, and the help of every command."""

import os
from pathlib import Path

import pytest
from world import SAMPLE

from crm_cli.app import app
from crm_resources.hotmart.sandbox import Faults

pytestmark = pytest.mark.slow

NEW = "nome;email;whatsapp;data_remarketing\n" + "\n".join(
    [
        "Ana Beatriz;ana.souza@example.com;;",
        "Nova Pessoa;nova@example.com;11987650000;ontem",
        "Sem Chave;;;",
    ]
)


def test_a_dry_run_of_an_import_counts_and_writes_nothing(ran, tmp_path, tree):
    file = tmp_path / "lista [março].csv"
    file.write_text(NEW)
    before = tree(ran.home)
    said = ran("import", "manychat", file, "--dry-run")
    assert said.code == 0
    assert said.out.strip() == (
        "lista [março].csv: 3 linhas: 1 de pessoas novas, 1 de clientes que já existem, "
        "1 sem e-mail nem telefone, 1 célula rejeitada"
    )
    assert tree(ran.home) == before


def test_a_dry_run_on_an_empty_home(crm, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(NEW)
    said = crm("import", "manychat", file, "--dry-run")
    assert "2 de pessoas novas, 0 de clientes que já existem" in said.out
    assert not crm.home.exists()


def test_a_dry_run_of_what_was_imported_or_cannot_be(ran, tmp_path):
    bad = tmp_path / "ruim.csv"
    bad.write_text("pedido;valor\n1;2\n")
    known = SAMPLE / "input" / "manychat" / "contatos_api.csv"
    said = ran("import", "manychat", known, bad, "--dry-run")
    assert said.code == 1
    assert "contatos_api.csv: conteúdo já importado; nada mudaria" in said.out
    assert "ruim.csv: recusado: O arquivo não tem coluna de contato" in said.out


def test_what_was_not_read_is_listed_with_its_reason_and_text(ran):
    said = ran("import", "rejects")
    assert said.code == 0
    assert "digitos_perdidos" in said.out
    assert "5,51196E+12" in said.out
    assert "e mais 2 (--limit)" in ran("import", "rejects", "--limit", "1").out


def test_a_missing_file_is_named_and_nothing_happens(crm, tmp_path):
    said = crm("import", "manychat", tmp_path / "nada.csv")
    assert said.code == 1
    assert f"{tmp_path}/nada.csv não existe: diga um arquivo de contatos." in said.err
    assert not crm.home.exists()


def test_a_refused_file_is_told_every_time_it_is_asked_for(ran, tmp_path):
    file = tmp_path / "ruim.csv"
    file.write_text("pedido;valor\n1;2\n")
    first = ran("import", "manychat", file)
    assert first.code == 1
    assert "não tem coluna de contato" in first.err
    assert "colunas encontradas: pedido, valor" in first.err
    assert "✓ refine" in first.out
    second = ran("import", "manychat", file)
    assert second.code == 1
    assert "recusado antes" in second.err
    assert ran("run", "--only", "manychat").code == 0


SALES = (
    "Código da transação;Status da transação;Data da transação;Código do produto;Produto;"
    "Moeda de compra;Valor de compra com impostos;Comprador(a);Email do(a) Comprador(a);Telefone\n"
    "HPCSV01;Aprovado;10/03/2026 10:00:00;4201;Curso;BRL;1.197,90;Nova Pessoa;nova@example.com;"
    "11987650000\n"
    "HPCSV02;Reembolsado;ontem;4201;Curso;BRL;muito;Ana Beatriz;ana.souza@example.com;\n"
    ";Aprovado;;;;;;;;\n"
)


def test_a_dry_run_of_a_sales_report_counts_and_writes_nothing(ran, tmp_path, tree):
    file = tmp_path / "vendas.csv"
    file.write_text(SALES)
    before = tree(ran.home)
    said = ran("import", "hotmart-csv", file, "--dry-run")
    assert (said.code, said.out.strip()) == (
        0,
        "vendas.csv: 2 linhas: 2 vendas novas, 0 que já existem, 3 células rejeitadas",
    )
    assert tree(ran.home) == before
    bad = tmp_path / "ruim.csv"
    bad.write_text(NEW)
    said = ran("import", "hotmart-csv", bad, "--dry-run")
    assert said.code == 1
    assert "não tem a coluna do código da transação" in said.out
    assert "colunas encontradas: nome, email, whatsapp, data_remarketing" in said.out


def test_a_refused_sales_report_is_no_lasting_failure(ran, tmp_path):
    file = tmp_path / "vendas.csv"
    file.write_text("Email;Nome\na@example.com;A\n")
    said = ran("import", "hotmart-csv", file)
    assert said.code == 1
    assert "não tem a coluna do código da transação" in said.err
    assert "falhou hotmart_csv" in ran("status").out
    assert ran("run", "--only", "hotmart_csv").code == 0
    assert "falhou" not in ran("status").out


def test_a_source_that_was_never_used_is_not_mentioned(ran):
    assert "hotmart_csv" not in ran("run", "--only", "hotmart_csv,manychat").out
    assert "hotmart_csv" not in ran("status").out


def state(ran):
    """Every table but the logs, without what tells when and by which run; no ended rows."""
    from crm_assets.resources import MIGRATIONS
    from crm_resources.warehouse import Warehouse

    warehouse = Warehouse(database=str(ran.store / "warehouse.duckdb"), migrations=str(MIGRATIONS))
    only = {
        "silver.customer_ids": "WHERE customer_id IN (SELECT customer_id FROM silver.customers)",
        "silver.customer_merges": "WHERE customer_id IN (SELECT customer_id FROM silver.customers)",
        "silver.customer_xref": "WHERE valid_to IS NULL",
    }
    logs = {"silver.access_log", "gold.metric_changes"}
    with warehouse.write("comparação") as tx:
        names = tx.read(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables "
            "WHERE table_schema IN ('bronze', 'silver', 'gold') ORDER BY 1"
        ).to_series()
        return {
            name: sorted(map(str, tx.read(f"FROM {name} {only.get(name, '')}").rows()))
            for name in names
            if name not in logs
        }


@pytest.mark.timeout(300)
def test_files_are_imported_once_and_undone_as_if_they_had_never_been(ran, tmp_path, tree):
    ran("run", "--only", "actions,refine")  # so that the first day's own batch is known
    states = [state(ran)]
    files = {"manychat": tmp_path / "novos.csv", "hotmart-csv": tmp_path / "vendas.csv"}
    files["manychat"].write_text(NEW)
    files["hotmart-csv"].write_text(SALES)

    said = ran("import", "manychat", files["manychat"])
    assert (said.code, said.err) == (0, "")
    assert (
        "arquivo novos.csv: importado: 3 linhas, 1 célula não lida; "
        "1 pessoa nova, 1 já conhecida, 1 sem e-mail nem telefone"
    ) in said.out
    assert "bronze.manychat_contacts 3" in said.out
    assert "Clientes: 51" in said.out
    assert "✓ hotmart" not in said.out
    states.append(state(ran))

    said = ran("import", "hotmart-csv", files["hotmart-csv"])
    assert (said.code, said.err) == (0, "")
    assert "arquivo vendas.csv: importado: 2 linhas, 3 células não lidas" in said.out
    assert "bronze.hotmart_csv 2" in said.out
    assert "✓ refine" in said.out
    assert "hotmart_csv" in ran("status").out
    states.append(state(ran))
    assert states[0] != states[1] != states[2]

    again = {source: ran("import", source, file) for source, file in files.items()}
    assert {said.code for said in again.values()} == {0}
    assert "arquivo novos.csv: conteúdo já importado" in again["manychat"].out
    assert "arquivo vendas.csv: conteúdo já importado" in again["hotmart-csv"].out

    before = tree(ran.home)
    said = ran("import", "undo", "novos.csv", "--dry-run")
    assert said.code == 0
    assert "3 linhas sairiam; 2 pessoas perderiam este registro" in said.out
    assert tree(ran.home) == before

    raw = {path.read_bytes(): path for path in (ran.store / "raw").rglob("*.csv")}
    for source, kept in (("hotmart-csv", 1), ("manychat", 0)):
        file = files[source]
        assert file.exists(), "what somebody imports by name stays where it is"
        copy = raw[file.read_bytes()]
        said = ran("import", "undo", file)
        assert (said.code, said.err) == (0, "")
        assert f"{file.name} ({copy.stem}): desfeito: " in said.out
        assert state(ran) == states[kept]
        assert not copy.exists()

    file.unlink()
    assert "já foi desfeito" in ran("import", "undo", "novos.csv", "--dry-run").out
    again = ran("import", "undo", copy.stem)
    assert again.code == 0
    assert "já estava desfeito" in again.out
    assert state(ran) == states[0]


def test_an_undone_file_of_the_folder_stays_out_until_it_is_named(ran):
    inbox = ran.home / "input" / "manychat"
    (inbox / "novos.csv").write_text(NEW)
    assert ran("run", "--only", "manychat,refine").code == 0
    assert list(inbox.iterdir()) == []
    assert ran("import", "undo", "novos.csv").code == 0
    (archived,) = (ran.store / "archive" / "manychat").glob("*_novos.csv")
    (inbox / "de novo.csv").write_bytes(archived.read_bytes())
    said = ran("run", "--only", "manychat,refine")
    assert said.code == 0
    assert "hotmart" not in said.out.split("Clientes")[0].replace("silver", "")
    assert "✓ manychat nada novo" in said.out
    assert "✓ refine" in said.out
    assert "arquivo de novo.csv: desfeito antes; só volta quando importado por nome" in said.out
    assert "desfeito antes" in ran("run", "--only", "manychat", "--dry-run").out
    assert "importado: 3 linhas" in ran("import", "manychat", archived).out


@pytest.mark.parametrize("named", ["nada.csv", "../../../etc/passwd", "2026-03-15_0123456789ab"])
def test_an_unknown_import_is_told_in_one_sentence(ran, tree, named):
    before = tree(ran.home)
    said = ran("import", "undo", named)
    assert said.code == 1
    assert said.err == f"Nenhuma importação atende por {Path(named).name}.\n"
    assert tree(ran.home) == before


def test_before_the_first_round_there_is_nothing_to_undo(crm):
    said = crm("import", "undo", "a.csv")
    assert (said.code, said.err) == (1, "Nada foi importado ainda.\n")
    assert not crm.home.exists()


def test_a_link_and_a_pipe_are_refused_by_name(crm, tmp_path):
    os.mkfifo(tmp_path / "tubo.csv")
    (tmp_path / "atalho.csv").symlink_to(tmp_path / "tubo.csv")
    for name, reason in (("tubo.csv", "não é um arquivo comum"), ("atalho.csv", "é um atalho")):
        for more in (["--dry-run"], []):
            said = crm("import", "manychat", tmp_path / name, *more)
            assert said.code == 1
            assert reason in said.out + said.err


def test_a_dry_run_of_a_round_names_the_sheet_and_what_will_be_refused(ran):
    inbox = ran.home / "input" / "manychat"
    os.mkfifo(inbox / "tubo.csv")
    address = "https://docs.google.com/spreadsheets/d/segredo/edit"
    said = ran("run", "--dry-run", "--only", "manychat", MANYCHAT_SHEET_URL=address)
    assert said.code == 0
    assert "planilha de MANYCHAT_SHEET_URL: será lida" in said.out
    assert "arquivo tubo.csv: recusado: O caminho não é um arquivo comum" in said.out
    assert "segredo" not in said.out


def test_the_doctor_reads_the_sheet_without_saying_where_it_is(crm):
    assert "ok planilha do ManyChat: nenhuma (MANYCHAT_SHEET_URL não definida)" in crm("doctor").out
    said = crm("doctor", MANYCHAT_SHEET_URL="http://127.0.0.1:1/segredo")
    assert said.code == 1
    assert "falta planilha do ManyChat: A planilha de MANYCHAT_SHEET_URL não respondeu" in said.out
    assert "segredo" not in said.out


def test_with_several_tenants_the_import_asks_for_one(crm, tmp_path):
    file = tmp_path / "tenants.toml"
    file.write_text("[tenants.default]\n[tenants.acme]\n")
    (tmp_path / "a.csv").write_text(NEW)
    said = crm("import", "manychat", tmp_path / "a.csv", CRM_TENANTS=str(file))
    assert said.code == 2
    assert "--tenant" in said.err


def test_an_audience_file(ran):
    said = ran("export", "audience", "ilpi")
    assert said.code == 0
    path, counts = said.out.splitlines()
    assert path == f"{ran.home}/output/prd/default/publico/publico_ilpi_2026-03-15.csv"
    assert counts.startswith("7 pessoas, 0 fora")
    lines = Path(path).read_text().splitlines()
    assert (lines[0], len(lines)) == ("name,email,phone,country,state,value", 8)


def test_an_audience_for_excel(ran):
    path = ran("export", "audience", "estetica", "--format", "excel-csv").out.splitlines()[0]
    assert Path(path).read_bytes().startswith(b"\xef\xbb\xbfname;email;phone")


def test_a_batch_file_and_a_day_without_batch(ran):
    said = ran("export", "remarketing")
    assert said.code == 0
    assert "remarketing_2026-03-15.csv" in said.out
    assert "19 pessoas" in said.out
    empty = ran("export", "remarketing", "--day", "2026-03-14")
    assert empty.code == 0
    assert "Ninguém para listar; nenhum arquivo foi feito." in empty.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["audience", "nada"], "Não existe o público 'nada'; existem: ilpi, estetica"),
        (["audience", "ilpi", "--format", "pdf"], "--format precisa ser csv, excel-csv, xlsx"),
        (["remarketing", "--day", "ontem"], "--day precisa ser uma data AAAA-MM-DD"),
    ],
)
def test_a_wrong_export_is_wrong_use(ran, arguments, told):
    said = ran("export", *arguments)
    assert said.code == 2
    assert told in " ".join(said.err.replace("│", " ").split())


@pytest.mark.parametrize("what", [["audience", "ilpi"], ["remarketing"]])
def test_an_export_before_the_first_round_says_what_to_do(crm, what):
    said = crm("export", *what)
    assert said.code == 1
    assert "rode `uv run crm run` primeiro" in said.err


def test_the_doctor_finds_everything_in_place(crm, sandbox):
    said = crm("doctor")
    assert (said.code, said.err) == (0, "")
    assert f"ok Hotmart: {sandbox.url} respondeu" in said.out
    assert "sandbox-secret" not in said.out
    assert not crm.home.exists()


def test_the_doctor_names_what_is_missing(crm):
    said = crm("doctor", HOTMART_CLIENT_ID="")
    assert said.code == 1
    assert "falta Hotmart: Falta HOTMART_CLIENT_ID" in said.out


def test_the_doctor_names_a_refusal(crm, sandbox):
    sandbox.sandbox.faults = Faults(forbidden=True)
    said = crm("doctor")
    assert said.code == 1
    assert "falta Hotmart: " in said.out
    assert "não tem acesso" in said.out


def commands(group, path=()):
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))
    if not hasattr(group, "commands"):
        yield path


def all_commands():
    import typer

    return list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", all_commands(), ids=" ".join)
def test_every_command_has_an_example_in_its_help(crm, path):
    said = crm(*path, "--help")
    assert said.code == 0
    assert f"Exemplo: crm {' '.join(path)}" in " ".join(said.out.replace("│", " ").split())


def test_without_arguments_the_commands_are_listed(crm):
    said = crm()
    for name in ("run", "demo", "status", "import", "export", "doctor", "dev", "sandbox"):
        assert name in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--faults", "{"], "--faults"),
        (["--faults", '{"nada": 1}'], "--faults"),
        (["--data", "/nao/existe.json"], "existe.json"),
        (["--transactions", "5", "--start", "ontem"], "ontem"),
        (["--transactions", "-5"], "--transactions"),
    ],
)
def test_a_sandbox_that_cannot_be_made_is_wrong_use(crm, arguments, told):
    said = crm("sandbox", "hotmart", *arguments)
    assert said.code == 2
    assert told in said.err
