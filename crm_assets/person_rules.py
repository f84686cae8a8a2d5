"""What a tenant may decide about its people: identity guards, survivorship, terms of keeping."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """A table of `tenants.toml`: no unknown key, no change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(Frozen):
    """Guards against joining two people; all off is "same e-mail or same phone" (rules 2.3 to 2.5).

    Attributes:
        function_mailboxes: addresses like contato@ seen with several surnames join nobody.
        max_surnames: how many surnames such an address may be seen with.
        degree_cap: a phone of too many e-mails, or an e-mail of too many phones, joins nobody.
        max_emails_per_phone: the cap on a phone.
        max_phones_per_email: the cap on an e-mail.
        household: a phone of several first names joins only records of one first name.
        min_household_emails: e-mails on a phone from which it may be a household's.
        profile_limits: who would have too many e-mails or phones is joined without phones.
        max_emails: e-mails of one customer.
        max_phones: phones of one customer.
        conflicts: different CPFs, or buyer ids with different names, are not joined by a phone.
        max_merged_share: share of the customers that may merge in one run before it stops.
        min_customers: below so many customers a run is not stopped.
    """

    function_mailboxes: bool = True
    max_surnames: Annotated[int, Field(ge=1)] = 2
    degree_cap: bool = True
    max_emails_per_phone: Annotated[int, Field(ge=1)] = 5
    max_phones_per_email: Annotated[int, Field(ge=1)] = 5
    household: bool = False
    min_household_emails: Annotated[int, Field(ge=1)] = 3
    profile_limits: bool = True
    max_emails: Annotated[int, Field(ge=1)] = 5
    max_phones: Annotated[int, Field(ge=1)] = 5
    conflicts: bool = True
    max_merged_share: Annotated[float, Field(gt=0, le=1)] = 0.05
    min_customers: Annotated[int, Field(ge=1)] = 200


Source = Literal["hotmart", "woocommerce", "form", "manychat", "crm"]
Strategy = Literal["valid", "source", "newest", "oldest", "most_frequent"]

SOURCES: tuple[Source, ...] = get_args(Source)
"""Sources, the better one first (rules 2.6)."""


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("um nome aparece duas vezes")
    return names


SourceOrder = Annotated[tuple[Source, ...], AfterValidator(_each_once)]


class FieldRule(Frozen):
    """How one field of the golden record is chosen; written as a list, it is the strategies alone.

    Attributes:
        strategies: the first that tells two values apart decides; then the smallest record id.
        sources: the better source first, instead of the tenant's order; the rest follow in it.
    """

    strategies: Annotated[tuple[Strategy, ...], AfterValidator(_each_once)] = (
        "valid",
        "source",
        "newest",
    )
    sources: SourceOrder = ()

    @model_validator(mode="before")
    @classmethod
    def _list_of_strategies(cls, written: object) -> object:
        return {"strategies": written} if isinstance(written, list | tuple) else written

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        if {"newest", "oldest"} <= set(self.strategies):
            raise ValueError("newest e oldest não cabem na mesma lista: o segundo nunca decidiria")
        return self


class Survivorship(Frozen):
    """Which value of each field stands in the golden record (rules 2.6); a steward's pin beats all.

    Attributes:
        sources: the better source first; those that are not named follow in the usual order.
    """

    sources: SourceOrder = ()
    email: FieldRule = FieldRule()
    phone: FieldRule = FieldRule()
    name: FieldRule = FieldRule()
    document: FieldRule = FieldRule()
    instagram: FieldRule = FieldRule()
    hotmart_ucode: FieldRule = FieldRule()
    manychat_id: FieldRule = FieldRule()
    place: FieldRule = FieldRule()

    def source_order(self, field: FieldRule | None = None) -> tuple[Source, ...]:
        """All sources, the better one first: for a field, or in general."""
        own = field.sources if field else ()
        return tuple(dict.fromkeys((*own, *self.sources, *SOURCES)))


class Privacy(Frozen):
    """How long things are kept, and how fast a person is answered (rules 7.4 and 7.6).

    Attributes:
        due_days: to answer a request; 30 for a small agent (Res. CD/ANPD 2/2022).
        raw_days: copies of imported contents, counted from their reception.
        archive_days: imported files that were put away.
        reject_days: what could not be read.
        lead_months: a lead without purchase, after the last interaction; 0 keeps leads for ever.
        output_days: files made for people.
        log_days: what runs printed.
        snapshots: serving snapshots, the current one included.
        backup_days: backups, and copies of the warehouse before an upgrade or a restore.
        event_months: events in the inbox, and their bodies in bronze; older ones that were
            processed go to the archive, and the bodies are blanked.
    """

    due_days: Annotated[int, Field(ge=1, le=30)] = 15
    raw_days: Annotated[int, Field(ge=1, le=3650)] = 90
    archive_days: Annotated[int, Field(ge=1, le=3650)] = 90
    reject_days: Annotated[int, Field(ge=1, le=3650)] = 90
    lead_months: Annotated[int, Field(ge=0, le=120)] = 24
    output_days: Annotated[int, Field(ge=1, le=3650)] = 30
    log_days: Annotated[int, Field(ge=1, le=3650)] = 30
    snapshots: Annotated[int, Field(ge=1, le=30)] = 2
    backup_days: Annotated[int, Field(ge=1, le=3650)] = 35
    event_months: Annotated[int, Field(ge=1, le=120)] = 12


class Alerts(Frozen):
    """When a figure or the inbox is worth an alert (rules 6.6).

    Attributes:
        max_monthly_churn: share of the subscriptions lost in a month.
        max_mrr_fall: share of the monthly recurring revenue lost in `mrr_days`.
        mrr_days: in so many days.
        dead_events: so many events in a row that were given up.
        failed_events: so many in a row that failed, given up or not.
        refused_posts: so many posts in a row without the right token.
    """

    max_monthly_churn: Annotated[float, Field(gt=0, le=1)] = 0.10
    max_mrr_fall: Annotated[float, Field(gt=0, le=1)] = 0.10
    mrr_days: Annotated[int, Field(ge=1, le=365)] = 7
    dead_events: Annotated[int, Field(ge=1, le=1000)] = 5
    failed_events: Annotated[int, Field(ge=1, le=1000)] = 10
    refused_posts: Annotated[int, Field(ge=1, le=100000)] = 20
