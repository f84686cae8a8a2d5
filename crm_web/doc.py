"""The page that tells what the app answers to; it loads nothing from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

_PAGE = """<!doctype html>
<html lang="pt-BR"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto }}
code {{ background: #8882; padding: .1rem .3rem; border-radius: .2rem }}
td {{ padding: .2rem 1rem .2rem 0; vertical-align: top }}
</style>
<h1>{title}</h1><p>{description}</p>{operations}
<p><a href="/doc/openapi.json">OpenAPI em JSON</a></p></html>
"""


def page(openapi: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    operations = "".join(
        _operation(method.upper(), path, told)
        for path, methods in openapi["paths"].items()
        for method, told in methods.items()
    )
    info = openapi["info"]
    return _PAGE.format(
        title=_text(info["title"]), description=_text(info["description"]), operations=operations
    )


def _operation(method: str, path: str, told: dict[str, Any]) -> str:
    answers = "".join(
        f"<tr><td>{_text(code)}</td><td>{_text(answer['description'])}</td></tr>"
        for code, answer in told["responses"].items()
    )
    head = f"<h2>{_text(told['summary'])}</h2><p><code>{method} {_text(path)}</code></p>"
    return f"{head}<p>{_text(told['description'])}</p><table>{answers}</table>"


def _text(text: str) -> str:
    """A text with its `code` marked."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
