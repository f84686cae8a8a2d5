"""What identity tests share: records, one identity step, and the partition by other means.

The engine is compared with a union-find in plain Python, which says the rule and nothing else, and
with scipy, which takes the same reduced graph to its components by code that is not ours.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import strategies as st
from lake import Lake, frame_of
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from crm_assets.checks.contract import failures_by_sql
from crm_assets.checks.silver import (
    ContactRecords,
    CustomerIds,
    CustomerMerges,
    CustomerXref,
    IdentityFindings,
    KeyStatus,
)
from crm_assets.person_rules import Identity
from crm_assets.silver.identity import identify, resolve
from crm_assets.silver.records import replace_contact_records
from crm_assets.silver.xref import _each_record_once

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ("email_key", "phone_key", "source_key")
UNGUARDED = Identity(
    function_mailboxes=False, degree_cap=False, profile_limits=False, conflicts=False
)
"""Same e-mail or same phone, transitively."""
CONTRACTS = {
    "silver.customer_ids": CustomerIds,
    "silver.customer_xref": CustomerXref,
    "silver.customer_merges": CustomerMerges,
    "silver.key_status": KeyStatus,
    "silver.identity_findings": IdentityFindings,
}


def record(record_id, email=None, phone=None, source_key=None, at=0, source="hotmart", **more):
    """A contact record; `cpf` is a valid one, `buyer` a Hotmart id that is also its source key."""
    if buyer := more.pop("buyer", None):
        source_key, more["hotmart_ucode"] = buyer, buyer
    if cpf := more.pop("cpf", None):
        more |= {"document": cpf, "document_kind": "cpf", "document_valid": True}
    return {
        "record_id": record_id,
        "source": source,
        "source_id": source_key or record_id,
        "source_key": source_key,
        "observed_at": START + timedelta(seconds=at),
        "email_key": email,
        "phone_key": phone,
        **more,
    }


def run(lake: Lake, rows, day=0, *, guards=UNGUARDED, full=False):
    """One records step and one identity step; returns customer by record."""
    replace_contact_records(lake.tx, frame_of(ContactRecords, rows))
    identify(lake.tx, guards, START + timedelta(days=day), full=full)
    check_invariants(lake)
    return dict(
        lake.tx.read(
            "SELECT record_id, customer_id FROM silver.customer_xref WHERE valid_to IS NULL"
        ).rows()
    )


def check_invariants(lake: Lake):
    dangling = lake.value(
        """
        SELECT count(*) FROM silver.customer_ids AS ids
        LEFT JOIN silver.customer_ids AS heirs ON heirs.customer_id = ids.survivor_id
        WHERE ids.survivor_id IS NOT NULL
          AND heirs.survivor_id IS DISTINCT FROM heirs.customer_id
        """
    )
    assert dangling == 0, "a redirect does not end at a live id in one hop"
    live = lake.column(
        "SELECT customer_id FROM silver.customer_ids WHERE survivor_id = customer_id"
    )
    held = lake.column(
        "SELECT DISTINCT customer_id FROM silver.customer_xref WHERE valid_to IS NULL"
    )
    assert sorted(live) == sorted(held)
    assert _each_record_once(lake.tx).passed
    for table, contract in CONTRACTS.items():
        assert failures_by_sql(lake.tx, table, contract) == {}


def partition(customers):
    """Sets of records that are one person, from the customer of each record."""
    parts = defaultdict(set)
    for name, customer in customers.items():
        parts[customer].add(name)
    return {frozenset(part) for part in parts.values()}


def oracle(rows):
    """The partition by union-find in plain Python: sets of record ids, nobodies left out."""
    parent = {row["record_id"]: row["record_id"] for row in rows}

    def find(x):
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    holder = {}
    for row in rows:
        for kind in KEYS:
            if row[kind] is not None:
                key = (row["source"] if kind == "source_key" else kind, kind, row[kind])
                parent[find(row["record_id"])] = find(holder.setdefault(key, row["record_id"]))
    parts = defaultdict(list)
    for row in rows:
        parts[find(row["record_id"])].append(row)
    return {
        frozenset(row["record_id"] for row in part)
        for part in parts.values()
        if any(row["email_key"] or row["phone_key"] for row in part)
    }


def by_scipy(frame):
    """The same partition as `oracle`: keys as stars in polars, components by scipy.

    Args:
        frame: `record_id`, `source` and the three keys.
    """
    numbered = frame.with_row_index("rid").with_columns(
        source_key=pl.col("source") + ":" + pl.col("source_key")
    )
    rooted = numbered.with_columns(
        pl.when(pl.col(key).is_not_null()).then(pl.col("rid").min().over(key)).alias(f"{key}_root")
        for key in KEYS
    ).with_columns(
        root=pl.coalesce(pl.min_horizontal([f"{key}_root" for key in KEYS]), "rid"),
        is_keyed=pl.col("email_key").is_not_null() | pl.col("phone_key").is_not_null(),
    )
    ends = pl.concat(
        rooted.select(a="root", b=f"{key}_root").filter(pl.col("a") != pl.col("b")) for key in KEYS
    ).unique()
    size = (len(frame), len(frame))
    graph = coo_array((np.ones(len(ends)), (ends["a"].to_numpy(), ends["b"].to_numpy())), size)
    _, labels = connected_components(graph, directed=False)
    parts = (
        rooted.with_columns(label=pl.Series(labels).gather(rooted["root"]))
        .group_by("label")
        .agg("record_id", pl.col("is_keyed").any())
        .filter("is_keyed")
    )
    return {frozenset(part) for part in parts["record_id"].to_list()}


def components_of(frame, guards=UNGUARDED):
    """Component by record, of a frame that names at least `record_id`, `email_key`, `phone_key`."""
    lake = Lake()
    put_frame(lake, frame)
    resolve(lake.tx, guards)
    return dict(
        lake.tx.read("SELECT record_id, component FROM components JOIN nodes USING (rid)").rows()
    )


def put_frame(lake, frame):
    """Write `silver.contact_records` from a frame; the columns it lacks take simple values."""
    missing = {
        "source": pl.lit("crm"),
        "source_id": pl.col("record_id"),
        "source_key": pl.lit(None, pl.String),
        "observed_at": pl.lit(START) + pl.duration(seconds=pl.int_range(pl.len()) % 97),
    }
    frame = frame.with_columns(
        value.alias(name) for name, value in missing.items() if name not in frame.columns
    )
    columns = frame_of(ContactRecords, [])
    lake.tx.replace_table("silver.contact_records", pl.concat([columns, frame], how="diagonal"))


def chain(size):
    """Each record shares its e-mail with the one before, its phone with the one after."""
    order = list(range(size))
    random.Random(7).shuffle(order)
    return pl.DataFrame(
        {
            "record_id": [f"r{i}" for i in order],
            "email_key": [f"e{i // 2}" for i in order],
            "phone_key": [f"p{(i + 1) // 2}" for i in order],
        }
    )


def ring(size):
    """A chain whose ends meet."""
    return pl.DataFrame(
        {
            "record_id": [f"r{i}" for i in range(size)],
            "email_key": [f"e{i // 2}" for i in range(size)],
            "phone_key": [f"p{((i + 1) // 2) % (size // 2)}" for i in range(size)],
        }
    )


def star(size, name="s"):
    """Records with one phone and an e-mail each."""
    return pl.DataFrame(
        {
            "record_id": [f"{name}{i}" for i in range(size)],
            "email_key": [f"{name}{i}" for i in range(size)],
            "phone_key": [f"p-{name}"] * size,
        }
    )


def random_graph(size, seed):
    """Records with keys drawn at random: about as many keys as records, a quarter without each."""
    draw = np.random.default_rng(seed)

    def keys(prefix):
        numbers = pl.Series(draw.integers(0, size, size)).cast(pl.String)
        absent = pl.Series(draw.random(size) < 0.25)
        return pl.select(pl.when(absent).then(None).otherwise(prefix + numbers)).to_series()

    return pl.DataFrame(
        {
            "record_id": [f"r{i}" for i in range(size)],
            "source": draw.choice(["hotmart", "manychat"], size),
            "email_key": keys("e"),
            "phone_key": keys("p"),
            "source_key": keys("u"),
        }
    )


def keys_of(prefix, size):
    """One of so many keys, or none."""
    return st.one_of(st.none(), st.integers(0, size).map(lambda n: f"{prefix}{n}"))


@st.composite
def record_sets(draw, most=24):
    """Records whose keys meet often."""
    size = draw(st.integers(0, most))
    return [
        record(
            f"r{i}",
            draw(keys_of("e", 8)),
            draw(keys_of("+551190000000", 8)),
            draw(keys_of("u", 6)),
            at=draw(st.integers(0, 5)),
            source=draw(st.sampled_from(["hotmart", "manychat"])),
        )
        for i in range(size)
    ]
