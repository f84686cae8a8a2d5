"""The house keeps its own promises: the commit script, and the list of settings."""

import os
import re
import subprocess

import pytest

from crm_assets.settings import CHECKOUT

SETTING = re.compile(
    r"\b(?:CRM|HOTMART|MANYCHAT|SMTP|ALERT|SCHEDULE)_[A-Z_]*[A-Z]\b|\bENVIRONMENT\b"
)
NO_SETTINGS = {"HOTMART_CSV", "HOTMART_SOURCES", "HOTMART_", "CRM_FULL"}


def test_every_setting_that_is_read_is_in_the_example_and_no_other():
    stated = re.findall(r"^([A-Z_]+)=", (CHECKOUT / ".env.example").read_text(), re.M)
    code = (
        file.read_text()
        for package in ("crm_assets", "crm_cli", "crm_resources")
        for file in (CHECKOUT / package).rglob("*.py")
    )
    quoted = (text for source in code for text in re.findall(r"""["']([^"'\n]*)["']""", source))
    named = {name for text in quoted for name in SETTING.findall(text)} - NO_SETTINGS
    assert sorted(stated) == sorted(named)


@pytest.fixture
def house(tmp_path):
    """A repository with the script, and a `uv` that says what it was asked."""
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "commit.sh"
    script.write_text((CHECKOUT / "scripts" / "commit.sh").read_text())
    tools = tmp_path / "tools"
    tools.mkdir()
    uv = tools / "uv"
    uv.write_text(
        '#!/bin/sh\necho "$@" >> "$ASKED"\n'
        '[ -z "$FAILS" ] || case "$*" in *$FAILS*) exit 1;; esac\n'
    )
    uv.chmod(0o755)
    git = {
        f"GIT_{who}_{what}": "nobody@example.com"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    environ = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path), **git}
    environ["ASKED"] = str(tmp_path / "asked")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, env=environ)

    def commit(*arguments, fails=""):
        done = subprocess.run(
            ["bash", str(script), *arguments],
            env=environ | {"FAILS": fails},
            capture_output=True,
            text=True,
            check=False,
        )
        log = subprocess.run(
            ["git", "-C", str(tmp_path), "log", "--format=%s"],
            capture_output=True,
            text=True,
            check=False,
        )
        asked = tmp_path / "asked"
        return done.returncode, asked.read_text().splitlines() if asked.exists() else [], log.stdout

    return commit


STEPS = ["run ruff check --fix .", "run ruff format .", "run pytest"]


def test_the_commit_script_lints_formats_tests_and_commits(house):
    assert house("A reason") == (0, STEPS, "A reason\n")


@pytest.mark.parametrize(("fails", "ran"), [("check", 1), ("format", 2), ("pytest", 3)])
def test_it_commits_nothing_when_a_step_fails(house, fails, ran):
    code, asked, log = house("A reason", fails=fails)
    assert (code, asked, log) == (1, STEPS[:ran], "")


@pytest.mark.parametrize("arguments", [(), ("",), ("two", "words")])
def test_it_wants_one_message(house, arguments):
    assert house(*arguments) == (2, [], "")
