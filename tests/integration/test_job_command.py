"""`submitter run` as a process: it stops cleanly, goes on where it was, runs once only, and says what it does."""

import signal
import stat
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.topics import TopicSettings
from shared.definition import BatchOptions
from shared.spool import Spool
from shared.store import Store
from shared.store.terms import Stated
from tests.integration.job_files import sealed_rows
from tests.integration.job_pipeline import JobPipeline
from tests.rig import samples
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import fill_topic
from tests.rig.postgres import PostgresServer
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

PATIENCE = 180


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path / "provider") as running:
        yield running


@pytest.fixture
def pipeline(broker: LocalBroker, make_topic: MakeTopic, server: ProviderServer, tmp_path: Path) -> JobPipeline:
    made = JobPipeline(broker, server, tmp_path, make_topic("reviews", TopicSettings(partitions=2)))
    del made.source["scan.bounded.mode"]
    return made


def produce(broker: LocalBroker, pipeline: JobPipeline, numbers: range) -> None:
    records = ({"id": number, "review": f"review {number}"} for number in numbers)
    fill_topic(broker.bootstrap, pipeline.source["topic"], records, key=lambda record: str(record["id"]).encode())


def wait_for(pipeline: JobPipeline, records: int, run: Child) -> None:
    def enough() -> bool:
        assert run.running, run.tail()
        return pipeline.submitted() >= records

    wait_until(enough, PATIENCE, lambda: f"{records} records submitted, there are {pipeline.submitted()}; {run.tail()}")


def test_stopped_killed_and_started_again_each_record_is_sent_once(
    broker: LocalBroker, pipeline: JobPipeline, server: ProviderServer, processes: Processes
) -> None:
    system = pipeline.folder / "system"
    system.mkdir()
    pipeline.environ["TMPDIR"] = str(system)
    pipeline.settings.update({"batchline.retention": "30 d", "batchline.create-quarantine": "1 h"})
    produce(broker, pipeline, range(100))
    first = pipeline.start(processes)
    wait_for(pipeline, 100, first)

    assert list((pipeline.folder / "state").rglob("batchline-run-*/flink-table-planner*.jar")) != []

    with Store.open(pipeline.settings["batchline.state-store"]) as store:
        assert store.terms.of(pipeline.name) == Stated(timedelta(days=30), timedelta(hours=1))

    second = pipeline.start(processes)
    assert second.wait(PATIENCE) == 5, second.tail()
    assert "run by another process" in second.tail()

    assert first.terminate(60) == 0, first.tail()
    assert pipeline.runs()[0].outcome == "stopped"

    produce(broker, pipeline, range(100, 150))
    third = pipeline.start(processes)
    wait_for(pipeline, 150, third)
    assert "continues from checkpoint" in third.tail()
    third.kill()

    pipeline.model["system-prompt"] = "Be brief."
    produce(broker, pipeline, range(150, 180))
    fourth = pipeline.start(processes)
    wait_for(pipeline, 180, fourth)
    assert "starts without Flink state: the definition has changed" in fourth.tail()
    assert fourth.terminate(60) == 0, fourth.tail()

    rows = Counter(row["row"]["id"] for row in sealed_rows(pipeline.spool / pipeline.name / "answers" / "sealed"))
    assert set(rows) == set(range(180))
    assert sum(batch.records for batch in pipeline.batches()) == 180
    open_to_others = [path for path in pipeline.spool.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []
    assert list(system.iterdir()) == []
    assert list((pipeline.folder / "state").rglob("batchline-run-*/")) == []
    assert set(server.witness().bodies().values()) == {1}
    assert sum(server.witness().custom_ids().values()) == 180


def test_what_is_to_be_told_of_a_plan_is_in_the_command_s_log_or_in_flink_s(
    broker: LocalBroker, pipeline: JobPipeline, processes: Processes
) -> None:
    """A file that an earlier run has left is planned by the command, and what is sealed by this one beside Flink."""
    stated = samples.definition(
        pipeline=pipeline.name, statement="others", batch=BatchOptions(size=3, context_window=10)
    )
    rows = [samples.sealed_line(number, "a review", None) for number in range(3)]
    left = samples.seal(Spool(pipeline.spool.as_uri()).files, stated, rows)
    with Store.open(pipeline.settings["batchline.state-store"]) as store:
        store.lineage.put_definition(stated)
    pipeline.model.update({"batch.size": "3", "max-tokens": "100"})
    produce(broker, pipeline, range(20))
    run = pipeline.start(processes)
    wait_for(pipeline, 20, run)
    assert run.terminate(60) == 0, run.tail()
    assert f" warning packs.lowered file={left.address} requests=3 size=3 " in run.log.read_text()
    log = (pipeline.spool / pipeline.name / "log" / "flink.log").read_text()
    assert f" warning packs.lowered file={pipeline.name}/answers/sealed/" in log


def test_a_stop_while_the_store_is_away_is_a_clean_one(
    pipeline: JobPipeline, postgres: PostgresServer, processes: Processes
) -> None:
    pipeline.environ["STORE"] = url = postgres.url(postgres.create_database())
    pipeline.settings["batchline.state-store"] = "${STORE}"
    run = pipeline.start(processes)
    wait_until(lambda: "records staged" in run.tail() or not run.running, PATIENCE, run.tail)
    postgres.stop()
    try:
        wait_until(lambda: "waiting: the state store" in run.tail() or not run.running, PATIENCE, run.tail)
        run.signal(signal.SIGTERM)
        assert run.wait(PATIENCE) == 0, run.tail()
    finally:
        postgres.start()
    assert "stopped; everything sealed is durable" in run.tail()
    with Store.open(url) as store:
        assert [each.outcome for each in store.lineage.runs(pipeline.name)] == [None]


def test_what_is_wrong_is_said_before_anything_starts(pipeline: JobPipeline, processes: Processes) -> None:
    pipeline.model["max-token"] = "3"
    pipeline.model["temperature"] = "hot"
    run = pipeline.start(processes)
    assert run.wait(PATIENCE) == 2
    said = run.tail()
    assert "max-token" in said
    assert "temperature" in said
    assert "Traceback" not in said
    assert not (pipeline.folder / "state.db").exists()


def test_help_tells_the_exit_codes(processes: Processes) -> None:
    helped = processes.command("submitter", "run", "--help")
    assert helped.wait(30) == 0
    assert "5  the pipeline is already being run" in helped.tail(60)
