"""Components that must not be one person, taken apart again: pure rules over few records.

Most components are settled in SQL. One that breaks a rule (different documents, different buyers,
too many e-mails, a steward's word) is joined anew here, the strongest evidence first, and a join
that would break a rule is left out (mdm.md 4.4, rules 2.5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

DOCUMENTS_APART = "documentos_separados"
BUYERS_APART = "compradores_separados"
KEPT_APART = "mantidos_separados"
DOCUMENTS_TOGETHER = "documentos_diferentes"
RULE_IGNORED = "regra_ignorada"


@dataclass(frozen=True, slots=True)
class Member:
    """A record of a component, as far as joining it goes.

    Attributes:
        rid: its number.
        ref: its source and its id there.
        email: e-mail key, when it joins.
        phone: phone key, when it joins; with the first name, when it is a household's.
        source: key inside its source.
        document: valid CPF.
        buyer: Hotmart's id of the buyer.
        name: first name, folded.
    """

    rid: int
    ref: str
    email: str | None = None
    phone: str | None = None
    source: str | None = None
    document: str | None = None
    buyer: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Decisions:
    """What stewards decided.

    Attributes:
        together: pairs of references that are one person, in the order they were decided.
        apart: references by the reference that they are not one person with, both ways.
    """

    together: Sequence[tuple[str, str]] = ()
    apart: dict[str, set[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Separation:
    """A component after the rules.

    Attributes:
        groups: record numbers of its people.
        joined_by: kind of key that joined a record to others first, by record number.
        findings: what a person should look at: finding, kind of key and key.
    """

    groups: list[list[int]]
    joined_by: dict[int, str]
    findings: set[tuple[str, str | None, str | None]]


def separate(
    members: Sequence[Member],
    decisions: Decisions | None = None,
    *,
    by_phone: bool = True,
    conflicts: bool = True,
) -> Separation:
    """Join the records of one component, the strongest evidence first.

    Args:
        members: its records, in an order that does not depend on how they arrived.
        decisions: of stewards; kept apart wins over everything but one id inside a source.
        by_phone: whether phones join; not in a profile over its limits.
        conflicts: whether different documents and buyers keep groups of one phone apart.
    """
    decisions = decisions or Decisions()
    joining = _Joining(members, decisions.apart)
    for key, holders in _holders(members, "source"):
        joining.join("source", key, holders, lambda a, b: None)
    if any(joining.is_at_odds(group) for group in joining.groups()):
        joining.findings.add((RULE_IGNORED, None, None))
    by_ref = dict(_holders(members, "ref"))
    for a, b in decisions.together:
        if a in by_ref and b in by_ref:
            pair = [by_ref[a][0], by_ref[b][0]]
            if not joining.join("decision", None, pair, joining.kept_apart):
                joining.findings.add((RULE_IGNORED, None, None))
    for key, holders in _holders(members, "email"):
        joining.join("email", key, holders, joining.kept_apart)
    for key, holders in _holders(members, "phone") if by_phone else ():
        joining.join(
            "phone", key, holders, joining.conflicting if conflicts else joining.kept_apart
        )
    groups = joining.groups()
    if conflicts and any(len(group.documents) > 1 for group in groups):
        joining.findings.add((DOCUMENTS_TOGETHER, None, None))
    return Separation([group.rids for group in groups], joining.joined_by, joining.findings)


@dataclass
class _Group:
    """Records joined so far, and what is known of them together."""

    first: int
    rids: list[int]
    refs: set[str]
    documents: set[str]
    buyers: set[str]
    names: set[str]

    @classmethod
    def of(cls, position: int, member: Member) -> _Group:
        return cls(
            position,
            [member.rid],
            {member.ref},
            _known(member.document),
            _known(member.buyer),
            _known(member.name) if member.buyer else set(),
        )

    def merged(self, other: _Group) -> _Group:
        """Both as one; the smaller is poured into the larger."""
        small, large = sorted((self, other), key=lambda group: len(group.rids))
        large.first = min(small.first, large.first)
        large.rids += small.rids
        for known in ("refs", "documents", "buyers", "names"):
            getattr(large, known).update(getattr(small, known))
        return large


class _Kept:
    """Groups of one key that stay apart; only those that a group may be like are compared."""

    def __init__(self) -> None:
        self.groups: list[_Group] = []
        self._places: dict[tuple[str, str | None], set[int]] = {}

    def put(self, group: _Group, place: int | None) -> None:
        """Add a group, or put it in the place of the one that it absorbed."""
        if place is None:
            place = len(self.groups)
            self.groups.append(group)
        self.groups[place] = group
        for trait in ("documents", "buyers", "names"):
            for value in getattr(group, trait) or {None}:
                self._places.setdefault((trait, value), set()).add(place)

    def like(self, group: _Group) -> Sequence[int]:
        """Places of those that no document nor buyer tells apart from a group, and the first one.

        The first tells why, when nobody is like it.
        """
        alike = []
        if group.documents:
            alike.append(self._holding("documents", group.documents))
        if group.buyers and group.names:
            named = self._holding("names", group.names)
            alike.append(self._holding("buyers", group.buyers) | named)
        if not alike or not self.groups:
            return range(len(self.groups))
        return sorted(set.intersection(*alike) | {0})

    def _holding(self, trait: str, values: set[str]) -> set[int]:
        return set().union(*(self._places.get((trait, value), ()) for value in [*values, None]))


class _Joining:
    """The groups of a component while its keys are applied one after the other."""

    def __init__(self, members: Sequence[Member], apart: dict[str, set[str]]) -> None:
        self.apart = apart
        self.joined_by: dict[int, str] = {}
        self.findings: set[tuple[str, str | None, str | None]] = set()
        self._group_of = {
            member.rid: _Group.of(position, member) for position, member in enumerate(members)
        }

    def groups(self) -> list[_Group]:
        """The groups, by their first record."""
        distinct = {id(group): group for group in self._group_of.values()}
        return sorted(distinct.values(), key=lambda group: group.first)

    def join(
        self,
        kind: str,
        key: str | None,
        holders: Sequence[Member],
        refuses: Callable[[_Group, _Group], str | None],
    ) -> bool:
        """Join the groups of a key's holders, each with the first that no rule refuses.

        Returns:
            Whether all of them are one group now.
        """
        distinct = {id(g): g for g in (self._group_of[holder.rid] for holder in holders)}
        kept = _Kept()
        for group in sorted(distinct.values(), key=lambda group: group.first):
            place = None
            for candidate in kept.like(group):
                finding = refuses(kept.groups[candidate], group)
                if finding is None:
                    place = candidate
                    break
                self.findings.add((finding, *((kind, key) if key else (None, None))))
            merged = group if place is None else self._merge(kept.groups[place], group)
            kept.put(merged, place)
        held = Counter(id(self._group_of[holder.rid]) for holder in holders)
        for holder in holders:
            if held[id(self._group_of[holder.rid])] > 1:
                self.joined_by.setdefault(holder.rid, kind)
        return len(kept.groups) == 1

    def is_at_odds(self, group: _Group) -> bool:
        """Whether a steward keeps apart what is one group already."""
        return any(
            not self.apart[ref].isdisjoint(group.refs) for ref in group.refs & self.apart.keys()
        )

    def kept_apart(self, a: _Group, b: _Group) -> str | None:
        """The finding, when a steward keeps the groups apart."""
        small, large = sorted((a, b), key=lambda group: len(group.refs))
        opposed = any(
            not self.apart[ref].isdisjoint(large.refs) for ref in small.refs & self.apart.keys()
        )
        return KEPT_APART if opposed else None

    def conflicting(self, a: _Group, b: _Group) -> str | None:
        """The finding, when a shared phone does not make the groups one person."""
        if opposed := self.kept_apart(a, b):
            return opposed
        if _differ(a.documents, b.documents):
            return DOCUMENTS_APART
        if _differ(a.buyers, b.buyers) and _differ(a.names, b.names):
            return BUYERS_APART
        return None

    def _merge(self, target: _Group, group: _Group) -> _Group:
        moving = min(target, group, key=lambda one: len(one.rids)).rids
        merged = target.merged(group)
        for rid in moving:
            self._group_of[rid] = merged
        return merged


def _holders(members: Sequence[Member], kind: str) -> Iterator[tuple[str, list[Member]]]:
    """Keys of a kind with the records that carry them, by their first record."""
    holders: dict[str, list[Member]] = {}
    for member in members:
        key = getattr(member, kind)
        if key is not None:
            holders.setdefault(key, []).append(member)
    yield from holders.items()


def _known(value: str | None) -> set[str]:
    return set() if value is None else {value}


def _differ(a: set[str], b: set[str]) -> bool:
    return bool(a) and bool(b) and a.isdisjoint(b)
