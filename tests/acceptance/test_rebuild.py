"""The state store lost, with the real commands: killed, rebuilt, started again; nothing is lost, paid or out twice."""

from pathlib import Path

from tests.acceptance.again import PATIENCE
from tests.acceptance.conftest import MakeRoad
from tests.acceptance.road import Road


def lose(road: Road) -> None:
    """Delete the store, and rebuild it."""
    for path in Path(road.folder).glob("state.db*"):
        path.unlink()
    rebuilt = road.poller("rebuild")
    assert rebuilt.wait(60) == 0, rebuilt.tail()
    again = road.poller("rebuild")
    assert (again.wait(60), "not empty" in again.tail()) == (2, True)


def test_after_a_rebuild_the_pipeline_goes_on_and_pays_for_nothing_twice(make_road: MakeRoad) -> None:
    road: Road = make_road(bounded=False)
    sql = road.write(road.model(**{"batch.max-age": "1 s"}), road.insert())
    submitter, poller = road.submitter(sql), road.poller()
    road.produce([f"first review {number}" for number in range(150)])
    road.wait_for(60, deadline=PATIENCE)
    submitter.kill()
    poller.kill()
    lose(road)
    road.produce([f"second review {number}" for number in range(50)])
    submitter, poller = road.submitter(sql), road.poller()
    road.wait_for(len(road.produced), deadline=PATIENCE)
    assert submitter.terminate() == 0, submitter.tail()
    assert poller.terminate() == 0, poller.tail()
    assert "continues from checkpoint" in submitter.log.read_text()
    lose(road)
    road.produce([f"third review {number}" for number in range(50)])
    submitter, poller = road.submitter(sql, "--fresh"), road.poller()
    road.wait_for(len(road.produced), deadline=PATIENCE)
    assert submitter.terminate() == 0, submitter.tail()
    assert poller.terminate() == 0, poller.tail()
    road.check()
