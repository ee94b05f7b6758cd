"""Markers of the progress topic that others wrote: none leaves records out, or brings them out twice."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.publish.markers import ForeignMarker, Markers, check_marker
from shared.keys import batch_key
from shared.manifest import Fate, Manifest
from shared.messages import ProgressMarker
from tests.rig import samples

KEY = batch_key("pipe", "sentiments", "file", 0)
START = ProgressMarker(next=0, succeeded=0, failed=0)
HALF = ProgressMarker(next=5, succeeded=3, failed=2)
DONE = ProgressMarker(next=10, succeeded=7, failed=3, done=True)


def taken(*values: bytes | None, key: str = KEY) -> Markers:
    markers = Markers()
    for value in values:
        markers.take(key.encode(), value)
    return markers


def test_the_newest_is_the_truth_and_a_tombstone_forgets() -> None:
    assert taken().of(KEY) == START
    assert taken(START.encode(), HALF.encode()).of(KEY) == HALF
    assert taken(HALF.encode(), DONE.encode()).of(KEY) == DONE
    assert taken(DONE.encode(), None).of(KEY) == START


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"no json",
        b"[]",
        b'{"version":1,"next":-1,"succeeded":0,"failed":0}',
        b'{"version":1,"next":"many","succeeded":0,"failed":0}',
        b'{"version":2,"next":1,"succeeded":1,"failed":0}',
        b'{"version":1,"next":1e999,"succeeded":0,"failed":0}',
        b'{"version":1,"next":1,"succeeded":1,"failed":0}' + b" " * 1_000_000,
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_marker_changes_none_and_hides_none(junk: bytes) -> None:
    assert taken(HALF.encode(), junk).of(KEY) == HALF
    assert taken(junk, HALF.encode()).of(KEY) == HALF
    with pytest.raises(ForeignMarker, match="can't be read"):
        # Where compaction has left nothing else, the batch's own marker may have stood before it.
        taken(junk).of(KEY)
    assert taken(junk, None).of(KEY) == START


def test_a_marker_that_goes_back_is_not_believed() -> None:
    for older in (START, ProgressMarker(next=6, succeeded=2, failed=2), ProgressMarker(next=4, succeeded=3, failed=2)):
        assert taken(HALF.encode(), older.encode()).of(KEY) == HALF
    assert taken(DONE.encode(), DONE.model_copy(update={"done": False}).encode()).of(KEY) == DONE


@given(key=st.none() | st.binary(max_size=40) | st.text(max_size=40), value=st.none() | st.binary(max_size=80))
def test_no_message_of_others_breaks_the_reader_or_is_kept(key: bytes | str | None, value: bytes | None) -> None:
    markers = Markers()
    markers.take(key, value)
    markers.take(key, DONE.encode())
    assert not markers
    assert markers.of(KEY) == START


def manifest(*runs: tuple[int, Fate]) -> Manifest:
    own = sum(count for count, fate in runs if fate != "elsewhere")
    return Manifest(
        batch_key=KEY,
        pipeline="pipe",
        statement="sentiments",
        generation=0,
        definition=samples.definition(),
        sealed_file="pipe/sentiments/sealed/file",
        sealed_at=datetime(2026, 6, 1, tzinfo=UTC),
        start=0,
        end=1,
        runs=runs,
        requests=own,
        records=own,
        bytes=1,
        sha256="",
    )


WHOLE = manifest((4, "request"), (2, "elsewhere"), (6, "request"))


@pytest.mark.parametrize(
    ("marker", "carried", "told"),
    [
        (START, 0, 0),
        (ProgressMarker(next=4, succeeded=4, failed=0), 0, 4),
        (ProgressMarker(next=6, succeeded=3, failed=1), 0, 2),
        (ProgressMarker(next=7, succeeded=4, failed=1), 0, 0),
        (ProgressMarker(next=12, succeeded=9, failed=1, done=True), 0, 10),
        (ProgressMarker(next=9, succeeded=5, failed=0), 3, 0),
        (ProgressMarker(next=0, succeeded=0, failed=0, done=True), 10, 0),
    ],
)
def test_what_can_be_is_believed(marker: ProgressMarker, carried: int, told: int) -> None:
    check_marker(marker, WHOLE, carried=carried, told=told)


@pytest.mark.parametrize(
    ("marker", "carried", "told"),
    [
        (ProgressMarker(next=10**18, succeeded=10, failed=0), 0, 0),
        (ProgressMarker(next=10**30, succeeded=10, failed=0, done=True), 1, 0),
        (ProgressMarker(next=12, succeeded=0, failed=0, done=True), 0, 0),
        (ProgressMarker(next=12, succeeded=10**30, failed=0, done=True), 0, 0),
        (ProgressMarker(next=8, succeeded=2, failed=0), 0, 0),
        (ProgressMarker(next=4, succeeded=5, failed=0), 0, 0),
        (ProgressMarker(next=0, succeeded=1, failed=0), 0, 0),
        (START, 0, 1),
    ],
)
def test_what_would_leave_records_out_or_bring_them_twice_is_not(
    marker: ProgressMarker, carried: int, told: int
) -> None:
    with pytest.raises(ForeignMarker, match="not ours"):
        check_marker(marker, WHOLE, carried=carried, told=told)
