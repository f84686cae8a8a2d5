"""Hotmart: the API client. The local sandbox is imported from its own modules."""

from crm_resources.hotmart.client import HotmartClient, HotmartCredentials
from crm_resources.hotmart.limiter import Limiter
from crm_resources.hotmart.statuses import (
    PRICE_DETAILS,
    PRICE_DETAILS_STATUSES,
    SALES_COMMISSIONS,
    SALES_HISTORY,
    SALES_USERS,
    STATUSES,
    SUBSCRIPTION_STATUSES,
    SUBSCRIPTION_TRANSACTION_STATUSES,
    SUBSCRIPTION_TRANSACTIONS,
    SUBSCRIPTIONS,
    CredentialsError,
    Endpoint,
    ForbiddenError,
    HotmartError,
    IncompleteAnswer,
    RefusedError,
    UnansweredError,
    UnavailableError,
)
from crm_resources.hotmart.windows import Window, WindowRead, days_window, month_window

__all__ = [
    "PRICE_DETAILS",
    "PRICE_DETAILS_STATUSES",
    "SALES_COMMISSIONS",
    "SALES_HISTORY",
    "SALES_USERS",
    "STATUSES",
    "SUBSCRIPTIONS",
    "SUBSCRIPTION_STATUSES",
    "SUBSCRIPTION_TRANSACTIONS",
    "SUBSCRIPTION_TRANSACTION_STATUSES",
    "CredentialsError",
    "Endpoint",
    "ForbiddenError",
    "HotmartClient",
    "HotmartCredentials",
    "HotmartError",
    "IncompleteAnswer",
    "Limiter",
    "RefusedError",
    "UnansweredError",
    "UnavailableError",
    "Window",
    "WindowRead",
    "days_window",
    "month_window",
]
