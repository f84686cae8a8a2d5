"""The operations store: what must be durable at once and readable by sensors and pages.

Nothing here imports Dagster but `resource`, so that the web app starts fast.
"""

from crm_resources.ops.store import (
    BadRecordError,
    NewerStoreError,
    OpsStore,
    StoreUnavailableError,
)
from crm_resources.ops.tables import Action, Delivery, ExportRecord, Incident, Load, LoadStatus

__all__ = [
    "Action",
    "BadRecordError",
    "Delivery",
    "ExportRecord",
    "Incident",
    "Load",
    "LoadStatus",
    "NewerStoreError",
    "OpsStore",
    "StoreUnavailableError",
]
