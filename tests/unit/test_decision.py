"""The decision on a batch's results is made once."""

from pathlib import Path

import pytest

from poller.decision import DECISION, Decision, decide, read_decision
from shared.errors import SpoolError

ONE, OTHER = (Decision(results=digit * 32, refused=False, children=("key-0a",)) for digit in "12")


def test_the_first_decision_stands(tmp_path: Path) -> None:
    assert read_decision(tmp_path) is None
    assert decide(tmp_path, ONE) == ONE
    assert decide(tmp_path, OTHER) == ONE
    assert read_decision(tmp_path) == ONE


@pytest.mark.parametrize("text", ["", "{", '{"results": "../../elsewhere", "refused": false}'])
def test_a_damaged_decision_is_no_decision_to_make_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / DECISION).write_text(text)
    with pytest.raises(SpoolError, match="can't be read"):
        decide(tmp_path, ONE)
