"""`submitter run`, stopped while it still begins: whatever it waits for just then, the stop is a clean one."""

import fcntl
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.topics import TopicSettings
from shared.spool import Spool
from shared.store import Store
from tests.integration.flink_cluster import FlinkCluster
from tests.integration.job_pipeline import JobPipeline
from tests.rig import samples
from tests.rig.fixtures import MakeTopic
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

PATIENCE = 180
SOON = 60
"""Seconds from the signal to the end: the longest single look at what is away, and some, on a busy machine."""


@pytest.fixture
def pipeline(broker: LocalBroker, make_topic: MakeTopic, server: ProviderServer, tmp_path: Path) -> JobPipeline:
    return JobPipeline(broker, server, tmp_path, make_topic("reviews", TopicSettings(partitions=2)))


@contextmanager
def deaf() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A port that takes every connection and never answers; and whether anybody has come to it."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        listener.setblocking(False)
        kept: list[socket.socket] = []

        def is_called() -> bool:
            try:
                while True:
                    kept.append(listener.accept()[0])
            except BlockingIOError:
                return bool(kept)

        yield listener.getsockname()[1], is_called
        for each in kept:
            each.close()


def stop_once(run: Child, is_waiting: Callable[[], bool], stop: Callable[[], None] | None = None) -> str:
    """Stop the run when it waits, by SIGTERM unless told otherwise; what it has said."""

    def waits() -> bool:
        assert run.running, run.tail()
        return is_waiting()

    wait_until(waits, PATIENCE, lambda: f"the run to wait; {run.tail()}", interval=0.1)
    (stop or partial(run.signal, signal.SIGTERM))()
    assert run.wait(SOON) == 0, run.tail()
    said = run.log.read_text()
    assert "Traceback" not in said
    return said


def test_while_the_jvm_of_an_earlier_run_still_dies(pipeline: JobPipeline, processes: Processes) -> None:
    with (Spool(pipeline.spool.as_uri()).files.home(pipeline.name) / "run.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        run = pipeline.start(processes)
        said = stop_once(run, lambda: "waits for the Java process of an earlier run" in run.log.read_text())
    assert "stopped before anything was started" in said
    assert pipeline.runs() == []


def test_while_kafka_does_not_answer(pipeline: JobPipeline, processes: Processes) -> None:
    with deaf() as (port, is_called):
        pipeline.source["properties.bootstrap.servers"] = f"127.0.0.1:{port}"
        said = stop_once(pipeline.start(processes), is_called)
    assert "stopped before anything was started" in said
    assert not (pipeline.folder / "state.db").exists()


def test_while_it_plans_what_earlier_runs_have_sealed(pipeline: JobPipeline, processes: Processes) -> None:
    """Hundreds of files, of which none but the one that it is at is finished first."""
    files = 300
    stated = samples.definition(pipeline=pipeline.name, statement="answers")
    with Store.open(pipeline.settings["batchline.state-store"]) as store:
        store.lineage.put_definition(stated)
        spool = Spool(pipeline.spool.as_uri())
        sealed = [
            samples.seal(spool.files, stated, [samples.sealed_line(n, "a review", [0, 0, n])], f"part-{n:04}-0")
            for n in range(files)
        ]

        def planned() -> int:
            return sum(store.plans.is_planned(file.address) for file in sealed)

        said = stop_once(pipeline.start(processes), lambda: planned() > 0)
        assert "stopped before anything was started" in said
        assert 0 < planned() < files
        assert store.lineage.runs(pipeline.name) == []


def test_while_flink_run_hands_the_job_to_a_cluster(pipeline: JobPipeline, processes: Processes) -> None:
    """The signal reaches all of a terminal's processes, as Ctrl-C does. The cluster does not keep the job."""
    pipeline.settings["batchline.shared-spool"] = "true"
    cluster = FlinkCluster(processes, pipeline.folder / "flink", pipeline.environ)
    cluster.start(0)
    run = pipeline.start(processes, *cluster.flags())
    stop_once(run, lambda: is_handing_over(run), lambda: os.killpg(run.pid, signal.SIGINT))
    assert set(cluster.jobs()) <= {"CANCELED"}
    assert [each.outcome for each in pipeline.runs()] == ["stopped"]


def is_handing_over(run: Child) -> bool:
    """Whether `flink run` is at work beneath it."""
    with suppress(psutil.Error):  # one that has just ended
        below = psutil.Process(run.pid).children(recursive=True)
        return any("org.apache.flink.client.cli.CliFrontend" in " ".join(each.cmdline()) for each in below)
    return False
