"""Somebody to erase, and a search for what is left of her that knows nothing of ours."""

import gzip
import io
import zipfile

import duckdb

from crm_assets.gold.people import customers_of, reading
from crm_assets.privacy import eraser
from crm_assets.privacy.person import members

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


def unpacked(path):
    """Everything that a file says, in lower case, packed or not."""
    if path.suffix == ".duckdb":
        with duckdb.connect(path, read_only=True) as con:
            rows = [
                con.sql(f"FROM {name}").fetchall() for (name,) in con.sql(BASE_TABLES).fetchall()
            ]
        yield repr(rows).casefold()
    content = path.read_bytes()
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content += b"".join(archive.read(name) for name in archive.namelist())
    for text in (content, gzip.decompress(content) if content[:2] == b"\x1f\x8b" else b""):
        for encoding in ("utf-8", "cp1252", "utf-16"):
            yield text.decode(encoding, "ignore").casefold()


def canaries(home, words=ANA):
    """Files below a folder that say one of the words."""
    return sorted(
        f"{path.relative_to(home)}: {word}"
        for path in home.rglob("*")
        if path.is_file()
        for word in words
        if any(word in text for text in unpacked(path))
    )
