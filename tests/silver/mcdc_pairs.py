"""Pairs of stories for conditions that must each decide by itself (MC/DC)."""

from typing import Any, NamedTuple


class Pair(NamedTuple):
    """Two stories that differ in one fact, and what each becomes.

    Attributes:
        condition: which one differs.
        outcome: what is looked at.
        facts: the rows of both sides.
        row: one more row of both sides.
        column: where they differ in it.
        left: the value on one side, with its outcome.
        right: on the other side.
    """

    condition: str
    outcome: str
    facts: list[dict[str, Any]]
    row: dict[str, Any]
    column: str
    left: tuple[Any, Any]
    right: tuple[Any, Any]

    def __str__(self) -> str:
        return f"{self.outcome}: {self.condition}"

    def told(self, value: Any) -> list[dict[str, Any]]:
        """The rows of the side that has this value."""
        return [*self.facts, {**self.row, self.column: value}]
