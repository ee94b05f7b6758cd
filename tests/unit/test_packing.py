"""Records and requests of a batch are found from each other."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.packing import Packing, packs_of


@settings(deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=30))
def test_each_record_is_in_one_request(sizes: list[int]) -> None:
    packing = Packing(len(sizes), packs_of(sizes))
    assert packing.records == sum(sizes)
    records = [record for request in range(packing.requests) for record in packing.of(request)]
    assert records == list(range(sum(sizes)))
    assert [len(packing.of(request)) for request in range(packing.requests)] == sizes
    assert all(record in packing.of(packing.request(record)) for record in records)
    assert [len(group) for _, group in packing.grouped(records)] == sizes
    places = [packing.place(record) for record in records]
    assert (
        places == [n for size in sizes for n in range(1, size + 1)] if max(sizes) > 1 else places == [None] * len(sizes)
    )


def test_requests_of_one_record_need_no_packs() -> None:
    assert packs_of([1, 1, 1]) == ()
    assert packs_of([3, 3, 1]) == ((2, 3), (1, 1))
