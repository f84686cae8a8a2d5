"""A company's configuration in a backup: its table as it is, its environment encrypted (S3.193).

No Dagster here.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from crm_assets.privacy.tombstones import key_path
from crm_assets.settings import Settings
from crm_assets.tenants import DEFAULT, Tenant

TABLE, SECRETS = "tenants.toml", "segredos.json"
PASSPHRASE = "CRM_BACKUP_PASSPHRASE"  # noqa: S105
KEY = "chave_dos_apagamentos"

_SHARED = ("CRM_", "SMTP_", "ALERT_")
_ALSO = ("ENVIRONMENT", "SCHEDULE_TIME", "HOTMART_API_URL", "HOTMART_AUTH_URL")
_NEVER = (PASSPHRASE, "CRM_NOW")
"""The passphrase itself, and a clock that stands still."""

_COST = {"n": 2**15, "r": 8, "p": 1}


class WrongPassphrase(RuntimeError):
    """The passphrase does not open the secrets of a backup."""


def save_configuration(
    settings: Settings, tenant: Tenant, environ: Mapping[str, str], folder: Path
) -> bool:
    """Write the company's table, and with a passphrase its variables and the key of the tombstones.

    Returns:
        Whether the secrets are there.
    """
    folder.mkdir(mode=0o700)
    table = _table(settings, tenant)
    if table is not None:
        import tomlkit

        text = tomlkit.dumps({"tenants": {tenant.slug: table}})
        (folder / TABLE).write_text(text, encoding="utf-8")
    if not settings.backup_passphrase:
        return False
    held: dict[str, str] = {name: environ[name] for name in _names(tenant) if environ.get(name)}
    held |= {name: text for name, text in environ.items() if name.startswith(_SHARED) and text}
    held = {name: text for name, text in held.items() if name not in _NEVER}
    path = key_path(settings, tenant)
    if path.exists():
        held[KEY] = path.read_text(encoding="ascii").strip()
    sealed = _sealed(json.dumps(held), settings.backup_passphrase)
    (folder / SECRETS).write_text(json.dumps(sealed), encoding="ascii")
    return True


def open_secrets(folder: Path, passphrase: str) -> dict[str, str]:
    """The secrets of an unpacked configuration; empty when there are none or no passphrase is set.

    Raises:
        WrongPassphrase: it is another one.
    """
    if not passphrase or not (folder / SECRETS).exists():
        return {}
    sealed = json.loads((folder / SECRETS).read_text(encoding="ascii"))
    try:
        opened = _cipher(passphrase, sealed).decrypt(sealed["token"].encode())
    except InvalidToken:
        raise WrongPassphrase(
            f"{PASSPHRASE} não abre os segredos desta cópia: use a frase com que ela foi feita, ou "
            "deixe a variável vazia para restaurar sem eles."
        ) from None
    held: dict[str, str] = json.loads(opened)
    return held


def lay_out(folder: Path, opened: Mapping[str, str], target: Path) -> list[Path]:
    """Write a configuration where a person can take it up: `tenants.toml` and `.env`.

    Args:
        folder: an unpacked configuration.
        opened: its secrets.
        target: a folder; files that are there already are never replaced.

    Raises:
        FileExistsError: one of the files is there already.
    """
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    texts = {}
    if (folder / TABLE).exists():
        texts[TABLE] = (folder / TABLE).read_text(encoding="utf-8")
    variables = {name: text for name, text in opened.items() if name != KEY}
    if variables:
        texts[".env"] = "".join(
            f"{name}={_quoted(text)}\n" for name, text in sorted(variables.items())
        )
    written = []
    for name, text in texts.items():
        path = target / name
        with open(path, "x", encoding="utf-8", opener=_private) as file:
            file.write(text)
        written.append(path)
    return written


def _table(settings: Settings, tenant: Tenant) -> Any:
    """The company's table as it is written; None when there is no file."""
    try:
        text = settings.tenants_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return tomllib.loads(text).get("tenants", {}).get(tenant.slug)


def _names(tenant: Tenant) -> Iterator[str]:
    """The variables that the company reads; those of other companies are not its own."""
    prefix = "" if tenant.slug == DEFAULT else f"{tenant.slug.upper()}_"
    yield from _ALSO
    yield from (f"{prefix}HOTMART_{end}_DATE" for end in ("START", "END"))
    yield from _named(tenant.model_dump(mode="json"))


def _named(value: Any) -> Iterator[str]:
    """Every name of a variable in the company's table."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith("_env") and isinstance(inner, str):
                yield inner
            else:
                yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)


def _sealed(text: str, passphrase: str) -> dict[str, Any]:
    sealed = {"kdf": "scrypt", **_COST, "salt": secrets.token_hex(16)}
    return {**sealed, "token": _cipher(passphrase, sealed).encrypt(text.encode()).decode()}


def _cipher(passphrase: str, sealed: Mapping[str, Any]) -> Fernet:
    cost = {name: int(sealed[name]) for name in _COST}
    kdf = Scrypt(salt=bytes.fromhex(sealed["salt"]), length=32, **cost)
    return Fernet(base64.urlsafe_b64encode(kdf.derive(passphrase.encode())))


def _quoted(text: str) -> str:
    """A value as python-dotenv reads it back."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
