"""Which messages that nobody sees ended were aborted: pure decisions on the markers."""

import pytest

from poller.publish.doubts import Doubts, Found, Undecided
from poller.publish.markers import ForeignMarker, Markers
from poller.publish.messages import Outgoing
from shared.messages import Header, ProgressMarker

HERE, OTHER = "a" * 26 + "-0", "b" * 26 + "-0"
BEGUN = ProgressMarker(next=1, succeeded=1, failed=0)
DONE = ProgressMarker(next=2, succeeded=2, failed=0, done=True)


def outgoing(number: int) -> Outgoing:
    return number, True, "sink", b"k", b"v", [(Header.BATCH, HERE.encode()), (Header.REQUEST, f"{HERE}-{number}")], None


def found(batch: str, number: int) -> Found:
    return Found(7, b"k", b"v", {Header.BATCH: batch.encode(), Header.REQUEST: f"{batch}-{number}".encode()})


def doubts(markers: dict[str, ProgressMarker], coming: tuple[int, ...] = ()) -> Doubts:
    known = Markers()
    known.update(markers)
    return Doubts(known, HERE, map(outgoing, coming))


def test_of_a_batch_that_has_nothing_out_all_was_aborted() -> None:
    assert doubts({}).was_aborted(found(HERE, 0))
    assert doubts({HERE: BEGUN}).was_aborted(found(OTHER, 0))


def test_of_a_batch_that_is_out_all_was_committed() -> None:
    assert not doubts({HERE: DONE}).was_aborted(found(HERE, 0))
    assert not doubts({OTHER: DONE}).was_aborted(found(OTHER, 0))


def test_of_the_batch_at_hand_what_is_to_come_was_aborted() -> None:
    judge = doubts({HERE: BEGUN}, coming=(1,))
    assert judge.was_aborted(found(HERE, 1))
    assert not judge.was_aborted(found(HERE, 0))


def test_nobody_knows_of_another_batch_that_is_partly_out() -> None:
    with pytest.raises(Undecided, match=OTHER):
        doubts({OTHER: BEGUN}, coming=(0,)).was_aborted(found(OTHER, 0))


def test_what_no_poller_wrote_is_nobody_s() -> None:
    assert not doubts({}).was_aborted(Found(7, b"k", b"v", {}))


def test_of_a_batch_whose_marker_can_t_be_read_nothing_is_believed() -> None:
    known = Markers()
    known.take(OTHER.encode(), b"?")
    with pytest.raises(ForeignMarker):
        Doubts(known, HERE, ()).was_aborted(found(OTHER, 0))


def test_a_marker_beyond_the_committed_one_was_aborted() -> None:
    judge = doubts({HERE: BEGUN})
    assert judge.is_ahead(Found(7, HERE.encode(), DONE.encode(), {}))
    assert not judge.is_ahead(Found(7, HERE.encode(), BEGUN.encode(), {}))
    assert judge.is_ahead(Found(7, OTHER.encode(), BEGUN.encode(), {}))
    for value in (None, b"?"):
        assert not judge.is_ahead(Found(7, HERE.encode(), value, {}))
