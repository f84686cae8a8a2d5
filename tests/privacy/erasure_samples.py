"""Somebody to erase, and a search for what is left of her that knows nothing of ours."""

import gzip
import io
import zipfile

import duckdb

from crm_assets.gold.people import customers_of, reading
from crm_assets.privacy import eraser
from crm_assets.privacy.person import members
from crm_assets.privacy.rights import check_request, open_request

ANA = ("ana.souza@example.com", "961234501", "ana beatriz souza", "11122233124", "1604823001")
"""Somebody of the sample, in what any writing of her contains, in lower case."""

BASE_TABLES = """
    SELECT schema_name || '.' || table_name FROM duckdb_tables()
    WHERE NOT temporary AND database_name = current_database()
"""


def whole(world, who):
    """A customer and the references of all its records."""
    with reading(world.settings, world.tenant) as tx:
        (customer_id,) = customers_of(tx, who)
        return customer_id, [record.ref for record in members(tx, customer_id)]


def erased(world, who=ANA[0], **more):
    return eraser.erase(world.site, *whole(world, who), actor="dpo", reason="pedido 1", **more)


def asked(world, *, checked, **who):
    """The number of a request for erasure, with or without the identity check."""
    at = world.settings.now()
    request = open_request(
        world.ops, world.tenant, type="eliminacao", channel="e-mail",
        received_on=world.site.today(), actor="dpo", at=at, **who,
    )  # fmt: skip
    if checked:
        check_request(world.ops, world.tenant, request.number, how="e-mail", actor="dpo", at=at)
    return request.number


def unpacked(path):
    """Everything that a file says, in lower case, packed or not."""
    if path.suffix == ".duckdb":
        with duckdb.connect(path, read_only=True) as con:
            rows = [
                con.sql(f"FROM {name}").fetchall() for (name,) in con.sql(BASE_TABLES).fetchall()
            ]
        yield repr(rows).casefold().encode()
    content = path.read_bytes()
    yield content.lower()
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name).lower() for name in archive.namelist())
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content).lower()


def canaries(home, words=ANA):
    """Files below a folder that say one of the words, which are ASCII, in one byte a letter or two.

    The last zero is no part of a word in UTF-16, so that both byte orders are found.
    """
    wanted = {word: (word.encode("ascii"), word.encode("utf-16-le")[:-1]) for word in words}
    return sorted(
        f"{path.relative_to(home)}: {word}"
        for path in home.rglob("*")
        if path.is_file()
        for said in [list(unpacked(path))]
        for word, spellings in wanted.items()
        if any(spelling in text for spelling in spellings for text in said)
    )
