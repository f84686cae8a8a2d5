"""The frame that typer draws around our texts, in Portuguese: help pages and refusals of wrong use.

Titles are constants of typer; the line of use and the help option belong to each command, which is
gone over once. Errors come to us as exceptions and are one sentence, like any other refusal.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import typer
from typer import rich_utils
from typer.main import get_command

_TITLES = {
    "ARGUMENTS_PANEL_TITLE": "Argumentos",
    "OPTIONS_PANEL_TITLE": "Opções",
    "COMMANDS_PANEL_TITLE": "Comandos",
    "DEFAULT_STRING": "[padrão: {}]",
    "REQUIRED_LONG_STRING": "[obrigatório]",
}
_KINDS = {
    "bool": "",
    "str": "TEXTO",
    "list[str]": "TEXTO",
    "list[int]": "NÚMERO",
    "int": "NÚMERO",
    "float": "NÚMERO",
    "Path": "CAMINHO",
    "list[Path]": "CAMINHO",
}
"""What stands for the value of an option or an argument, by its type."""

_ERRORS = (
    (r"Missing argument '?(.+?)'?\.", r"falta \1"),
    (r"Missing option '?(.+?)'?\.", r"falta a opção \1"),
    (r"Missing command\.", "falta o comando"),
    (r"No such option: (\S+)(?: \(Possible options: (.*)\))?", r"não existe a opção \1; talvez \2"),
    (r"No such command '(.*?)'\.(?: Did you mean (.*)\?)?", r"não existe o comando \1; talvez \2"),
    (r"Got unexpected extra argument\(s\) \((.*)\)", r"argumentos a mais: \1"),
    (r"Option '(.*)' requires an argument\.", r"falta o valor de \1"),
    (r"Option '(.*)' requires (\d+) arguments\.", r"\1 precisa de \2 valores"),
    (r"Option '(.*)' does not take a value\.", r"\1 não leva valor"),
    (r"Argument '(.*)' takes (\d+) values\.", r"\1 precisa de \2 valores"),
    (r"Invalid value(?: for '?(.+?)'?)?: (.*)", r"\1: \2"),
    (r"Could not open file '(.*)': .*", r"não foi possível abrir \1"),
)
_WRONG_VALUES = (
    (r"Input should be greater than or equal to (\S+)", r"precisa ser \1 ou mais"),
    (r"Input should be less than or equal to (\S+)", r"precisa ser \1 ou menos"),
    (r"Input should be a valid integer.*", "precisa ser um número inteiro"),
    (r"Input should be a (?:valid|finite) number.*", "precisa ser um número"),
    (r"(?:Value error, )?(?:Value )?(.+?) is not one of (.*)\.", r"\1 não é um de \2"),
    (r"(?:File|Path|Directory) (.+?) does not exist\.", r"\1 não existe"),
)


class _Context(typer.Context):
    def make_formatter(self) -> Any:
        formatter: Any = super().make_formatter()
        formatter.write_usage = partial(formatter.write_usage, prefix="Uso: ")
        return formatter


def command_of(app: typer.Typer) -> Any:
    """The command of an app, with every command below it, speaking Portuguese."""
    for name, text in _TITLES.items():
        setattr(rich_utils, name, text)
    command = get_command(app)
    _translate(command)
    return command


def sentence(error: typer.TyperException) -> str:
    """What was wrong with the use of a command; empty when its help page was shown instead."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    told = _said(error.format_message(), _ERRORS)
    place, colon, value = told.partition(": ")
    told = f"{place}{colon}{_said(value, _WRONG_VALUES)}".removeprefix(": ")
    told = told.removesuffix("; talvez ").rstrip(".")
    context = getattr(error, "ctx", None)
    help_page = f"; veja `{context.command_path} --help`" if context else ""
    return f"{told[:1].upper()}{told[1:]}{help_page}."


def _translate(command: Any) -> None:
    """Go over a command and those below it."""
    command.context_class = _Context
    command.options_metavar = "[OPÇÕES]"
    help_option = command.get_help_option(_Context(command))
    help_option.help = "Mostra esta página e sai."
    for parameter in (*command.params, help_option):
        kind = _KINDS.get(parameter.bare_type())
        if kind is not None:
            parameter.display_type = lambda _, kind=kind: kind
    below = getattr(command, "commands", {})
    if below:
        command.subcommand_metavar = "COMANDO [ARGUMENTOS]…"
    for one in below.values():
        _translate(one)


def _said(text: str, table: tuple[tuple[str, str], ...]) -> str:
    """A text of typer in Portuguese; as it is when it is none that the table knows."""
    for form, told in table:
        if found := re.fullmatch(form, text, re.DOTALL):
            return found.expand(told)
    return text
