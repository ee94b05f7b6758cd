"""The decision on a batch's results is made once."""

from pathlib import Path

import pytest

from poller.collect.decision import Decision, decide, read_decision
from shared.errors import SpoolError
from shared.spool import DECISION, open_files

ONE, OTHER = (Decision(results=digit * 32, refused=False, children=("key-0a",)) for digit in "12")


def test_the_first_decision_stands(tmp_path: Path) -> None:
    files = open_files(tmp_path.as_uri())
    assert read_decision(files, "batch") is None
    assert decide(files, "batch", ONE) == ONE
    assert decide(files, "batch", OTHER) == ONE
    assert read_decision(files, "batch") == ONE


@pytest.mark.parametrize("text", ["", "{", '{"results": "../../elsewhere", "refused": false}'])
def test_a_damaged_decision_is_no_decision_to_make_anew(tmp_path: Path, text: str) -> None:
    files = open_files(tmp_path.as_uri())
    (files.work("batch") / DECISION).write_text(text)
    with pytest.raises(SpoolError, match="can't be read"):
        decide(files, "batch", ONE)
