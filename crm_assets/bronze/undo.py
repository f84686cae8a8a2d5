"""Taking an import out again: its rows, its rejects, its copy and its partition.

The loads remember it as undone, so that the same content does not come back by itself.
"""

from __future__ import annotations

import dagster as dg

from crm_assets.bronze import hotmart_csv, manychat
from crm_assets.bronze.receiving import forget_raw
from crm_assets.resources import warehouse_of
from crm_assets.steps import Site
from crm_resources.ops import Load, OpsStore

TABLES = {kind.source: kind.table.name for kind in (hotmart_csv.KIND, manychat.KIND)}


def take_out(site: Site, ops: OpsStore, instance: dg.DagsterInstance, load: Load) -> None:
    """Undo one import; what was done of it already is not done twice.

    The rows go first: whatever cuts this short, the import still counts as landed, so that it is
    undone again or read again, but never half there.
    """
    if load.status != "undone":
        slice_of = [load.source, load.slice]
        with warehouse_of(site.settings, site.tenant).write(
            f"desfazer {load.source} {load.slice}"
        ) as tx:
            tx.execute(f"DELETE FROM {TABLES[load.source]} WHERE slice = ?", [load.slice])
            for ledger in ("bronze.rejects", "bronze.loads"):
                tx.execute(f"DELETE FROM {ledger} WHERE source = ? AND slice = ?", slice_of)
    forget_raw(site.settings, site.tenant, ops, load)
    partitions = site.partitions.files_of[load.source].name or ""
    if load.slice in instance.get_dynamic_partitions(partitions):
        instance.delete_dynamic_partition(partitions, load.slice)
