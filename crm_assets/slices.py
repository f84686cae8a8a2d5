"""Keys of date slices and files, and the instants between which days lie. No Dagster here."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from crm_assets.tenants import Tenant


def month_of(day: date) -> date:
    """First day of the month of `day`."""
    return day.replace(day=1)


def month_keys(first: date, last: date) -> list[str]:
    """Keys of the months from that of `first` to that of `last`, in order."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    months = (first.year * 12 + first.month - 1 + i for i in range(max(count, 0)))
    return [date(m // 12, m % 12 + 1, 1).isoformat() for m in months]


def start_of_day(tenant: Tenant, day: date) -> datetime:
    """The first instant of a day on the tenant's clock, in UTC."""
    return datetime.combine(day, time(), zone(tenant)).astimezone(UTC)


def end_of_day(tenant: Tenant, day: date) -> datetime:
    """The last millisecond of a day on the tenant's clock, in UTC."""
    return start_of_day(tenant, day + timedelta(days=1)) - timedelta(milliseconds=1)


def file_key(day: date, content_sha256: str) -> str:
    """Partition key of a file's content: the day it was first seen and 12 hex of its hash.

    It never holds the file's name (rules 7.5).
    """
    return f"{day.isoformat()}_{content_sha256[:12]}"


def zone(tenant: Tenant) -> ZoneInfo:
    """The tenant's time zone."""
    return ZoneInfo(tenant.timezone)
