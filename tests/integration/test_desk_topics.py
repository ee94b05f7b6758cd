"""The desk of `submitter run` watches its topics by itself: the command may be dead, and its job live on a cluster."""

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.topics import TopicSettings
from shared.spool import SealedFile, Spool
from shared.store import Store
from submitter.desk.process import DeskProcess, RunOver
from submitter.job.assembly import errand
from submitter.pipeline.check import check
from tests.integration.job_pipeline import JobPipeline
from tests.rig.recreating import recreate_topic
from tests.rig.samples import seal
from tests.rig.waiting import wait_until

PATIENCE = 60
TOPIC = "reviews"


class Rig:
    """A pipeline as its file says it, and its run; the test is Flink, and seals what stood in the topic."""

    def __init__(self, broker: LocalBroker, server: ProviderServer, folder: Path) -> None:
        self.broker = broker
        broker.create_topics({TOPIC: TopicSettings()})
        pipeline = JobPipeline(broker, server, folder, TOPIC)
        read = check(pipeline.write(), pipeline.environ).pipeline
        (statement,) = read.statements
        self.definition = statement.definition
        self.store, self.spool = Store.open(read.settings.state_store), Spool(read.settings.spool)
        self.store.lineage.claim_name(read.name, str(read.file))
        self.store.lineage.put_definition(self.definition)
        epoch = self.store.lineage.begin(read.name, definition="0" * 16, spool=read.settings.spool)
        self.errand = errand(read, epoch)

    def seal(self, name: str, numbers: range) -> SealedFile:
        """A file of records at these offsets, by the definition of the run, whatever the topic is by now."""
        rows = ({"row": {"id": n, "review": f"{name} {n}"}, "position": [0, 0, n]} for n in numbers)
        return seal(self.spool.files, self.definition, (orjson.dumps(row) + b"\n" for row in rows), name)

    def is_planned(self, file: SealedFile) -> bool:
        return self.store.plans.is_planned(file.address)

    def wait_for(self, file: SealedFile) -> None:
        wait_until(lambda: self.is_planned(file), PATIENCE, f"{file.address} to be planned")


@pytest.fixture
def rig(own_broker: LocalBroker, server: ProviderServer, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(own_broker, server, tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def begin(rig: Rig) -> Iterator[Callable[[], DeskProcess]]:
    """Begins a desk, as an operator that starts."""
    begun: list[DeskProcess] = []

    def one() -> DeskProcess:
        begun.append(DeskProcess(rig.errand))
        return begun[-1]

    yield one
    for desk in begun:
        desk.close()


def said(desk: DeskProcess) -> str | None:
    """Why the job has to fail."""
    try:
        desk.announcements("answers")
    except RunOver as error:
        return str(error)
    return None


def test_records_of_a_topic_that_was_created_again_are_not_taken_for_paid(
    rig: Rig, begin: Callable[[], DeskProcess]
) -> None:
    desk, former = begin(), rig.seal("former", range(10))
    rig.wait_for(former)
    recreate_topic(rig.broker, TOPIC)
    # Sealed at once, so that the desk can't have looked at the topic since.
    later = rig.seal("later", range(15))
    why = wait_until(lambda: said(desk), PATIENCE, "the run's end")
    assert f"topic {TOPIC} was deleted and created again while it was read" in why
    desk.close()
    again = begin()
    assert wait_until(lambda: said(again), PATIENCE, "the end of a job that Flink has begun again") == why
    again.close()
    assert not rig.is_planned(later)
    assert sum(batch.records for batch in rig.store.batches.rows()) == 10


def test_what_is_sealed_waits_until_its_cluster_says_that_the_topic_is_the_same(
    rig: Rig, begin: Callable[[], DeskProcess], caplog: pytest.LogCaptureFixture
) -> None:
    rig.broker.kill()
    desk, file = begin(), rig.seal("part", range(10))
    wait_until(lambda: "and what is sealed waits" in caplog.text, PATIENCE, "the desk to say that it waits")
    wait_until(lambda: desk.announcements("answers") == {}, PATIENCE, "the desk to have looked at its files")
    assert not rig.is_planned(file)
    rig.broker.restart()
    rig.wait_for(file)
    assert said(desk) is None
