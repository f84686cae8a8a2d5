"""The partitions of the house: date slices, days and files. Time is the only dimension.

A tenant's objects are made once and shared by every asset that uses them. Their ends follow the
clock of `settings.py`, so that a replay with `CRM_NOW` sees the partitions of that day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from crm_assets.settings import Settings
from crm_assets.slices import month_keys, month_of, zone
from crm_assets.tenants import HISTORY_START, Tenant

FILE_PARTITIONS = {"manychat": "manychat_files", "hotmart_csv": "hotmart_files"}
"""Name of the dynamic partitions of a source of files, after its tenant's."""


@dataclass(frozen=True)
class Partitions:
    """The partitions definitions of one tenant.

    Attributes:
        months: calendar months of the order date, keyed by first day, including the current one.
        days: calendar days, including today.
        files_of: by source, one per content of its files.
    """

    months: dg.TimeWindowPartitionsDefinition
    days: dg.TimeWindowPartitionsDefinition
    files_of: Mapping[str, dg.DynamicPartitionsDefinition]

    @classmethod
    def of(cls, tenant: Tenant, settings: Settings) -> Partitions:
        """The partitions of `tenant` as seen at the clock of `settings`."""
        today = settings.today(tenant.timezone)
        first_month = month_of(min(tenant.hotmart.start_date or HISTORY_START, today))
        real_today = datetime.now(zone(tenant)).date()
        next_month = month_of(month_of(today) + timedelta(days=31))
        return cls(
            months=dg.MonthlyPartitionsDefinition(
                first_month.isoformat(),
                timezone=tenant.timezone,
                **_ends(settings, next_month, len(month_keys(real_today, today))),
            ),
            days=dg.DailyPartitionsDefinition(
                first_month.isoformat(),
                timezone=tenant.timezone,
                **_ends(settings, today + timedelta(days=1), (today - real_today).days + 1),
            ),
            files_of={
                source: dg.DynamicPartitionsDefinition(name=f"{tenant.slug}/{name}")
                for source, name in FILE_PARTITIONS.items()
            },
        )


def _ends(settings: Settings, end: date, periods_ahead: int) -> dict[str, Any]:
    """Include the current period; with a fixed clock, end exactly there."""
    if settings.fixed_now is None:
        return {"end_offset": 1}
    return {"end_date": end.isoformat(), "end_offset": max(periods_ahead, 0)}
