"""The real command, as separate processes, over a real broker and the fake provider: run, once, status."""

import json
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider.server import ProviderServer
from shared.lifecycle import State
from shared.store import Store
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import read_topic
from tests.rig.postgres import PostgresServer
from tests.rig.processes import Processes
from tests.rig.results import SINK_TOPIC, requests_of, sink
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

PROCESSING_SECONDS = 0.3
HEALTHY, WRONG, ATTENTION, AWAY = 0, 2, 3, 4
Started = Callable[..., Child]


@pytest.fixture
def stage(server: ProviderServer, tmp_path: Path, broker: LocalBroker, make_topic: MakeTopic) -> Iterator[Stage]:
    server.clear_faults()
    made = Stage(server, tmp_path, sink=sink(broker, make_topic("results", SINK_TOPIC)))
    yield made
    made.close()


@pytest.fixture
def poller(
    stage: Stage, broker: LocalBroker, processes: Processes, topic_name: Callable[[str], str], tmp_path: Path
) -> Started:
    environ = {
        **ENVIRON,
        "BATCHLINE_STATE_STORE": stage.store_url,
        "BATCHLINE_BOOTSTRAP_SERVERS": broker.bootstrap,
        "BATCHLINE_BATCHES_TOPIC": topic_name("batches"),
        "BATCHLINE_PROGRESS_TOPIC": topic_name("progress"),
        "BATCHLINE_SPOOL": stage.spool_url,
        "BATCHLINE_POLL_INTERVAL": "0.2",
        "BATCHLINE_POLL_MAX_INTERVAL": "0.5",
        "BATCHLINE_SHARDS": "2",
    }
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def start(*arguments: str, **more: str) -> Child:
        return processes.command("poller", *arguments, env={**environ, **more}, cwd=elsewhere)

    return start


def out(stage: Stage, broker: LocalBroker, at_least: int) -> dict[str, int]:
    return requests_of(read_topic(broker.bootstrap, stage.definition().sink.topic, at_least=at_least))


def status(poller: Started) -> dict[str, Any]:
    ended = poller("status", "--json")
    assert ended.wait(30) == HEALTHY
    return dict(json.loads(ended.log.read_text()))


def test_the_daemon_brings_planned_batches_to_the_sink_and_stops_cleanly(
    stage: Stage, broker: LocalBroker, poller: Started
) -> None:
    keys = [stage.plan(records=4) for _ in range(3)]
    daemon = poller("run")
    wait_until(lambda: all(stage.batch(key).state is State.PUBLISHED for key in keys), 60)
    assert out(stage, broker, 12) == {f"{key}-{request}": 1 for key in keys for request in range(4)}
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(10) == HEALTHY
    told = status(poller)
    assert told["schema_version"] == 1
    assert told["healthy"]
    assert told["batches"] == []
    (pipeline,) = told["pipelines"]
    assert (pipeline["records"], pipeline["succeeded"], pipeline["in_flight"]) == (12, 12, 0)
    log = daemon.log.read_text()
    assert "key-of-openai" not in log
    assert "batch.published" in log


def test_once_in_a_loop_brings_batches_to_the_sink(stage: Stage, broker: LocalBroker, poller: Started) -> None:
    keys = [stage.plan(records=4) for _ in range(2)]

    def is_done() -> bool:
        assert poller("once").wait(60) == HEALTHY
        return all(stage.batch(key).state is State.PUBLISHED for key in keys)

    wait_until(is_done, 120)
    assert out(stage, broker, 8) == {f"{key}-{request}": 1 for key in keys for request in range(4)}


def test_once_asks_record_by_record_what_goes_that_way(stage: Stage, broker: LocalBroker, poller: Started) -> None:
    stage.batch_options = {"mode": "sync"}
    key, creates = stage.plan(records=4), len(stage.server.witness().creates())
    assert poller("once").wait(60) == HEALTHY
    assert stage.batch(key).state is State.PUBLISHED
    assert out(stage, broker, 4) == {f"{key}-{request}": 1 for request in range(4)}
    assert len(stage.server.witness().creates()) == creates


def test_row_16_overlapping_passes_create_and_publish_once(stage: Stage, broker: LocalBroker, poller: Started) -> None:
    keys = [stage.plan(records=4) for _ in range(4)]
    before = len(stage.server.witness().creates("openai"))

    def is_done() -> bool:
        passes = [poller("once") for _ in range(3)]
        assert {each.wait(60) for each in passes} == {HEALTHY}
        return all(stage.batch(key).state is State.PUBLISHED for key in keys)

    wait_until(is_done, 180)
    assert len(stage.server.witness().creates("openai")) - before == len(keys)
    assert out(stage, broker, 16) == {f"{key}-{request}": 1 for key in keys for request in range(4)}


def test_once_says_when_something_needs_attention(stage: Stage, poller: Started) -> None:
    key = stage.plan()
    assert poller("once", OPENAI_API_KEY="invalid-key").wait(60) in (ATTENTION, AWAY)
    told = status(poller)
    assert not told["healthy"]
    assert [account["account"] for account in told["accounts"]] == [stage.batch(key).account]
    assert told["batches"][0]["state"] == State.HELD
    assert "invalid-key" not in json.dumps(told)
    table = poller("status")
    assert table.wait(30) == HEALTHY
    assert "account-paused" in table.log.read_text()


def test_once_says_when_a_dependency_is_away_and_does_the_rest(stage: Stage, poller: Started) -> None:
    key = stage.plan()
    assert poller("once", BATCHLINE_BOOTSTRAP_SERVERS="127.0.0.1:1").wait(60) == AWAY
    assert stage.batch(key).state not in (State.SEALED, State.HELD), "the provider was there"
    (away,) = status(poller)["dependencies"]
    assert "127.0.0.1:1" in away["message"]
    assert poller("once").wait(60) == HEALTHY
    assert status(poller)["dependencies"] == []


def test_a_store_that_is_away_ends_once_with_4_and_is_waited_for_by_run(poller: Started) -> None:
    nowhere = "postgresql+psycopg://nobody:hidden-word@127.0.0.1:1/nothing"
    ended = poller("once", BATCHLINE_STATE_STORE=nowhere)
    assert ended.wait(60) == AWAY
    daemon = poller("run", BATCHLINE_STATE_STORE=nowhere)
    wait_until(lambda: daemon.log.read_text().count("dependency.away") >= 2, 30)
    daemon.signal(signal.SIGINT)
    assert daemon.wait(10) == HEALTHY
    assert "hidden-word" not in daemon.log.read_text() + ended.log.read_text()


def test_a_spool_that_is_away_ends_a_rebuild_with_4_and_nothing_is_written(poller: Started, tmp_path: Path) -> None:
    store, spool = f"sqlite:///{tmp_path}/lost.db", f"file://{tmp_path}/away"
    for _ in range(2):
        ended = poller("rebuild", BATCHLINE_STATE_STORE=store, BATCHLINE_SPOOL=spool)
        assert ended.wait(60) == AWAY, ended.tail()
        assert f"the spool {spool} is not there; mount it" in ended.tail()
    with Store.open(store) as empty:
        empty.rebuilds.refuse_filled()


def test_a_topic_that_forgets_is_an_error(poller: Started, make_topic: MakeTopic) -> None:
    forgetful = make_topic("forgetful")
    for command in ("run", "once"):
        ended = poller(command, BATCHLINE_BATCHES_TOPIC=forgetful)
        assert ended.wait(30) == WRONG
        assert "cleanup.policy=delete" in ended.log.read_text()


def test_row_21_the_daemon_outlives_its_broker(
    server: ProviderServer, tmp_path: Path, own_broker: LocalBroker, processes: Processes
) -> None:
    own_broker.create_topics({"results": SINK_TOPIC})
    stage = Stage(server, tmp_path, sink=sink(own_broker, "results"))
    first = stage.plan()
    environ = {
        **ENVIRON,
        "BATCHLINE_STATE_STORE": stage.store_url,
        "BATCHLINE_BOOTSTRAP_SERVERS": own_broker.bootstrap,
        "BATCHLINE_SPOOL": stage.spool_url,
        "BATCHLINE_POLL_INTERVAL": "0.2",
        "BATCHLINE_SHARDS": "1",
    }
    daemon = processes.command("poller", "run", env=environ)
    wait_until(lambda: stage.batch(first).state is State.PUBLISHED, 60)
    own_broker.kill()
    second = stage.plan()
    wait_until(lambda: stage.batch(second).state is State.COLLECTED, 60)
    wait_until(lambda: stage.store.health.all(stage.clock() - timedelta(minutes=1)), 60)
    assert daemon.running
    own_broker.restart()
    wait_until(lambda: stage.batch(second).state is State.PUBLISHED, 120)
    assert out(stage, own_broker, 6) == {f"{key}-{request}": 1 for key in (first, second) for request in range(3)}
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(15) == HEALTHY
    stage.close()


def test_row_22_the_daemon_outlives_its_store(
    server: ProviderServer,
    tmp_path: Path,
    broker: LocalBroker,
    make_topic: MakeTopic,
    postgres: PostgresServer,
    postgres_url: str,
    processes: Processes,
) -> None:
    stage = Stage(server, tmp_path, sink=sink(broker, make_topic("results", SINK_TOPIC)), state_store=postgres_url)
    first = stage.plan()
    environ = {
        **ENVIRON,
        "BATCHLINE_STATE_STORE": postgres_url,
        "BATCHLINE_BOOTSTRAP_SERVERS": broker.bootstrap,
        "BATCHLINE_SPOOL": stage.spool_url,
        "BATCHLINE_POLL_INTERVAL": "0.2",
        "BATCHLINE_SHARDS": "1",
    }
    daemon = processes.command("poller", "run", env=environ)
    wait_until(lambda: stage.batch(first).state is State.PUBLISHED, 60)
    second = stage.plan()
    postgres.stop()
    try:
        wait_until(lambda: "dependency=store" in daemon.log.read_text(), 60)
        assert daemon.running
    finally:
        postgres.start()
    wait_until(lambda: stage.batch(second).state is State.PUBLISHED, 120)
    assert out(stage, broker, 6) == {f"{key}-{request}": 1 for key in (first, second) for request in range(3)}
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(15) == HEALTHY
    password = make_url(postgres_url).password
    assert password
    assert password not in daemon.log.read_text()
    stage.close()
