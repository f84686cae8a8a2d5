"""The two READMEs say the same commands."""

import re

import pytest

from crm_assets.settings import CHECKOUT


def commands(name: str) -> tuple[list[str], set[str]]:
    """Shell blocks, and the commands of the table, of one README."""
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    table = set(re.findall(r"^\| (`crm [^|]*`) \|", text, flags=re.M))
    return blocks, table


def test_both_languages_have_the_same_commands() -> None:
    assert commands("README.md") == commands("README.pt-BR.md")


@pytest.mark.parametrize("name", ["README.md", "README.pt-BR.md"])
def test_every_command_of_the_table_exists(name: str) -> None:
    from crm_cli.app import app

    known = {command.callback.__name__ for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    named = re.findall(r"`crm (\w+)", "".join(commands(name)[1]))
    assert named
    assert set(named) <= known | groups
