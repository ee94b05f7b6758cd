"""Whether what is not seen to have ended was committed or aborted: pure decisions on the markers."""

import pytest

from poller.publish.doubts import Found, is_ahead, last_aborted, transaction_header
from poller.publish.markers import ForeignMarker, Markers
from shared.messages import Header, ProgressMarker

HERE, OTHER = "a" * 26 + "-0", "b" * 26 + "-0"
NOTHING = ProgressMarker(next=0, succeeded=0, failed=0)
BEGUN = ProgressMarker(next=60, succeeded=60, failed=0)
DONE = ProgressMarker(next=70, succeeded=70, failed=0, done=True)
SHARD = 1


def known(**markers: ProgressMarker) -> Markers:
    found = Markers()
    found.update(markers)
    return found


def sent(before: ProgressMarker, *, shard: int = SHARD, offset: int = 7, batch: str = HERE) -> Found:
    """A message of the transaction that went out when a batch had come as far as `before`."""
    return Found(offset, b"k", b"v", {Header.BATCH: batch.encode(), **dict([transaction_header(shard, before)])})


@pytest.mark.parametrize(
    ("before", "marker", "was_aborted"),
    [
        (NOTHING, None, True),
        (NOTHING, BEGUN, False),
        (NOTHING, DONE, False),
        (BEGUN, BEGUN, True),
        (BEGUN, DONE, False),
        (DONE, DONE, False),
    ],
)
def test_the_marker_that_was_committed_decides(
    before: ProgressMarker, marker: ProgressMarker | None, was_aborted: bool
) -> None:
    markers = known(**{HERE: marker} if marker else {})
    assert (last_aborted([sent(before)], SHARD, markers) is not None) == was_aborted


def test_only_a_shard_s_own_last_transaction_counts() -> None:
    markers = known(**{HERE: BEGUN})
    committed, aborted = sent(NOTHING, offset=1), sent(BEGUN, offset=2)
    assert last_aborted([committed, aborted], SHARD, markers) == aborted
    assert last_aborted([aborted, committed], SHARD, markers) is None
    another = sent(NOTHING, shard=2, batch=OTHER)
    assert last_aborted([another], SHARD, markers) is None
    assert last_aborted([aborted, another], SHARD, markers) == aborted
    assert last_aborted([], SHARD, markers) is None


@pytest.mark.parametrize("header", [None, b"", b"1", b"1.", b"1.x", b".0", b"1." + b"9" * 5000, b"01.0"])
def test_what_another_producer_wrote_is_nobody_s(header: bytes | None) -> None:
    headers = {Header.BATCH: HERE.encode(), Header.TRANSACTION: header}
    assert last_aborted([Found(7, b"k", b"v", headers)], SHARD, known()) is None
    assert last_aborted([Found(7, b"k", b"v", {Header.TRANSACTION: b"1.0"})], SHARD, known()) is None


def test_by_a_marker_that_can_t_be_read_nothing_is_decided() -> None:
    markers = known()
    markers.take(HERE.encode(), b"?")
    with pytest.raises(ForeignMarker):
        last_aborted([sent(NOTHING)], SHARD, markers)


def test_a_marker_beyond_the_committed_one_was_aborted() -> None:
    markers = known(**{HERE: BEGUN})
    assert is_ahead(Found(7, HERE.encode(), DONE.encode(), {}), markers)
    assert not is_ahead(Found(7, HERE.encode(), BEGUN.encode(), {}), markers)
    assert is_ahead(Found(7, OTHER.encode(), BEGUN.encode(), {}), markers)
    assert not is_ahead(Found(7, OTHER.encode(), NOTHING.encode(), {}), markers)
    for value in (None, b"?"):
        assert not is_ahead(Found(7, HERE.encode(), value, {}), markers)
