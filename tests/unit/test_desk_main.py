"""What the desk says: everything once, then what is new and what is gone; and nothing while nothing changes."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from submitter.desk.main import Teller

snapshots = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.just("event"), max_size=6), min_size=1, max_size=12)


@given(snapshots)
def test_a_listener_that_adds_and_removes_knows_what_the_desk_knows(told: list[dict[str, str]]) -> None:
    teller = Teller()
    heard: dict[str, str] = {}
    for events in told:
        lines = teller.lines("s", events)
        for line in lines:
            said = orjson.loads(line)
            heard = {key: event for key, event in heard.items() if key not in said["gone"]} | said["new"]
        assert heard == events
        assert teller.lines("s", events) == []


def test_an_empty_desk_says_so_once() -> None:
    teller = Teller()
    assert len(teller.lines("s", {})) == 1
    assert teller.lines("s", {}) == []
