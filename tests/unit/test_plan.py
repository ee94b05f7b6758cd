"""Cutting, fates and offsets against plain models of what they must be."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.admission import Cut
from shared.definition import BatchOptions
from shared.limits import MAX_RECORDS, MAX_REJECTED, Limits
from shared.manifest import LARGEST, Fate, Manifest
from shared.providers.profiles import PROFILES
from submitter.planning.part import MAX_ECHOES
from submitter.planning.plan import Fates, Offsets
from tests.rig.samples import EPOCH, definition

offsets = st.lists(st.integers(0, 40), max_size=60)
paid_sets = st.sets(st.integers(0, 40))


def runs_of(numbers: set[int]) -> list[tuple[int, int]]:
    starts = sorted(n for n in numbers if n - 1 not in numbers)
    ends = sorted(n + 1 for n in numbers if n + 1 not in numbers)
    return list(zip(starts, ends, strict=True))


@given(paid_sets, offsets)
def test_an_offset_is_taken_once_and_never_when_it_is_paid_for(paid: set[int], arriving: list[int]) -> None:
    taken: set[int] = set()
    partition = Offsets(runs_of(paid))
    for offset in arriving:
        assert partition.take(offset) == (offset not in paid and offset not in taken)
        taken |= {offset} - paid
    assert partition.runs() == runs_of(taken), "a run covers a gap, or misses an offset"


@given(st.lists(st.sampled_from(["request", "rejected", "elsewhere"])))
def test_fates_are_run_lengths_of_what_was_said(said: list[Fate]) -> None:
    fates = Fates()
    for fate in said:
        fates.add(fate)
    runs = fates.closed()
    assert [fate for count, fate in runs for _ in range(count)] == said
    assert all(a[1] != b[1] for a, b in pairwise(runs))


def test_a_batch_is_full_exactly_at_its_limits() -> None:
    limits = Limits(max_requests=3, max_bytes=100, cut_bytes=100)
    assert not limits.full(2, 90, 10)
    assert limits.full(2, 90, 11)
    assert limits.full(3, 0, 1)
    assert not limits.full(2, 0, 1, records=MAX_RECORDS)
    assert limits.full(2, 0, 1, records=MAX_RECORDS + 1)


def test_the_largest_manifest_that_the_limits_allow_can_be_read() -> None:
    """Every second row is another batch's; counted from a thousandth of it."""
    share = 1000
    most: dict[Fate, int] = {"request": MAX_RECORDS, "echo": MAX_ECHOES, "known": MAX_ECHOES, "rejected": MAX_REJECTED}
    rows = 2 * sum(most.values())
    made = Manifest(
        batch_key="k" * 64,
        pipeline="p" * 255,
        statement="s" * 255,
        generation=0,
        definition=definition(),
        sealed_file="f" * 900,
        sealed_at=EPOCH,
        start=0,
        end=1 << 40,
        runs=tuple(run for fate, count in most.items() for run in ((1, fate), (1, "elsewhere")) * (count // share)),
        rejected=((rows, "render-error", "m" * 600),) * (MAX_REJECTED // share),
        echoes=(MAX_RECORDS,) * (MAX_ECHOES // share),
        packs=((1, 10), (1, 11)) * (50_000 // share),
        requests=MAX_RECORDS,
        records=rows // 2,
        bytes=1 << 40,
        sha256="0" * 64,
    )
    assert len(made.model_dump_json()) * share < LARGEST


def test_a_batch_is_cut_to_the_room_in_its_queue_and_no_request_refused_for_it() -> None:
    profile, options = PROFILES["openai"], BatchOptions(max_bytes=100)
    limits = Limits.of(profile, options, cut=Cut(max_bytes=40))
    assert limits.full(1, 30, 11)
    assert not limits.full(0, 0, 100), "a large request is a batch by itself"
    assert limits.full(0, 0, 101)
    assert Limits.of(profile, options, cut=Cut(max_bytes=400)) == Limits(profile.max_requests, 100, 100)
    assert Limits.of(profile, options, cut=Cut(max_requests=7)).max_requests == 7
    assert Limits.of(profile, options) == Limits(profile.max_requests, 100, 100)
