"""The journal of a batch that is asked record by record, in a folder and in an object store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from poller.ask.journal import Head, Journal, Results
from shared.errors import LeaseLost
from shared.spool import Files, open_files
from tests.rig.objects import ObjectStore

PARTS = 20
"""More than are read at once."""


@pytest.fixture(params=["folder", "store"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Files]:
    """Opens the files below one new address, each time as a process of its own does."""
    address = tmp_path.as_uri()
    if request.param == "store":
        store: ObjectStore = request.getfixturevalue("object_store")
        address = f"s3://{store.bucket()}/some/prefix"
    return lambda: open_files(address)


def test_what_was_written_is_there_for_the_next_process_in_its_order(opened: Callable[[], Files]) -> None:
    first = Journal(opened(), "batch", PARTS)
    for number in range(PARTS):
        first.write(Head(intended=(number,)))
        first.write(Head(answered=(number,), output_tokens=1), [b"%d\n" % number])
    following = Journal(opened(), "batch", PARTS)
    assert following.tally == first.tally
    assert (sum(following.tally.answered), following.tally.output_tokens) == (PARTS, PARTS)
    assert list(Results(opened(), "batch")) == [b"%d\n" % number for number in range(PARTS)]


def test_of_two_processes_one_is_told_that_it_was_overtaken(opened: Callable[[], Files]) -> None:
    one, other = Journal(opened(), "batch", PARTS), Journal(opened(), "batch", PARTS)
    one.write(Head(intended=(1,)))
    with pytest.raises(LeaseLost):
        other.write(Head(intended=(1,)))
    one.write(Head(answered=(1,)))
    assert Journal(opened(), "batch", PARTS).tally.under_way == set()


def test_answers_that_nobody_saw_are_counted_as_often_as_the_results_are_read(opened: Callable[[], Files]) -> None:
    journal = Journal(opened(), "batch", PARTS)
    journal.write(Head(intended=(1, 2)))
    journal.write(Head(unknown=(1, 2), intended=(1, 2)))
    journal.write(Head(answered=(2,), unknown=(1,), intended=(1,)), [b"two\n"])
    journal.write(Head(answered=(1,)), [b"one\n"])
    results = Results(opened(), "batch")
    for _ in range(2):
        assert (list(results), results.unknown_calls) == ([b"two\n", b"one\n"], 3)
