"""What is known of a batch's calls, whatever moment it was cut off at."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.ask.journal import FOLDER, Head, Journal, Results, Tally
from shared.errors import LeaseLost, SpoolError
from shared.spool import Spool

REQUESTS = 8
ENDS = ("answered", "void", "failed", "unknown")


@st.composite
def histories(draw: st.DrawFn) -> list[Head]:
    """Heads as one process writes them: each call is intended, and turns up once, in a later part."""
    under_way: list[int] = []
    waiting = list(range(REQUESTS))
    heads = []
    for _ in range(draw(st.integers(0, 12))):
        ends: dict[str, list[int]] = {end: [] for end in ENDS}
        for request in draw(st.lists(st.sampled_from(under_way), unique=True)) if under_way else []:
            under_way.remove(request)
            end = draw(st.sampled_from(ENDS))
            ends[end].append(request)
            if end != "answered":
                waiting.append(request)
        window = [waiting.pop(0) for _ in range(min(draw(st.integers(0, 3)), len(waiting)))]
        under_way += window
        heads.append(Head.model_validate({**ends, "intended": window}))
    return heads


@given(histories(), st.data())
def test_a_call_is_answered_has_no_effect_is_unknown_or_is_under_way(heads: list[Head], data: st.DataObject) -> None:
    cut = heads[: data.draw(st.integers(0, len(heads)))]
    tally = Tally.of(REQUESTS)
    for head in cut:
        tally.add(head)
    intended = [request for head in cut for request in head.intended]
    harmless = [request for head in cut for request in (*head.void, *head.failed)]
    for request in range(REQUESTS):
        made = intended.count(request) - harmless.count(request)
        known = tally.answered[request] + tally.unknown.count(request) + (request in tally.under_way)
        assert made == known
        assert not (tally.answered[request] and request in tally.under_way)


def journal(folder: Path) -> Journal:
    return Journal(Spool(f"file://{folder}").files, "batch", REQUESTS)


def test_what_was_written_is_there_for_whoever_comes_next(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.write(Head(intended=(0, 1, 2)))
    first.write(Head(answered=(2, 0), void=(1,), intended=(1,), input_tokens=7), [b'{"a": "\xe2\x80\xa8"}\n', b"{}\n"])
    following = journal(tmp_path)
    assert following.tally == first.tally
    assert (bytes(following.tally.answered), following.tally.under_way) == (b"\1\0\1\0\0\0\0\0", {1})
    assert list(Results(Spool(f"file://{tmp_path}").files, "batch")) == [b'{"a": "\xe2\x80\xa8"}\n', b"{}\n"]


def test_of_two_that_begin_alike_one_is_told_so(tmp_path: Path) -> None:
    one, other = journal(tmp_path), journal(tmp_path)
    one.write(Head())
    with pytest.raises(LeaseLost):
        other.write(Head())


@pytest.mark.parametrize("spoilt", [b"", b"no json\n", b'{"answered": [99]}\n', b'{"answered": "x"}\n'])
def test_a_damaged_part_is_named(tmp_path: Path, spoilt: bytes) -> None:
    journal(tmp_path).write(Head())
    (tmp_path / "batch" / FOLDER / "00000000.jsonl").write_bytes(spoilt)
    with pytest.raises(SpoolError, match="00000000"):
        journal(tmp_path)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    made = journal(tmp_path)
    for _ in range(3):
        made.write(Head())
    (tmp_path / "batch" / FOLDER / "00000001.jsonl").unlink()
    with pytest.raises(SpoolError, match="00000001"):
        journal(tmp_path)
