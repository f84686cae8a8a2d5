"""The run guard: a run in which too many customers become one is stopped before its commit.

A bad file or a new placeholder can join thousands of people at once. Nothing of such a run is
published until somebody has looked at what would merge and accepts it (mdm.md 4.4, last row).
"""

from __future__ import annotations

from crm_assets.checks.contract import Verdict
from crm_assets.person_rules import Identity
from crm_assets.silver.stewardship import ACCEPTED
from crm_assets.words import counted
from crm_resources.warehouse import Transaction

NAME = "unioes_dentro_do_limite"
LIMIT = "identity.max_merged_share"
"""The setting that a stopped run names."""
DESCRIPTION = (
    "Numa só rodada não se une mais que uma parte dos clientes que já existiam "
    f"({LIMIT}); alguém olha antes."
)

_SHOWN = 40
"""Merges that the metadata lists, which stays under 4 KB."""


def run_guard(
    before: int, merged: int, largest: int, limits: Identity, *, accepted: bool = False
) -> Verdict:
    """Whether a run may be published.

    Args:
        before: customers there were before it.
        merged: those of them that it joins to another.
        largest: records of the largest customer that it resolved.
        limits: `max_merged_share` of `before` may merge, from `min_customers` on.
        accepted: somebody looked and wants it.
    """
    share = merged / before if before else 0.0
    too_many = before >= limits.min_customers and share > limits.max_merged_share
    metadata: dict[str, object] = {
        "clientes antes": before,
        "unidos nesta rodada": merged,
        "parte unida": round(share, 4),
        "limite": limits.max_merged_share,
        "maior cliente resolvido (registros)": largest,
        "aceito por decisão": accepted,
    }
    if too_many and not accepted:
        metadata["falhas"] = (
            f"{merged} de {counted(before, 'cliente')} se uniriam a outros nesta rodada "
            f"({_percent(share)}, o limite {LIMIT} é "
            f"{_percent(limits.max_merged_share)}); olhe quais nesta conferência e, se for isso "
            "mesmo, rode `crm customers accept-merges`"
        )
    return Verdict(NAME, accepted or not too_many, metadata)


def guard_merges(tx: Transaction, limits: Identity) -> Verdict:
    """The run guard over what the identity step has just written in this transaction.

    Args:
        tx: transaction that still has the step's `known_ids`, `next_ids` and `components`.
        limits: of the tenant.
    """
    counted = tx.read(_COUNTS).row(0, named=True)
    verdict = run_guard(**counted, limits=limits, accepted=_is_accepted(tx))
    if not counted["merged"]:
        return verdict
    pairs = tx.read(f"{_MERGED} ORDER BY customer_id LIMIT {_SHOWN}").rows()
    listed = {"uniões (as primeiras)": "; ".join(f"{old} → {new}" for old, new in pairs)}
    return Verdict(verdict.name, verdict.passed, {**verdict.metadata, **listed})


def _is_accepted(tx: Transaction) -> bool:
    """Whether merges were accepted since the last round that read the whole log.

    An acceptance lets one round pass: the end of a round moves the position of the log past it.
    """
    return bool(tx.scalar(_HAS_POSITION) and tx.scalar(_ACCEPTANCES, [ACCEPTED]))


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %".replace(".", ",")


_MERGED = """
    SELECT customer_id, next_ids.survivor_id
    FROM known_ids JOIN next_ids USING (customer_id)
    WHERE known_ids.survivor_id = customer_id AND next_ids.survivor_id <> customer_id
"""
_COUNTS = f"""
    SELECT (SELECT count(*) FROM silver.customer_ids WHERE survivor_id = customer_id)
               - (SELECT count(*) FROM next_ids WHERE survivor_id = customer_id)
               + (SELECT count(*) FROM known_ids WHERE survivor_id = customer_id) AS before,
           (SELECT count(*) FROM ({_MERGED})) AS merged,
           (SELECT coalesce(max(records), 0)
            FROM (SELECT count(*) AS records FROM components GROUP BY component)) AS largest
"""
_HAS_POSITION = """
    SELECT count(*) FROM duckdb_tables()
    WHERE schema_name = 'silver' AND table_name = 'action_log_position'
"""
_ACCEPTANCES = """
    SELECT count(*) FROM bronze.crm_actions
    WHERE kind = ?
      AND id > (SELECT coalesce(max(last_action_id), 0) FROM silver.action_log_position)
"""
