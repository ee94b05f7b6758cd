"""The promise, with the real commands: every record out exactly once, none paid for twice, whoever dies."""

import signal

import pytest

from tests.acceptance.conftest import MakeRoad
from tests.acceptance.road import START_SECONDS, Road
from tests.rig.waiting import wait_until

HARD = [
    "quotes \" and \\ and '",
    "two\nlines\r\nand a tab\t",
    "emoji 🎬👩‍👩‍👧 and ünïcödé",
    "separators \u2028 and \u2029 and \u0085 here",
    "null \u0000 byte",
    "<script>alert(1)</script> {{ 7 * 7 }} =1+1",
]


# The chaos tests have every provider on every database.
@pytest.mark.parametrize(("provider", "database"), [("openai", "sqlite"), ("anthropic", "postgresql")])
def test_every_record_comes_out_once_with_its_own_answer(
    make_road: MakeRoad, request: pytest.FixtureRequest, provider: str, database: str
) -> None:
    store = request.getfixturevalue("postgres_url") if database == "postgresql" else ""
    road: Road = make_road(provider=provider, store=store)
    road.produce([*(f"review {number}" for number in range(100)), *HARD, "", None, "x" * 30_000])
    large = len(road.produced) - 1
    sql = road.write(road.model(**{"batch.max-age": "2 s", "batch.max-bytes": "20 kb"}), road.insert())
    submitter, poller = road.submitter(sql), road.poller()
    assert submitter.wait(START_SECONDS) == 0, submitter.tail()
    road.wait_for(len(road.produced))
    assert poller.terminate() == 0
    road.check(failed={large - 2: "empty-input", large - 1: "null-input", large: "too-large"})
    assert road.secrets() == []


def test_cron_s_once_in_a_loop_is_a_poller_too(make_road: MakeRoad) -> None:
    road: Road = make_road()
    road.produce([f"review {number}" for number in range(100)])
    submitter = road.submitter(road.write())
    assert submitter.wait(START_SECONDS) == 0, submitter.tail()

    def passes() -> bool:
        overlapping = [road.poller("once") for _ in range(2)]
        codes = {child.wait(60) for child in overlapping}
        assert codes <= {0, 3}, [child.tail() for child in overlapping]
        return len(road.outputs()) >= len(road.produced)

    wait_until(passes, START_SECONDS, "cron to publish everything")
    road.check()


def test_two_pollers_share_the_work(make_road: MakeRoad) -> None:
    road: Road = make_road()
    road.produce([f"review {number}" for number in range(400)])
    pollers = [road.poller(), road.poller()]
    submitter = road.submitter(road.write())
    assert submitter.wait(START_SECONDS) == 0, submitter.tail()
    road.wait_for(len(road.produced))
    assert [poller.terminate() for poller in pollers] == [0, 0]
    road.check()


def test_killing_both_stages_at_will_changes_nothing(make_road: MakeRoad) -> None:
    """SIGKILL in the middle: the submitter after some batches, the poller after some outputs; then both again."""
    road: Road = make_road(bounded=False)
    sql = road.write(road.model(**{"batch.max-age": "1 s"}), road.insert())
    submitter, poller = road.submitter(sql), road.poller()
    for wave in range(3):
        road.produce([f"wave {wave} review {number}" for number in range(150)])
        road.wait_for(wave * 150 + 20)
        submitter.kill()
        poller.kill()
        submitter, poller = road.submitter(sql), road.poller()
    # One wave more, so that the last ones to be started have worked before they are asked to stop.
    road.produce([f"last wave review {number}" for number in range(50)])
    road.wait_for(len(road.produced))
    submitter.signal(signal.SIGTERM)
    assert submitter.wait(60) == 0, submitter.tail()
    assert poller.terminate() == 0
    road.check()


def test_a_bounded_job_that_is_killed_near_its_end_ends_when_it_is_started_again(make_road: MakeRoad) -> None:
    road: Road = make_road()
    road.produce([f"review {number}" for number in range(100)])
    sql = road.write()
    poller = road.poller()
    submitter = road.submitter(sql)
    # The last files are committed, and the checkpoint that follows may be or not be there.
    wait_until(lambda: road.server.witness().creates() or not submitter.running, START_SECONDS, "the first create")
    submitter.kill()
    again = road.submitter(sql)
    assert again.wait(START_SECONDS) == 0, again.tail()
    road.wait_for(len(road.produced))
    assert poller.terminate() == 0
    road.check()
