"""The poller's duties over a spool in an object store: collect, carry, publish, delete, and nothing else."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.upkeep.janitor import Janitor
from shared.lease import Keeper, this_process
from shared.lifecycle import Event, State
from shared.spool import MANIFEST, REQUESTS, RESULTS
from tests.rig.fixtures import MakeTopic
from tests.rig.objects import ObjectStore
from tests.rig.results import SINK_TOPIC, Back, requests_of, sink
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

RECORDS = 6
WEEK = timedelta(days=7)


@pytest.fixture
def back(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, object_store: ObjectStore, tmp_path: Path
) -> Iterator[Back]:
    topic = make_topic("sentiments", SINK_TOPIC)
    address = f"s3://{object_store.bucket()}/spool"
    stage = Stage(server, tmp_path, sink=sink(broker, topic), spool_address=address)
    yield Back(stage, broker, f"progress-{topic}")
    stage.close()


def janitor(stage: Stage) -> Janitor:
    keeper = Keeper(stage.store, this_process())
    return Janitor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock, retention=WEEK)


def names(stage: Stage, folder: str) -> set[str]:
    return {entry.address.removeprefix(f"{folder}/") for entry in stage.spool.files.find(folder)}


def test_a_batch_and_what_is_carried_go_the_whole_road_and_are_deleted(back: Back) -> None:
    stage = back.stage
    key = stage.submit(RECORDS)
    stage.store.batches.apply(key, Event.LOSE)
    first, child = back.finish(key)
    assert (first.state, first.carried, child.state, child.succeeded) == (
        State.PUBLISHED,
        RECORDS,
        "published",
        RECORDS,
    )
    assert set(requests_of(back.outputs(at_least=RECORDS)).values()) == {1}
    stands = names(stage, "pipe/sentiments/batches")
    assert {f"{batch.batch_key}/{name}" for batch in (first, child) for name in (MANIFEST, REQUESTS)} <= stands
    assert not [name for name in stands if name.startswith(".plan")], "an attempt stayed where it was written"
    stage.ahead = 2 * WEEK
    assert janitor(stage).run_once() == {"deleted": 1}
    left = names(stage, "pipe/sentiments")
    assert not [name for name in left if REQUESTS in name or f"/{RESULTS}/" in name or name.startswith("sealed")]
    assert f"batches/{key}/{MANIFEST}" in left


def test_a_checkpoint_that_is_older_than_a_plan_keeps_its_file(back: Back) -> None:
    stage, files = back.stage, back.stage.spool.files
    stage.store.lineage.claim_name("pipe", "/somewhere/file.sql")
    stage.store.lineage.begin("pipe", definition="d", spool=stage.spool_url, job_id="job")
    assert files.create("pipe/checkpoints/job/chk-1/_metadata", b"state")
    (batch,) = back.finish(stage.submit(RECORDS))
    stage.ahead = 2 * WEEK
    assert janitor(stage).run_once() == {}
    planned_at = stage.store.plans.planned_at(batch.sealed_file or "")
    assert planned_at is not None
    numbers = iter(range(2, 1000))

    def is_newer() -> bool:
        """The store's clock has whole seconds."""
        folder = f"pipe/checkpoints/job/chk-{next(numbers)}"
        files.create(f"{folder}/_metadata", b"state")
        written = files.entries(folder)[0].modified_at
        return written is not None and written > planned_at

    wait_until(is_newer, 10, "a checkpoint after the plan", interval=0.3)
    for folder in files.entries("pipe/checkpoints/job"):
        written = files.entries(folder.address)[0].modified_at
        if written is not None and written <= planned_at:
            files.delete(folder.address)
    assert janitor(stage).run_once() == {"deleted": 1}


def test_the_tail_of_a_file_in_progress_is_kept_as_long_as_a_checkpoint_names_it(back: Back) -> None:
    """Flink's writer keeps what is less than a part of an upload as an object of its own."""
    stage, files = back.stage, back.stage.spool.files
    stage.store.lineage.claim_name("pipe", "/somewhere/file.sql")
    stage.store.lineage.begin("pipe", definition="d", spool=stage.spool_url, job_id="job")
    sealed = (stage.batch(stage.plan(RECORDS)).sealed_file or "").rpartition("/")[0]
    wanted, left = f"{sealed}/_part-1-0_tmp_1", f"{sealed}/_part-1-0_tmp_2"
    for address in (wanted, left):
        files.create(address, b"rows")
    assert len(stage.spool.sealed_files("pipe", "sentiments")) == 1
    files.create("pipe/checkpoints/job/chk-1/_metadata", b"\x00" + wanted.rpartition("/")[2].encode() + b"\x00")
    stage.ahead = 2 * WEEK
    janitor(stage).run_once()
    assert files.size(wanted) is not None
    assert files.size(left) is None
