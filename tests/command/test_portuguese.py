"""What typer says around our texts is Portuguese: every help page, every kind of wrong use."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command

from crm_cli.app import app
from crm_cli.portuguese import sentence

ENGLISH = re.compile(
    r"\b(usage|options?|arguments?|args|commands?|error|invalid|value for|missing|try|show this|"
    r"message|exit|required|default|such|unexpected|requires|aborted|input|should|possible|"
    r"did you mean)\b",
    re.IGNORECASE,
)

CODE = re.compile(r"<(str|int|float|Path|list)|list\[|\[\[|\w… *│")
"""Names of Python's types, and lines that are cut."""


def paths(command, *path):
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from paths(below, *path, name)


@pytest.mark.slow
def test_no_help_page_has_a_word_of_typers_own(crm):
    pages = list(paths(get_command(app)))
    assert len(pages) > 50
    for path in pages:
        said = crm(*path, "--help")
        assert (said.code, said.err) == (0, "")
        text = re.sub(r"--[\w-]+|\S*/\S+|`[^`]*`|crm [a-z -]+", "", said.out)
        assert not ENGLISH.search(text), (path, ENGLISH.search(text))
        assert not CODE.search(said.out), (path, CODE.search(said.out))
        assert "Uso: " in said.out
        assert "Mostra esta página e sai." in said.out
        assert not path or "Exemplo: crm" in said.out or "COMANDO" in said.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nada", "Não existe o comando nada; veja `crm --help`."),
        ("subscriptions lst", "Não existe o comando lst; talvez 'list'; veja `crm subscriptions"),
        ("run --onl x", "Não existe a opção --onl; talvez --only; veja `crm run --help`."),
        ("run -z", "Não existe a opção -z; veja `crm run --help`."),
        ("run x y", "Argumentos a mais: x y; veja `crm run --help`."),
        ("run --wait x", "--wait: precisa ser um número; veja"),
        ("run --dry-run=1", "--dry-run não leva valor"),
        ("access list --limit 0", "--limit: precisa ser 1 ou mais; veja"),
        ("access list --limit x", "--limit: precisa ser um número inteiro; veja"),
        ("serve --port 70000", "--port: precisa ser 65535 ou menos; veja"),
        ("access block", "Falta CLIENTE; veja `crm access block --help`."),
        ("access block ana --product 1", "Falta a opção --reason; veja"),
        ("access block ana --product", "Falta o valor de --product"),
        ("import undo x --source y", "--source: 'y' não é um de 'manychat', 'hotmart-csv'; veja"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_portuguese_sentence(crm, arguments, said):
    told = crm(*arguments.split())
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(said)
    assert told.err.endswith(".\n")
    assert told.err.count("\n") == 1
    assert not ENGLISH.search(re.sub(r"`[^`]*`|--[\w-]+", "", told.err))


@pytest.mark.parametrize("path", [(), ("customers",), ("import",)])
def test_a_group_alone_shows_its_help_page_and_nothing_else(crm, path):
    said = crm(*path)
    assert (said.code, said.err) == (2, "")
    assert "Uso: crm" in said.out


def test_what_is_not_known_is_told_as_it_is():
    from typer import TyperException

    assert sentence(TyperException("Nothing known")) == "Nothing known."
    assert sentence(TyperException("algo: outra coisa.")) == "Algo: outra coisa."
