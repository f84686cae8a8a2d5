"""Taking a component apart, as a pure function: what holds for all records and decisions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crm_assets.silver.conflicts import Decisions, Member, separate

CPF, OTHER_CPF = "52998224725", "11144477735"
KEYS = ("source", "email", "phone")
REFS = [f"crm:{n}" for n in range(8)]


def both_ways(pairs):
    """`Decisions.apart` of pairs of references."""
    apart = {}
    for a, b in pairs:
        apart.setdefault(a, set()).add(b)
        apart.setdefault(b, set()).add(a)
    return apart


def some(*values):
    return st.none() | st.sampled_from(values)


MEMBERS = st.lists(
    st.builds(
        Member,
        rid=st.just(0),
        ref=st.just(""),
        email=some("e1", "e2", "e3"),
        phone=some("p1", "p2", "p3"),
        source=some("s1", "s2"),
        document=some(CPF, OTHER_CPF),
        buyer=some("u1", "u2"),
        name=some("ana", "bia"),
    ),
    max_size=8,
).map(
    lambda members: [
        Member(rid, REFS[rid], *(getattr(m, name) for name in Member.__slots__[2:]))
        for rid, m in enumerate(members)
    ]
)
PAIRS = st.lists(
    st.tuples(st.sampled_from(REFS), st.sampled_from(REFS)).filter(lambda pair: pair[0] != pair[1]),
    max_size=4,
)
CASES = st.tuples(
    MEMBERS,
    st.builds(Decisions, together=PAIRS, apart=PAIRS.map(both_ways)),
    st.fixed_dictionaries({"by_phone": st.booleans(), "conflicts": st.booleans()}),
)


def joined(members, kinds):
    """Group number of each record when the keys of some kinds join, and nothing else is asked."""
    group = {member.rid: member.rid for member in members}
    for kind in kinds * len(members):
        least = {}
        for member in members:
            key = getattr(member, kind)
            if key is not None:
                least[key] = min(least.get(key, member.rid), group[member.rid])
        for member in members:
            key = getattr(member, kind)
            if key is not None:
                group[member.rid] = min(group[member.rid], least[key])
    return group


@given(CASES)
def test_every_record_is_in_one_group(case):
    members, decisions, how = case
    groups = separate(members, decisions, **how).groups
    assert sorted(rid for group in groups for rid in group) == [m.rid for m in members]
    assert [min(group) for group in groups] == sorted(min(group) for group in groups)


@given(CASES)
def test_what_a_steward_keeps_apart_is_together_only_by_one_source_id(case):
    members, decisions, how = case
    rid_of = {member.ref: member.rid for member in members}
    by_source = joined(members, ["source"])
    for group in separate(members, decisions, **how).groups:
        for member in members:
            for other in decisions.apart.get(member.ref, set()) & rid_of.keys():
                if {member.rid, rid_of[other]} <= set(group):
                    # Together by a chain of ids of the source, or with it both of one such chain.
                    sides = {by_source[member.rid], by_source[rid_of[other]]}
                    assert len(sides) == 1


@given(CASES)
def test_same_records_in_the_same_order_give_the_same(case):
    members, decisions, how = case
    assert separate(members, decisions, **how) == separate(list(members), decisions, **how)


@given(MEMBERS, st.booleans())
def test_without_decisions_and_conflicts_the_plain_rule_stands(members, by_phone):
    separation = separate(members, by_phone=by_phone, conflicts=False)
    plain = joined(members, list(KEYS if by_phone else KEYS[:2]))
    expected = {}
    for rid, group in plain.items():
        expected.setdefault(group, set()).add(rid)
    assert {frozenset(group) for group in separation.groups} == {
        frozenset(group) for group in expected.values()
    }
    assert separation.findings == set()


@given(CASES)
def test_what_goes_together_follows_keys_and_decisions_only(case):
    """A group never holds records that no chain of keys and decisions connects."""
    members, decisions, how = case
    named = {member.ref: member for member in members}
    keys = list(KEYS if how["by_phone"] else KEYS[:2])
    linked = joined(members, keys)
    for _ in decisions.together:
        for a, b in decisions.together:
            if a in named and b in named:
                one, other = linked[named[a].rid], linked[named[b].rid]
                linked = {
                    rid: min(one, other) if group in (one, other) else group
                    for rid, group in linked.items()
                }
    for group in separate(members, decisions, **how).groups:
        assert len({linked[rid] for rid in group}) == 1


@given(CASES)
def test_a_quarantined_profile_is_not_joined_by_phone(case):
    members, decisions, how = case
    separation = separate(members, decisions, by_phone=False, conflicts=how["conflicts"])
    assert "phone" not in separation.joined_by.values()
    silent = [
        Member(m.rid, m.ref, m.email, None, m.source, m.document, m.buyer, m.name) for m in members
    ]
    assert separate(silent, decisions, conflicts=how["conflicts"]) == separation


@given(MEMBERS)
def test_emails_and_source_ids_join_whatever_the_documents(members):
    groups = separate(members).groups
    place = {rid: number for number, group in enumerate(groups) for rid in group}
    for kind in ("email", "source"):
        holders = {}
        for member in members:
            if key := getattr(member, kind):
                holders.setdefault(key, set()).add(place[member.rid])
        assert all(len(groups) == 1 for groups in holders.values())


@given(MEMBERS)
def test_a_phone_alone_never_joins_two_documents_or_two_named_buyers(members):
    without_phone = separate(members, by_phone=False).groups
    first = {rid: number for number, group in enumerate(without_phone) for rid in group}
    by_rid = {member.rid: member for member in members}
    for group in separate(members).groups:
        sides = {}
        for rid in group:
            sides.setdefault(first[rid], set()).add(by_rid[rid].document)
        known = [side - {None} for side in sides.values() if side - {None}]
        # What a phone joined one after the other agrees with somebody at every step.
        assert len(known) < 2 or any(
            not one.isdisjoint(other) for one in known for other in known if one is not other
        )


@given(MEMBERS, st.sampled_from(["source", "email", "phone"]))
def test_the_kind_that_joined_is_a_key_that_somebody_of_the_group_shares(members, kind):
    separation = separate(members)
    by_rid = {member.rid: member for member in members}
    for group in separation.groups:
        for rid in group:
            if separation.joined_by.get(rid) == kind:
                key = getattr(by_rid[rid], kind)
                assert any(getattr(by_rid[o], kind) == key for o in group if o != rid)
