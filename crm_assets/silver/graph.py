"""Connected components in SQL: a reduced graph, contracted with pointer jumping (mdm.md 4.1).

Vertices are the roots of keys. Every round hooks each vertex to its least neighbour, jumps to the
top of the trees this makes, and keeps the edges between different tops, until none is left. What
remains of 10 M records is about a million edges, and all of it spills to disk.
"""

from __future__ import annotations

from crm_resources.warehouse import Transaction

MAX_ROUNDS = 64
"""Each round at least halves what is left of 2^64 records: reaching it is a fault, not an end."""


class IdentityError(RuntimeError):
    """Components did not settle; nothing may be published."""


def contract(tx: Transaction) -> None:
    """Reduce temp table `edges(a, b)` to `labels(v, label)`, one label for all that is connected.

    Raises:
        IdentityError: the graph did not settle within `MAX_ROUNDS`.
    """
    tx.execute(_VERTICES)
    for _ in range(MAX_ROUNDS):
        if not tx.scalar("SELECT count(*) FROM edges"):
            return
        _contract_once(tx)
    raise IdentityError(f"a identidade não assentou em {MAX_ROUNDS} rodadas")


def _contract_once(tx: Transaction) -> None:
    tx.execute(_PARENTS)
    for _ in range(MAX_ROUNDS):
        tx.execute(_JUMP)
        tx.execute("CREATE OR REPLACE TEMP TABLE parents AS SELECT v, p FROM jumped")
        if not tx.scalar("SELECT bool_or(has_moved) FROM jumped"):
            break
    else:
        raise IdentityError(f"os ponteiros não assentaram em {MAX_ROUNDS} saltos")
    tx.execute(_RELABEL)
    tx.execute(_LIFT)
    tx.execute(_SHRINK)


_VERTICES = """
    CREATE OR REPLACE TEMP TABLE labels AS
    SELECT v, v AS label FROM (SELECT a AS v FROM edges UNION SELECT b FROM edges)
"""
_PARENTS = """
    CREATE OR REPLACE TEMP TABLE parents AS
    SELECT v, least(v, min(u)) AS p
    FROM (SELECT a AS v, b AS u FROM edges UNION ALL SELECT b, a FROM edges) GROUP BY v
"""
_JUMP = """
    CREATE OR REPLACE TEMP TABLE jumped AS
    SELECT parents.v, above.p, above.p <> parents.p AS has_moved
    FROM parents JOIN parents AS above ON above.v = parents.p
"""
_RELABEL = """
    CREATE OR REPLACE TEMP TABLE labels AS
    SELECT labels.v, coalesce(parents.p, labels.label) AS label
    FROM labels LEFT JOIN parents ON parents.v = labels.label
"""
# A statement of its own: in one with the inequality of `_SHRINK`, the optimiser joins the two
# parents on that inequality first, which is every vertex with every other.
_LIFT = """
    CREATE OR REPLACE TEMP TABLE lifted AS
    SELECT x.p AS a, y.p AS b
    FROM edges JOIN parents AS x ON x.v = edges.a JOIN parents AS y ON y.v = edges.b
"""
_SHRINK = """
    CREATE OR REPLACE TEMP TABLE edges AS
    SELECT DISTINCT least(a, b) AS a, greatest(a, b) AS b FROM lifted WHERE a <> b
"""
