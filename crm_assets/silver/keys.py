"""Which keys join: the roots of all keys, and the guards against shared values (mdm.md 4.4).

A key is *personal* and joins its records; or a *household*'s and joins those of one first name; or
*generic*, a value of many, or *blocked* by a steward, and joins nobody. A rule that is switched off
leaves its keys personal.
"""

from __future__ import annotations

from crm_assets.person_rules import Identity
from crm_resources.warehouse import Transaction

FUNCTION_MAILBOXES = (
    "adm", "admin", "administracao", "atendimento", "billing", "cobranca", "comercial", "compras",
    "contabilidade", "contact", "contato", "contatos", "diretoria", "email", "escritorio",
    "faturamento", "financeiro", "hello", "info", "loja", "marketing", "office", "ola", "recepcao",
    "rh", "sac", "sales", "secretaria", "suporte", "support", "team", "time", "vendas",
)  # fmt: skip
"""Local parts of addresses that belong to a function and not to a person."""


def find_roots(tx: Transaction) -> None:
    """Write `email_roots`, `phone_roots` and `source_roots(key, root, records)` from `nodes`.

    The root of a key is the first of the records that carry it. Listed are the keys that several
    records carry, since no other joins anything, and those that may not join.
    """
    for kind in ("email", "phone", "source"):
        tx.execute(_ROOTS.format(kind=kind))


def judge_keys(tx: Transaction, guards: Identity, *, scoped: bool) -> None:
    """Write `verdicts`, the rows of `silver.key_status` for the keys that were counted.

    Reads the roots and `stars`, which names the roots of each record.

    Listed are keys of many records and those that do not join. In a scope only the keys in
    `touched_keys` are counted, since of the others not all records are there.
    """
    only = "SEMI JOIN touched_keys AS touched ON touched.kind = '{}' AND touched.key = roots.key"
    tx.execute(
        _VERDICTS.format(
            touched_emails=only.format("email") if scoped else "",
            touched_phones=only.format("phone") if scoped else "",
            touched_blocked="SEMI JOIN touched_keys USING (kind, key)" if scoped else "",
        ),
        {
            "mailboxes": list(FUNCTION_MAILBOXES) if guards.function_mailboxes else [],
            "max_surnames": guards.max_surnames,
            "capped": guards.degree_cap,
            "max_emails": guards.max_emails_per_phone,
            "max_phones": guards.max_phones_per_email,
            "household": guards.household,
            "min_emails": guards.min_household_emails,
        },
    )
    tx.execute(_UNJOINING if scoped else _UNJOINING_OF_ALL)


def leave_out(tx: Transaction) -> None:
    """Take keys that do not join out of `stars` and the roots; give households' to their names.

    Writes `household_roots(key, name, root)`.
    """
    tx.execute(_HOUSEHOLDS)
    for kind in ("email", "phone"):
        if tx.scalar("SELECT count(*) FROM unjoining WHERE kind = ?", [kind]):
            tx.execute(_LEAVE_OUT.format(kind=kind))
            tx.execute(_DROP.format(kind=kind))
    if tx.scalar("SELECT count(*) FROM household_roots"):
        tx.execute(_BY_NAME)


def store_verdicts(tx: Transaction, now: object, *, scoped: bool) -> None:
    """Bring `silver.key_status` to the verdicts; a status that stays keeps its `since`."""
    tx.execute(_STATUSES, {"now": now})
    tx.execute(_FORGET_TOUCHED if scoped else "DELETE FROM silver.key_status")
    tx.execute("INSERT INTO silver.key_status BY NAME FROM statuses")


_ROOTS = """
    CREATE OR REPLACE TEMP TABLE {kind}_roots AS
    SELECT {kind}_key AS key, min(rid) AS root, count(*) AS records
    FROM nodes WHERE {kind}_key IS NOT NULL GROUP BY key
    HAVING records > 1 OR key IN (
        SELECT key FROM blocked_keys WHERE kind = '{kind}'
        UNION ALL
        SELECT key FROM silver.key_status WHERE kind = '{kind}' AND status <> 'personal'
    )
"""
_VERDICTS = """
    CREATE OR REPLACE TEMP TABLE verdicts AS
    WITH crowded_phones AS (
        SELECT roots.* FROM phone_roots AS roots {touched_phones}
        WHERE roots.records > CASE WHEN $household THEN 1 ELSE $max_emails END
    ), shared_emails AS (
        SELECT roots.* FROM email_roots AS roots {touched_emails}
        WHERE roots.records > least($max_phones, $max_surnames)
    ), crowded_emails AS (
        SELECT *, list_contains($mailboxes::VARCHAR[], split_part(key, '@', 1)) AS is_function
        FROM shared_emails WHERE records > $max_phones OR is_function
    ), phones AS (
        SELECT crowded.key, any_value(crowded.records) AS records,
               count(DISTINCT email_key) AS other_keys,
               greatest(count(DISTINCT document), count(DISTINCT hotmart_ucode)) AS identities,
               count(DISTINCT known_as) FILTER (source IN ('hotmart', 'woocommerce'))
                   AS first_names
        FROM crowded_phones AS crowded JOIN stars ON phone_root = root JOIN nodes USING (rid)
        GROUP BY crowded.key
    ), emails AS (
        SELECT crowded.key, any_value(crowded.records) AS records,
               any_value(is_function) AS is_function,
               count(DISTINCT phone_key) AS other_keys, count(DISTINCT known_as) AS first_names,
               count(DISTINCT surname) AS surnames
        FROM crowded_emails AS crowded JOIN stars ON email_root = root JOIN nodes USING (rid)
        GROUP BY crowded.key
    ), judged AS (
        SELECT 'phone' AS kind, key, records, other_keys, first_names,
               CASE WHEN $capped AND other_keys > $max_emails THEN 'muitos_emails'
                    WHEN $capped AND identities > $max_emails THEN 'muitas_pessoas'
                    WHEN $household AND other_keys >= $min_emails AND first_names > 1
                    THEN 'varios_nomes' END AS reason
        FROM phones
        UNION ALL
        SELECT 'email', key, records, other_keys, first_names,
               CASE WHEN $capped AND other_keys > $max_phones THEN 'muitos_telefones'
                    WHEN is_function AND surnames > $max_surnames THEN 'caixa_de_funcao' END
        FROM emails
    ), refused AS (
        SELECT kind, blocked_keys.key, coalesce(email.records, phone.records) AS records
        FROM blocked_keys {touched_blocked}
        LEFT JOIN email_roots AS email ON kind = 'email' AND email.key = blocked_keys.key
        LEFT JOIN phone_roots AS phone ON kind = 'phone' AND phone.key = blocked_keys.key
        WHERE coalesce(email.records, phone.records) > 0
    )
    SELECT kind, key, coalesce(judged.records, refused.records) AS records, other_keys, first_names,
           CASE WHEN refused.key IS NOT NULL THEN 'bloqueada_por_decisao' ELSE reason END AS reason,
           CASE WHEN refused.key IS NOT NULL THEN 'blocked'
                WHEN reason = 'varios_nomes' THEN 'household'
                WHEN reason IS NOT NULL THEN 'generic' ELSE 'personal' END AS status
    FROM judged FULL JOIN refused USING (kind, key)
"""
_UNJOINING_OF_ALL = """
    CREATE OR REPLACE TEMP TABLE unjoining AS
    SELECT kind, key, status FROM verdicts WHERE status <> 'personal'
"""
_UNJOINING = f"""
    {_UNJOINING_OF_ALL}
    UNION
    SELECT kind, key, status FROM silver.key_status ANTI JOIN touched_keys USING (kind, key)
    WHERE status <> 'personal'
"""
_HOUSEHOLDS = """
    CREATE OR REPLACE TEMP TABLE household_roots AS
    SELECT phone_key AS key, known_as AS name, min(rid) AS root
    FROM nodes SEMI JOIN unjoining ON kind = 'phone' AND key = phone_key AND status = 'household'
    WHERE known_as IS NOT NULL GROUP BY ALL HAVING count(*) > 1
"""
_LEAVE_OUT = """
    UPDATE stars SET {kind}_root = NULL, lone_{kind} = false
    WHERE coalesce({kind}_root, CASE WHEN lone_{kind} THEN rid END) IN (
        SELECT root FROM {kind}_roots WHERE key IN (SELECT key FROM unjoining WHERE kind = '{kind}')
    )
"""
_BY_NAME = """
    UPDATE stars SET phone_root = household_roots.root
    FROM household_roots JOIN nodes ON key = phone_key AND name = known_as
    WHERE stars.rid = nodes.rid
"""
_DROP = """
    DELETE FROM {kind}_roots WHERE key IN (SELECT key FROM unjoining WHERE kind = '{kind}')
"""
_STATUSES = """
    CREATE OR REPLACE TEMP TABLE statuses AS
    SELECT verdicts.*, coalesce(held.since, $now::TIMESTAMPTZ) AS since
    FROM verdicts LEFT JOIN silver.key_status AS held
        ON held.kind = verdicts.kind AND held.key = verdicts.key AND held.status = verdicts.status
"""
_FORGET_TOUCHED = """
    DELETE FROM silver.key_status
    WHERE EXISTS (
        SELECT 1 FROM touched_keys AS touched
        WHERE touched.kind = key_status.kind AND touched.key = key_status.key
    )
"""
