"""Survivorship: which record gives each field of a golden record, and how it was chosen.

Every field has a list of strategies (rules 2.6, mdm.md 4.5). For a record that has a value they are
packed into one integer, the better record the smaller number; what they leave equal, the smallest
record id decides. A customer's best number of a field names the winner, the next the runner-up.

What is kept is `silver.field_choices`: for every record of a customer, which fields it won, by
which strategy, and where it came second. Golden records and the lineage are both read from the
choices and the records, so that they cannot disagree. A value that a steward pinned stands there as
one more record of its customer, `acao:<id>`, before all others.

Inside the step a customer is a number and a record its row (`rid`, of a pin the negative id of its
action): texts are only read for what is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crm_assets.checks.silver import DECIDED_BY
from crm_assets.person_rules import FieldRule, Survivorship
from crm_assets.silver.stewardship import NOT_TAKEN_BACK
from crm_resources.warehouse import Transaction

CHOICES = "silver.field_choices"
LINEAGE = "silver.customer_lineage"


@dataclass(frozen=True)
class Field:
    """A surviving field.

    Attributes:
        columns: columns of a contact record that come together from the winner.
        told_by: those of which one must be filled for a record to have a value.
        valid: SQL that tells a valid value; None where there is no telling.
    """

    columns: tuple[str, ...]
    told_by: tuple[str, ...]
    valid: str | None = None

    @property
    def present(self) -> str:
        """SQL that is true for a record with a value; empty text is none."""
        return " OR ".join(f"{column} <> ''" for column in self.told_by)

    @property
    def value(self) -> str:
        """SQL of the value as one text."""
        filled = ", ".join(f"nullif({column}, '')" for column in self.told_by)
        return f"nullif(concat_ws(', ', {filled}), '')"


FIELDS = {
    "email": Field(("email",), ("email",), "email_key IS NOT NULL"),
    "phone": Field(("phone", "phone_kind"), ("phone",), "phone_key IS NOT NULL"),
    "name": Field(("name", "first_name"), ("name",)),
    "document": Field(
        ("document", "document_kind"), ("document",), "coalesce(document_valid, false)"
    ),
    "instagram": Field(("instagram",), ("instagram",)),
    "hotmart_ucode": Field(("hotmart_ucode",), ("hotmart_ucode",)),
    "manychat_id": Field(("manychat_id",), ("manychat_id",)),
    "place": Field(
        ("city", "state", "state_source", "country"), ("city", "state", "country"), "has_address"
    ),
}
PINNED_PARTS = {"city": ("city",), "state": ("state", "state_source"), "country": ("country",)}
"""Parts of the place that can be pinned alone -> the columns that a pin then sets."""

RUNNER_UP = 1
PIN = 2
"""Marks in `silver.field_choices`; a winner has the place in `DECIDED_BY` of what decided, + 2."""

_DONE_WITH = ("placed", "alone", "candidates", "ties", "ranked", "best")
"""What ten million records need the memory of, once they are chosen from."""

_BITS = {"valid": 1, "source": 3, "newest": 52, "oldest": 52, "most_frequent": 20}
_LATEST = (1 << _BITS["newest"]) - 1
"""In microseconds since 1970: the year 2112."""


def survive(tx: Transaction, rules: Survivorship, scope: str | None = None) -> None:
    """Choose the records that give each field.

    Writes temp tables `numbers(number, customer_id)` of the customers that were chosen for, and
    `chosen(number, rid, ...)` with the marks of their records.

    Args:
        tx: where cross references and contact records agree.
        rules: the tenant's strategies.
        scope: table whose column `customer_id` names the customers to redo; all without it. To be
            redone are those whose records or pins changed, and those that are no more.
    """
    tx.execute(_NUMBERS.format(scope=f"SEMI JOIN {scope} USING (customer_id)" if scope else ""))
    tx.execute(_PLACED)
    tx.execute(_ALONE)
    tx.execute(_CANDIDATES.format(told=_told_of_candidates(rules)))
    tx.execute(_TIES.format(alike=", ".join(["number", *_compared_in_all(rules)])))
    most_alike = tx.scalar("SELECT max(tie) FROM ties") or 0
    orders = [_Order.of(name, rules, most_alike) for name in FIELDS]
    tx.execute(_RANKED.format(keys=", ".join(f"{o.key} AS {o.name}" for o in orders)))
    tx.execute(
        _BEST.format(
            two=", ".join(f"min({name}, 2) AS {name}" for name in FIELDS),
            told=", ".join(order.decided for order in orders),
        )
    )
    tx.execute(
        _CHOSEN.format(
            marks=", ".join(order.mark for order in orders),
            only=", ".join(
                f"CASE WHEN {field.present} THEN {_mark('only')}::UTINYINT END AS {name}"
                for name, field in FIELDS.items()
            ),
            parts=", ".join(f"NULL::UTINYINT AS {part}" for part in PINNED_PARTS),
        )
    )
    for table in _DONE_WITH:
        tx.execute(f"DROP TABLE {table}")
    _pin(tx)


def store_choices(tx: Transaction, scope: str | None = None) -> None:
    """Bring `silver.field_choices` to what `survive` chose, within the same scope."""
    marks = ", ".join([*FIELDS, *PINNED_PARTS])
    chosen = _CHOICES.format(marks=marks, sources=sources_sql())
    if scope is None:
        tx.replace_table(CHOICES, chosen)
    else:
        tx.execute(f"DELETE FROM {CHOICES} WHERE customer_id IN (SELECT customer_id FROM {scope})")
        tx.execute(f"INSERT INTO {CHOICES} {chosen}")


def replace_lineage(tx: Transaction) -> None:
    """Define the view `silver.customer_lineage` over the choices and the records."""
    values = " ".join(f"WHEN '{name}' THEN {field.value}" for name, field in FIELDS.items())
    values += " ".join(f" WHEN '{part}' THEN {part}" for part in PINNED_PARTS)
    marks = ", ".join([*FIELDS, *PINNED_PARTS])
    tx.execute(
        f"CREATE OR REPLACE VIEW {LINEAGE} AS"
        + _LINEAGE.format(sources=sources_sql(), values=values, marks=marks)
    )


def sources_sql() -> str:
    """SELECT of all records that may give a field: contact records, and pins as records.

    `email_key` and `phone_key` are what an opt-out may name, a number that is no identity key too.
    """
    columns = [column for field in FIELDS.values() for column in field.columns]
    pinned = ", ".join(
        f"coalesce(payload->'columns'->>'{column}',"
        f" CASE payload->>'field' WHEN '{column}' THEN payload->>'value' END) AS {column}"
        for column in columns
    )
    return _SOURCES.format(columns=", ".join(columns), pinned=pinned)


def golden_columns() -> str:
    """SELECT list of the surviving columns, over `chosen` and `sources` grouped by customer."""
    parts = {column: part for part, columns in PINNED_PARTS.items() for column in columns}

    def survivor(name: str, column: str) -> str:
        value = f"any_value(nullif(sources.{column}, ''))"
        won = f"{value} FILTER (chosen.{name} > {RUNNER_UP})"
        if column not in parts:
            return f"{won} AS {column}"
        part = f"chosen.{parts[column]}"
        pinned = f"{value} FILTER ({part} = {PIN})"
        return f"CASE WHEN count({part}) > 0 THEN {pinned} ELSE {won} END AS {column}"

    return ", ".join(
        survivor(name, column) for name, field in FIELDS.items() for column in field.columns
    )


def _pin(tx: Transaction) -> None:
    """Put pinned values before the winners, which come second then."""
    tx.execute(_PINS)
    pinned = set(tx.read("SELECT DISTINCT field FROM pins")["field"])
    for name in pinned & FIELDS.keys():
        tx.execute(_STEP_BACK.format(field=name))
    for name in pinned & {*FIELDS, *PINNED_PARTS}:
        tx.execute(_PUT_BEFORE.format(field=name))


@dataclass(frozen=True)
class _Order:
    """The order of records for one field.

    Attributes:
        name: the field.
        key: SQL of the number by which candidates compare; null without a value.
        parts: the strategies, the first to compare first, each with the bit where it begins.
    """

    name: str
    key: str
    parts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, name: str, rules: Survivorship, most_alike: int) -> _Order:
        """The order for a field, where at most so many candidates are told apart by their ids."""
        rule: FieldRule = getattr(rules, name)
        number, bit = "coalesce(tie, 0)", most_alike.bit_length()
        parts: list[tuple[str, int]] = []
        compared = [s for s in rule.strategies if s != "valid" or FIELDS[name].valid]
        width = bit + sum(_BITS[strategy] for strategy in compared)
        whole = "HUGEINT" if width > 62 else "BIGINT"
        for strategy in reversed(compared):
            number += f" + {_compared(strategy, name, rules)}::{whole} * {1 << bit}"
            parts.insert(0, (strategy, bit))
            bit += _BITS[strategy]
        return cls(name, f"CASE WHEN has_{name} THEN {number} END", tuple(parts))

    @property
    def decided(self) -> str:
        """SELECT list over a customer's two least numbers: both, and what decided between them."""
        by = " ".join(
            f"WHEN {self.name}[1] >> {bit} <> {self.name}[2] >> {bit} THEN {_mark(strategy)}"
            for strategy, bit in self.parts
        )
        only, record_id = _mark("only"), _mark("record_id")
        return f"""
            {self.name}[1] AS {self.name}_first, {self.name}[2] AS {self.name}_second,
            (CASE WHEN {self.name}[2] IS NULL THEN {only} {by} ELSE {record_id} END)::UTINYINT
                AS {self.name}_by"""

    @property
    def mark(self) -> str:
        """SQL of a ranked record's mark: what decided for a winner, second, or null."""
        return f"""(CASE ranked.{self.name} WHEN {self.name}_first THEN {self.name}_by
            WHEN {self.name}_second THEN {RUNNER_UP} END)::UTINYINT AS {self.name}"""


def _compared(strategy: str, name: str, rules: Survivorship) -> str:
    """SQL of what a strategy compares, the better the smaller."""
    match strategy:
        case "valid":
            return f"invalid_{name}"
        case "source":
            return f"rank_{name}"
        case "newest":
            return f"({_LATEST} - instant)"
        case "oldest":
            return "instant"
        case _:
            return f"({(1 << _BITS[strategy]) - 1} - copies_{name})"


def _mark(decided_by: str) -> int:
    return DECIDED_BY.index(decided_by) + 2


def source_rank(order: Sequence[str]) -> str:
    """SQL of the place of `source` in an order, the best 0; null for a pin."""
    places = " ".join(f"WHEN '{source}' THEN {place}" for place, source in enumerate(order))
    return f"(CASE source {places} END)::UTINYINT"


def _told_of_candidates(rules: Survivorship) -> str:
    told = []
    for name, field in FIELDS.items():
        told.append(f"coalesce({field.present}, false) AS has_{name}")
        told.append(f"{source_rank(rules.source_order(getattr(rules, name)))} AS rank_{name}")
        if field.valid:
            told.append(f"NOT ({field.valid}) AS invalid_{name}")
        if "most_frequent" in getattr(rules, name).strategies:
            told.append(f"count(*) OVER (PARTITION BY number, {field.value}) AS copies_{name}")
    return ", ".join(told)


def _compared_in_all(rules: Survivorship) -> list[str]:
    """Columns that two records must share to be equal for any field's strategies."""
    lists = [set(getattr(rules, name).strategies) for name in FIELDS]
    by_source = all("source" in strategies for strategies in lists)
    by_time = all(strategies & {"newest", "oldest"} for strategies in lists)
    return ["source"] * by_source + ["instant"] * by_time


_NUMBERS = """
    CREATE OR REPLACE TEMP TABLE numbers AS
    SELECT rowid AS number, customer_id FROM silver.customer_ids {scope}
    WHERE survivor_id = customer_id
"""
_PLACED = """
    CREATE OR REPLACE TEMP TABLE placed AS
    SELECT records.rowid AS rid, number
    FROM silver.contact_records AS records
    JOIN (
        SELECT record_id, customer_id FROM silver.customer_xref WHERE valid_to IS NULL
    ) USING (record_id)
    JOIN numbers USING (customer_id)
"""
_ALONE = """
    CREATE OR REPLACE TEMP TABLE alone AS
    SELECT number, any_value(rid) AS rid FROM placed GROUP BY number HAVING count(*) = 1
"""
_CANDIDATES = f"""
    CREATE OR REPLACE TEMP TABLE candidates AS
    SELECT number, rid, source,
           least(greatest(epoch_us(observed_at), 0), {_LATEST}) AS instant, {{told}}
    FROM silver.contact_records AS records
    JOIN (FROM placed ANTI JOIN alone USING (number)) AS shared ON shared.rid = records.rowid
"""
# Only records that no strategy may tell apart need a number by their ids.
_TIES = """
    CREATE OR REPLACE TEMP TABLE ties AS
    SELECT rid, row_number() OVER (PARTITION BY {alike} ORDER BY record_id) AS tie
    FROM (
        FROM candidates
        SEMI JOIN (SELECT {alike} FROM candidates GROUP BY ALL HAVING count(*) > 1) USING ({alike})
    )
    JOIN (SELECT rowid AS rid, record_id FROM silver.contact_records) USING (rid)
"""
_RANKED = """
    CREATE OR REPLACE TEMP TABLE ranked AS
    SELECT number, rid, {keys} FROM candidates LEFT JOIN ties USING (rid)
"""
_BEST = """
    CREATE OR REPLACE TEMP TABLE best AS
    SELECT number, {told} FROM (SELECT number, {two} FROM ranked GROUP BY number)
"""
_CHOSEN = """
    CREATE OR REPLACE TEMP TABLE chosen AS
    SELECT number, rid, {marks}, {parts} FROM ranked JOIN best USING (number)
    UNION ALL
    SELECT number, rid, {only}, {parts}
    FROM alone JOIN silver.contact_records AS records ON records.rowid = rid
"""
_CHOICES = """
    SELECT customer_id, record_id, {marks}
    FROM chosen JOIN numbers USING (number)
    JOIN (SELECT rid, record_id FROM ({sources})) USING (rid)
"""
# The newest pin of a field holds that nobody took back; ids are those of today.
_PINS = f"""
    CREATE OR REPLACE TEMP TABLE pins AS
    SELECT number, payload->>'field' AS field, -max(id) AS rid
    FROM bronze.crm_actions AS taken
    JOIN (SELECT customer_id, survivor_id FROM silver.customer_ids) AS ids USING (customer_id)
    JOIN numbers ON numbers.customer_id = survivor_id
    WHERE kind = 'identity_pin' AND {NOT_TAKEN_BACK}
    GROUP BY ALL
"""
_STEP_BACK = f"""
    UPDATE chosen SET {{field}} = CASE WHEN {{field}} > {RUNNER_UP} THEN {RUNNER_UP} END
    WHERE number IN (SELECT number FROM pins WHERE field = '{{field}}')
"""
_PUT_BEFORE = f"""
    INSERT INTO chosen BY NAME
    SELECT number, rid, {PIN} AS {{field}} FROM pins WHERE field = '{{field}}'
"""
_SOURCES = """
    SELECT rowid AS rid, record_id, source, source_id, observed_at, {columns},
           email_key, coalesce(phone_key, phone) AS phone_key, first_seen_at,
           last_interaction_at, is_own
    FROM silver.contact_records
    UNION ALL BY NAME
    SELECT -id AS rid, 'acao:' || id AS record_id, 'pin' AS source, id::VARCHAR AS source_id,
           occurred_at AS observed_at, {pinned}, email AS email_key, phone AS phone_key
    FROM bronze.crm_actions WHERE kind = 'identity_pin'
"""
_LINEAGE = f"""
    WITH sources AS NOT MATERIALIZED ({{sources}}), marked AS NOT MATERIALIZED (
        FROM {CHOICES} UNPIVOT (mark FOR field IN ({{marks}}))
    ), told AS NOT MATERIALIZED (
        SELECT marked.customer_id, field, mark, record_id, source, source_id, observed_at,
               md5(CASE field {{values}} END) AS value_hash
        FROM marked JOIN sources USING (record_id)
    )
    SELECT winner.customer_id, winner.field, winner.record_id, winner.source, winner.source_id,
           winner.value_hash, winner.observed_at,
           {DECIDED_BY}[winner.mark - {RUNNER_UP}] AS strategy,
           second.record_id AS runner_up, second.source AS runner_up_source
    FROM told AS winner
    LEFT JOIN told AS second
        ON second.customer_id = winner.customer_id AND second.field = winner.field
       AND second.mark = {RUNNER_UP}
    WHERE winner.mark > {RUNNER_UP}
"""
