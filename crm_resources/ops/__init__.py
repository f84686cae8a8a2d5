"""The operations store: what must be durable at once and readable by sensors and pages.

Nothing here imports Dagster but `resource`, so that the web app starts fast.
"""

from crm_resources.ops.inbox import ENDED, Outcome
from crm_resources.ops.store import (
    BadRecordError,
    NewerStoreError,
    OpsStore,
    StoreUnavailableError,
)
from crm_resources.ops.tables import (
    Action,
    Delivery,
    EventState,
    ExportRecord,
    InboxEvent,
    Incident,
    Load,
    LoadStatus,
    Refusal,
)

__all__ = [
    "ENDED",
    "Action",
    "BadRecordError",
    "Delivery",
    "EventState",
    "ExportRecord",
    "InboxEvent",
    "Incident",
    "Load",
    "LoadStatus",
    "NewerStoreError",
    "OpsStore",
    "Outcome",
    "Refusal",
    "StoreUnavailableError",
]
