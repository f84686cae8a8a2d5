"""What the operations store calls landed and the warehouse does not hold (rules 1.1)."""

from datetime import timedelta

from bronze_samples import NOW
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.bronze.ledger import lost_loads
from crm_resources.ops import Load

statuses = st.sampled_from(["received", "landed", "refused", "undone"])
keys = st.tuples(st.sampled_from(["manychat", "hotmart_transactions"]), st.sampled_from("abc"))
instants = st.integers(0, 3).map(lambda days: NOW + timedelta(days=days))


@given(
    st.dictionaries(keys, st.tuples(statuses, instants)),
    st.dictionaries(keys, instants),
)
def test_exactly_what_landed_and_is_missing_or_older_there_is_lost(known, held):
    loads = [
        Load(source=s, slice=k, status=status, at=at) for (s, k), (status, at) in known.items()
    ]
    lost = {(load.source, load.slice) for load in lost_loads(loads, held)}
    for key, (status, at) in known.items():
        stands = key in held and held[key] >= at
        assert (key in lost) == (status == "landed" and not stands)
