"""Tombstones: who was erased, known only by keyed hashes, so that nobody comes back (rules 7.1).

A tombstone is the HMAC-SHA-256 of one identifier under a key of the tenant. The key stands in
`CRM_HOME/keys/{environment}/{tenant}`, outside the databases and the folder that is backed up with
them: whoever has one without the other cannot tell who was erased. No Dagster here.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from crm_assets.privacy.identifiers import SHARED, Traits, identifiers, mentioned
from crm_assets.settings import Settings
from crm_assets.tenants import Tenant
from crm_resources.ops import OpsStore

KEY_MARK = "key"
"""Kind of the tombstone that tells which key the others were made with."""

KEY_BYTES = 32

_IN_NO_TEXT = {KEY_MARK, SHARED, "sale"}


class KeyUnusable(RuntimeError):
    """The tenant's key is missing or is another one; nothing may be written without it."""


@dataclass(frozen=True)
class Tombstones:
    """The tombstones of one tenant.

    Attributes:
        key: the tenant's.
        tags: hexadecimal HMACs.
        kinds: kinds of identifier that they are over.
    """

    key: bytes = field(default=b"", repr=False)
    tags: frozenset[str] = field(default=frozenset(), repr=False)
    kinds: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.tags)

    def over(self, values: Iterable[tuple[str, str]]) -> Tombstones:
        """These and the tombstones of further `(kind, value)` pairs."""
        pairs = list(values)
        kinds = {kind for kind, _ in pairs}
        return Tombstones(self.key, self.tags.union(tags_of(self.key, pairs)), self.kinds | kinds)

    def of_rows(self, frame: pl.DataFrame, traits: Traits) -> pl.Series:
        """Which rows are of somebody erased; without tombstones nothing is looked at.

        Args:
            frame: rows of a table, or what was selected of one.
            traits: which columns identify, by kind.
        """
        wanted = {kind: columns for kind, columns in traits.items() if self._concerns(kind)}
        if not self or not wanted:
            return _none_of(len(frame))
        return self._rows(identifiers(frame, wanted), len(frame))

    def of_texts(self, texts: pl.Series) -> pl.Series:
        """Which free texts mention somebody erased."""
        if not self:
            return _none_of(len(texts))
        return self._rows(mentioned(texts, self.kinds - _IN_NO_TEXT), len(texts))

    def _concerns(self, kind: str) -> bool:
        return kind in self.kinds or SHARED in self.kinds

    def _rows(self, found: pl.DataFrame, height: int) -> pl.Series:
        distinct = found.select("kind", "value").unique()
        tags = tags_of(self.key, distinct.iter_rows())
        buried = distinct.filter(pl.Series([tag in self.tags for tag in tags], dtype=pl.Boolean))
        rows = found.join(buried, on=["kind", "value"], how="semi")["row"]
        return _none_of(height).scatter(rows.unique(), True)


NOBODY = Tombstones()


def tags_of(key: bytes, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """The tombstones of `(kind, value)` pairs, in their order."""
    keyed = hmac.new(key, digestmod="sha256")
    tags = []
    for kind, value in pairs:
        seal = keyed.copy()
        seal.update(f"{kind}:{value}".encode())
        tags.append(seal.hexdigest())
    return tags


def key_path(settings: Settings, tenant: Tenant) -> Path:
    """Where the tenant's key is; never inside the folder of its databases."""
    return settings.home / "keys" / settings.environment / tenant.slug / "tombstone.key"


def tombstones_of(settings: Settings, tenant: Tenant, ops: OpsStore) -> Tombstones:
    """The tenant's tombstones; without any, the key is not needed.

    Raises:
        KeyUnusable: there are some, and the key is missing or is not the one they were made with.
    """
    tags = ops.tombstones()
    if not tags:
        return Tombstones()
    path = key_path(settings, tenant)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise KeyUnusable(
            f"Falta a chave dos apagamentos de {tenant.slug} ({path}): traga-a da cópia; sem ela "
            "não se sabe quem foi apagado e nada pode ser gravado."
        ) from None
    except ValueError:
        key = b""
    if tags_of(key, [(KEY_MARK, tenant.slug)])[0] not in tags:
        raise KeyUnusable(
            f"A chave dos apagamentos de {tenant.slug} ({path}) não é aquela com que eles foram "
            "feitos: traga a antiga da cópia; nada pode ser gravado sem ela."
        )
    return Tombstones(key, frozenset(tags), frozenset(tags.values()))


def make_key(settings: Settings, tenant: Tenant) -> bytes:
    """The tenant's key, made once: whoever comes second gets the key of the first."""
    return keep_key(settings, tenant, secrets.token_hex(KEY_BYTES))


def keep_key(settings: Settings, tenant: Tenant, written: str) -> bytes:
    """Keep a key, written in hexadecimal, unless the tenant has one; returns the one it has."""
    path = key_path(settings, tenant)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(draft, "x", encoding="ascii", opener=_private) as file:
        file.write(written)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return bytes.fromhex(path.read_text(encoding="ascii"))


def bury(
    settings: Settings, tenant: Tenant, ops: OpsStore, values: Iterable[tuple[str, str]]
) -> Tombstones:
    """Write the tombstones of a person, each once, and return all of the tenant.

    Raises:
        KeyUnusable: see `tombstones_of`.
    """
    before = tombstones_of(settings, tenant, ops)
    key = before.key or make_key(settings, tenant)
    pairs = [(KEY_MARK, tenant.slug), *values]
    kinds = (kind for kind, _ in pairs)
    ops.add_tombstones(dict(zip(tags_of(key, pairs), kinds, strict=True)))
    return tombstones_of(settings, tenant, ops)


def _none_of(height: int) -> pl.Series:
    return pl.Series([False], dtype=pl.Boolean).new_from_index(0, height)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
