"""Keys of date slices and files, as plain dates and text. No Dagster here."""

from __future__ import annotations

import re
from datetime import date
from zoneinfo import ZoneInfo

from crm_assets.tenants import Tenant

FILE_KEY = re.compile(r"\d{4}-\d{2}-\d{2}_[0-9a-f]{12}")
"""Key of a file partition: the day it was first seen and 12 hex of its content's hash."""


def month_of(day: date) -> date:
    """First day of the month of `day`."""
    return day.replace(day=1)


def month_keys(first: date, last: date) -> list[str]:
    """Keys of the months from that of `first` to that of `last`, in order."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    months = (first.year * 12 + first.month - 1 + i for i in range(max(count, 0)))
    return [date(m // 12, m % 12 + 1, 1).isoformat() for m in months]


def file_key(day: date, content_sha256: str) -> str:
    """Partition key of a file's content; never holds its name (rules 7.5)."""
    return f"{day.isoformat()}_{content_sha256[:12]}"


def zone(tenant: Tenant) -> ZoneInfo:
    """The tenant's time zone."""
    return ZoneInfo(tenant.timezone)
