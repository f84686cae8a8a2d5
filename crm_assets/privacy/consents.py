"""The ledger of consent: what people allowed and refused, by key, channel and purpose (rules 3.3).

What belongs here: the words that may enter the ledger, as actions, and the SQL that derives from
them what is in force. The step that writes the tables is in `silver/contacts.py`. No Dagster here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import polars as pl

from crm_assets.contact.channels import CHANNELS
from crm_assets.contact.email import normalize_emails
from crm_assets.contact.phone import normalize_phones
from crm_resources.ops import Action

if TYPE_CHECKING:
    from crm_resources.warehouse import Transaction

OPT_OUT = "opt_out"
CONSENT = "consent"

CONTACT_PURPOSE = "remarketing"
"""What batches, audiences and their files are made for."""

PURPOSES = (CONTACT_PURPOSE, "recuperacao", "novidades")
"""What a person can be contacted for; refusing none of them by name refuses all."""


class UnknownKey(ValueError):
    """A text is neither an e-mail nor a phone that can be recognised; it is never quoted."""


@dataclass(frozen=True)
class Keys:
    """E-mails and phones of a person, normalised as the sources' are.

    Attributes:
        emails: e-mail keys.
        phones: numbers in E.164, Brazilian mobiles with the ninth digit.
    """

    emails: tuple[str, ...] = field(default=(), repr=False)
    phones: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.emails) + len(self.phones)

    def one_by_one(self) -> list[tuple[str | None, str | None]]:
        """Each key alone, as the e-mail and the phone of an action."""
        emails = [(email, None) for email in self.emails]
        return [*emails, *((None, phone) for phone in self.phones)]


def keys_of(text: str) -> Keys:
    """The e-mail or phone that somebody wrote, in any of its writings.

    A number without country is read as a Brazilian one. One that may not identify a person can
    still say no, so that any valid number will do.

    Raises:
        UnknownKey: it is neither.
    """
    cell = pl.Series([text])
    if "@" in text:
        key = normalize_emails(cell)["email_key"][0]
        found = Keys(emails=(key,)) if key else Keys()
    else:
        phone = normalize_phones(cell, brazilian=pl.Series([True])).row(0, named=True)
        number = phone["phone_key"] or phone["e164"]
        found = Keys(phones=(number,)) if number else Keys()
    if not found:
        raise UnknownKey(
            "Isto não é o código de um cliente, nem um e-mail ou telefone com DDD que se reconheça."
        )
    return found


def keys_of_customer(tx: Transaction, customer_id: str) -> Keys:
    """Every e-mail and phone of a customer's present records."""
    rows = tx.read(_KEYS, [customer_id]).rows()
    of = {kind: tuple(key for found, key in rows if found == kind) for kind in ("email", "phone")}
    return Keys(of["email"], of["phone"])


def opt_out_actions(
    keys: Keys,
    *,
    channels: Sequence[str],
    purpose: str | None,
    reason: str,
    customer_id: str | None,
    actor: str,
    at: datetime,
) -> list[Action]:
    """The words of somebody who does not want to be contacted, one per key and channel.

    Args:
        keys: whose.
        channels: those refused; none names all.
        purpose: what was refused; None is everything.
        reason: how the person said so.
        customer_id: the customer meant, when one was.
        actor: who writes it down.
        at: when.
    """
    said = _Word(OPT_OUT, customer_id, purpose, actor, at, reason=reason)
    return said.over(keys, channels or (None,))


def consent_actions(
    keys: Keys,
    *,
    channels: Sequence[str],
    purpose: str,
    wording: str,
    evidence: str,
    source: str,
    given_at: datetime,
    customer_id: str | None,
    actor: str,
    at: datetime,
) -> list[Action]:
    """The words of somebody who allows something definite, one per key and channel.

    Args:
        keys: whose.
        channels: those allowed, by name: a general permission is void (LGPD art. 8 § 4).
        purpose: what for.
        wording: the sentence that the person agreed to.
        evidence: where the proof is kept.
        source: how it came.
        given_at: when the person agreed; it lifts refusals that are older.
        customer_id: the customer meant, when one was.
        actor: who writes it down.
        at: when it is written down.
    """
    payload = {
        "wording": wording,
        "source": source,
        "evidence": evidence,
        "given_at": given_at.isoformat(),
    }
    said = _Word(CONSENT, customer_id, purpose, actor, at, payload=payload)
    return said.over(keys, channels)


@dataclass(frozen=True)
class _Word:
    """What somebody said, before it is told of each key and channel."""

    kind: str
    customer_id: str | None
    purpose: str | None
    actor: str
    at: datetime
    reason: str | None = None
    payload: Mapping[str, object] | None = None

    def over(self, keys: Keys, channels: Sequence[str | None]) -> list[Action]:
        """One action per key and channel; no channel is all of them."""
        return [
            Action(
                **vars(self),
                idempotency_key=_once(self.kind),
                email_key=email,
                phone_key=phone,
                channel=channel,
            )
            for email, phone in keys.one_by_one()
            for channel in channels
        ]


def _once(kind: str) -> str:
    """A key of its own: saying no twice is two facts, and a key never holds a person's address."""
    return f"{kind}:{uuid4().hex}"


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(repr(value) for value in values)}]"


_KEYS = """
    SELECT DISTINCT key_kind, key
    FROM silver.contact_records JOIN silver.customer_xref AS xref USING (record_id)
    CROSS JOIN LATERAL (
        VALUES ('email', email_key), ('phone', coalesce(phone_key, phone))
    ) AS k(key_kind, key)
    WHERE valid_to IS NULL AND customer_id = ? AND key IS NOT NULL ORDER BY ALL
"""
_WITH_NINTH = r"regexp_replace(key, '^\+(55[0-9]{2})([6-9][0-9]{7})$', '+\19\2')"
_ONE_FORM = f"CASE key_kind WHEN 'phone' THEN {_WITH_NINTH} ELSE key END"
_WITHOUT_NINTH = r"regexp_replace(key, '^\+(55[0-9]{2})9([6-9][0-9]{7})$', '+\1\2')"

LEDGER_DDL = """
    CREATE TABLE IF NOT EXISTS silver.consents (
        key_kind VARCHAR, key VARCHAR, channel VARCHAR, purpose VARCHAR, status VARCHAR,
        wording VARCHAR, source VARCHAR, evidence VARCHAR, occurred_at TIMESTAMPTZ, actor VARCHAR,
        action_id BIGINT
    )
"""

# ManyChat's false alone says only that no opt-in is known; true in one import and false in a later
# one is a revocation, which no import lifts (rules 3.3). Two contacts of one import may differ, as
# somebody's WhatsApp and Instagram do. A number that is no identity key can still say no. A
# revocation once seen stays, also when its file is taken out again. The instant of an import holds
# a line's number in its microseconds, which the ledger does not need.
LEDGER = f"""
    WITH said AS (
        SELECT key_kind, key, channel, purpose,
               CASE kind WHEN '{CONSENT}' THEN 'granted' ELSE 'revoked' END AS status,
               payload ->> 'wording' AS wording,
               coalesce(payload ->> 'source', 'pedido') AS source,
               coalesce(payload ->> 'evidence', reason) AS evidence,
               coalesce((payload ->> 'given_at')::TIMESTAMPTZ, occurred_at) AS occurred_at,
               actor, id AS action_id
        FROM bronze.crm_actions
        CROSS JOIN LATERAL (VALUES ('email', email_key), ('phone', phone_key)) AS k(key_kind, key)
        WHERE kind IN ('{CONSENT}', '{OPT_OUT}') AND key IS NOT NULL
    ), optins AS (
        SELECT key_kind, key, channel, bool_or(optin) AS optin, min(observed_at) AS observed_at,
               min(record_id) AS record_id
        FROM (
            FROM silver.contact_records WHERE source = 'manychat'
            AND coalesce(optin_whatsapp, optin_sms, optin_email) IS NOT NULL
        )
        CROSS JOIN LATERAL (
            VALUES ('email', email_key), ('phone', coalesce(phone_key, phone))
        ) AS k(key_kind, key)
        CROSS JOIN LATERAL (VALUES
            ('whatsapp', optin_whatsapp), ('sms', optin_sms), ('email', optin_email)
        ) AS o(channel, optin)
        WHERE key IS NOT NULL AND optin IS NOT NULL
        GROUP BY key_kind, key, channel, split_part(record_id, ':', 2)
    ), turned AS (
        SELECT key_kind, key, channel, CASE WHEN optin THEN 'granted' ELSE 'revoked' END AS status,
               record_id AS evidence, observed_at AS occurred_at
        FROM optins
        QUALIFY optin <> coalesce(lag(optin) OVER (
            PARTITION BY key_kind, key, channel ORDER BY observed_at
        ), false)
    ), remembered AS (
        SELECT key_kind, key, channel, status, evidence, occurred_at
        FROM silver.consents WHERE action_id IS NULL AND status = 'revoked'
        UNION ALL
        SELECT key_kind, {_ONE_FORM}, channel, 'revoked', NULL, since
        FROM silver.opt_outs WHERE origin = 'manychat'
    )
    SELECT * REPLACE ({_ONE_FORM} AS key) FROM said
    UNION ALL
    SELECT key_kind, key, channel, NULL, status, NULL, 'manychat', max(evidence),
           date_trunc('second', occurred_at) AS at_second, NULL, NULL
    FROM (FROM turned UNION ALL FROM remembered)
    GROUP BY key_kind, key, channel, status, at_second
"""

# A refusal that no later consent touches stands as it was said; one that is lifted in part is told
# by the channels and purposes that are left of it. Of one instant the later action counts, and what
# an import refuses counts more than any.
IN_FORCE = f"""
    WITH words AS (
        SELECT *, coalesce(action_id, {2**62}) AS position FROM silver.consents
    ), judged AS (
        SELECT no.key_kind, no.key, no.channel, no.purpose, no.occurred_at, no.action_id,
               list(yes.channel || ' ' || yes.purpose) FILTER (yes.key IS NOT NULL) AS lifted
        FROM words AS no
        LEFT JOIN words AS yes
            ON yes.status = 'granted' AND yes.action_id IS NOT NULL
            AND yes.key_kind = no.key_kind AND yes.key = no.key
            AND (yes.occurred_at, yes.position) > (no.occurred_at, no.position)
            AND yes.channel = coalesce(no.channel, yes.channel)
            AND yes.purpose = coalesce(no.purpose, yes.purpose)
        WHERE no.status = 'revoked'
        GROUP BY ALL
    ), left_over AS (
        SELECT * REPLACE (
            unnest(CASE WHEN channel IS NULL THEN {_list(CHANNELS)} ELSE [channel] END) AS channel
        ) FROM judged WHERE lifted IS NOT NULL
    ), parts AS (
        SELECT * REPLACE (
            unnest(CASE WHEN purpose IS NULL THEN {_list(PURPOSES)} ELSE [purpose] END) AS purpose
        ) FROM left_over
    ), in_force AS (
        FROM judged WHERE lifted IS NULL
        UNION ALL
        FROM parts WHERE NOT list_contains(lifted, channel || ' ' || purpose)
    ), forms AS (
        SELECT *, unnest(CASE key_kind
            WHEN 'phone' THEN list_distinct([key, {_WITH_NINTH}, {_WITHOUT_NINTH}]) ELSE [key] END
        ) AS form
        FROM in_force
    )
    SELECT key_kind, form AS key, channel, purpose, min(occurred_at) AS since,
           CASE WHEN action_id IS NULL THEN 'manychat' ELSE 'pedido' END AS origin
    FROM forms GROUP BY ALL
"""
