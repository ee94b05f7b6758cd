"""SIGKILL of a publishing process, at the points where it hurts: every record comes out exactly once all the same."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from shared.lifecycle import State
from tests.rig.fixtures import MakeTopic
from tests.rig.processes import Processes
from tests.rig.results import SINK_TOPIC, Back, requests_of, sink
from tests.rig.stage import Stage

RECORDS = 230
POINTS = [("produced", 0), ("flushed", 1), ("committed", 0), ("committed", 1), ("flushed", 0)]
KILLED = -signal.SIGKILL


@pytest.fixture
def back(broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Iterator[Back]:
    """One collected batch."""
    topic = make_topic("sentiments", SINK_TOPIC)
    with ProviderServer(tmp_path / "provider", processing_seconds=0.1) as server:
        stage = Stage(server, tmp_path / "stage", sink=sink(broker, topic))
        made = Back(stage, broker, f"progress-{topic}")
        key = stage.submit(RECORDS)
        assert made.collect(key).state is State.COLLECTED
        made.assign(key)
    yield made
    stage.close()


def publish(back: Back, processes: Processes, marker: str, point: str, number: int) -> int:
    """A publishing process, to its end; its exit code."""
    arguments: list[str | Path] = [back.stage.folder, back.progress, marker, point, str(number)]
    return processes.start("publishing", [sys.executable, "-m", "tests.rig.publishing", *arguments]).wait(90)


def outputs(back: Back) -> dict[str, int]:
    return dict(requests_of(back.outputs(at_least=RECORDS)))


def test_every_record_comes_out_once_wherever_the_publisher_dies(back: Back, processes: Processes) -> None:
    (batch,) = back.stage.store.batches.rows()
    for point, number in POINTS:
        assert publish(back, processes, "kafka", point, number) == KILLED, f"it did not reach {point} {number}"
        assert back.stage.batch(batch.batch_key).state is State.COLLECTED
    assert publish(back, processes, "kafka", "never", 0) == 0
    published = back.stage.batch(batch.batch_key)
    assert (published.state, published.succeeded, published.failed) == (State.PUBLISHED, RECORDS, 0)
    assert outputs(back) == {f"{batch.batch_key}-{number}": 1 for number in range(RECORDS)}


def test_progress_in_sql_alone_repeats_records(back: Back, processes: Processes) -> None:
    """The negative control: the same death, with the progress outside of the transaction."""
    assert publish(back, processes, "sql", "committed", 0) == KILLED
    assert publish(back, processes, "sql", "never", 0) == 0
    counted = outputs(back)
    assert len(counted) == RECORDS
    assert max(counted.values()) > 1, "the weaker way has become safe: this test has lost its control"


def test_death_after_the_last_commit_only_leaves_the_store_to_be_moved(back: Back, processes: Processes) -> None:
    (batch,) = back.stage.store.batches.rows()
    last = RECORDS // 50
    assert publish(back, processes, "kafka", "committed", last) == KILLED
    assert back.stage.batch(batch.batch_key).state is State.COLLECTED
    assert len(outputs(back)) == RECORDS
    assert publish(back, processes, "kafka", "never", 0) == 0
    assert back.stage.batch(batch.batch_key).succeeded == RECORDS
    assert set(outputs(back).values()) == {1}
