"""Collecting twice: from an older copy of the store, beside a collector that was overtaken, after a silent cut."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.collect.collection import Collection
from poller.collect.results import ANSWERS
from poller.collect.undone import Early
from poller.register.place import Place, read_place
from poller.upkeep.janitor import Janitor
from shared.errors import LeaseLost
from shared.lease import Keeper
from shared.lifecycle import Event, State
from shared.providers.port import Provider, RemoteBatch
from tests.rig.fixtures import MakeTopic
from tests.rig.older import copied, restore
from tests.rig.results import SINK_TOPIC, Back, requests_of, sink
from tests.rig.stage import Stage

RECORDS = 8
MONTH, WEEK = timedelta(days=31), timedelta(days=7)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["openai", "anthropic"])
def back(
    request: pytest.FixtureRequest, server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> Iterator[Back]:
    server.clear_faults()
    topic = make_topic("sentiments", SINK_TOPIC)
    stage = Stage(server, tmp_path, request.param, sink(broker, topic))
    yield Back(stage, broker, f"progress-{topic}")
    stage.close()


@dataclass
class Overtaken:
    """A provider whose caller is stopped within a download for so long that another does all of its work."""

    real: Provider
    meanwhile: Any
    lines: int
    """Lines of the results that this caller's download ends with."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def download(self, batch: RemoteBatch, into: Path) -> list[Path]:
        self.meanwhile()
        paths = self.real.download(batch, into)
        for path in paths:
            path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[: self.lines]))
        return paths


@pytest.mark.parametrize("options", [{}, {"deduplicate": True, "deduplicate_ttl": 3600.0}], ids=["", "deduplicate"])
def test_row_22_an_older_store_finds_what_is_out_though_all_is_deleted(back: Back, options: dict[str, Any]) -> None:
    stage = back.stage
    stage.batch_options = options
    key = stage.submit(RECORDS)
    stage.watch_until(key, State.ENDED)
    older = copied(stage)
    assert [batch.state for batch in back.finish(key)] == [State.PUBLISHED]
    stage.ahead = MONTH
    keeper = Keeper(stage.store, back.holder)
    provider_of = stage.models().provider_of
    assert Janitor(stage.store, stage.spool, provider_of, keeper, stage.clock, retention=WEEK).run_once()["deleted"]
    restore(stage, older)
    assert stage.batch(key).state is State.ENDED
    family = back.finish(key)
    assert [(batch.state, batch.succeeded) for batch in family] == [(State.PUBLISHED, RECORDS)]
    assert requests_of(back.outputs(at_least=RECORDS)) == {f"{key}-{number}": 1 for number in range(RECORDS)}
    place = read_place(stage.spool.files, stage.spool.batch("pipe", "sentiments", key))
    assert place == Place(cluster=family[0].sink_cluster or "", shard=family[0].shard or 0)


def test_row_22_an_older_store_follows_what_was_decided(back: Back) -> None:
    """The provider denied a batch for hours, its requests were sent again, and now it knows it after all."""
    stage = back.stage
    key = stage.submit(RECORDS)
    older = copied(stage)
    stage.store.batches.apply(key, Event.LOSE)
    first = back.finish(key)
    assert [batch.records for batch in first] == [RECORDS, RECORDS]
    restore(stage, older)
    assert stage.batch(key).state is State.SUBMITTED
    again = back.finish(key)
    assert [batch.provider_batch_id for batch in again] == [batch.provider_batch_id for batch in first]
    assert [(batch.succeeded, batch.carried) for batch in again] == [(0, RECORDS), (RECORDS, 0)]
    assert len(back.outputs(at_least=RECORDS)) == RECORDS


def test_a_collector_that_was_overtaken_changes_nothing(back: Back) -> None:
    stage = back.stage
    key = stage.submit(RECORDS)
    stage.watch_until(key, State.ENDED)
    ended = stage.store.batches.record(key, next_check_at=stage.clock())
    lease = stage.store.leases.acquire(f"batch/{key}", "the slow one", MINUTE)
    assert lease is not None

    def meanwhile() -> None:
        stage.store.leases.release(lease)
        back.collect(key)

    provider = Overtaken(stage.models().provider_of(ended), meanwhile, lines=RECORDS // 2)
    slow = Collection(stage.store, stage.spool, stage.roads(), stage.clock, timedelta())
    with pytest.raises(LeaseLost):
        slow.collect(ended, provider, lease)
    folder = stage.path(stage.spool.batch("pipe", "sentiments", key))
    assert len(list(folder.glob("results/*"))) == 1
    (batch,) = back.finish(key)
    assert (batch.state, batch.succeeded, batch.carried) == (State.PUBLISHED, RECORDS, 0)
    assert requests_of(back.outputs(at_least=RECORDS)) == {f"{key}-{number}": 1 for number in range(RECORDS)}


def downloaded(stage: Stage, key: str) -> list[Path]:
    """What a collector that was killed had downloaded of a batch."""
    results = stage.path(f"{stage.spool.batch('pipe', 'sentiments', key)}/results")
    left = [results / ("0" * 32) / name for name in ("1-file-1.jsonl", "2-file-2.jsonl.part")]
    left[0].parent.mkdir(parents=True)
    for path in left:
        path.write_bytes(b"said")
    return left


def test_what_a_collector_that_was_killed_had_downloaded_is_forgotten(back: Back) -> None:
    """A provider may have said anything in it, and only what is kept of it is redacted."""
    stage = back.stage
    key = stage.submit(RECORDS)
    left = downloaded(stage, key)
    results = left[0].parents[1]
    back.collect(key)
    assert not any(path.exists() for path in left)
    assert not list(results.glob("*/*.jsonl"))
    (batch,) = back.finish(key)
    assert (batch.state, batch.succeeded) == (State.PUBLISHED, RECORDS)


def test_what_killed_collectors_had_downloaded_does_not_pile_up_while_nothing_can_be_decided(back: Back) -> None:
    stage = back.stage
    key = stage.submit(RECORDS)
    stage.watch_until(key, State.ENDED)
    left = downloaded(stage, key)
    answers = left[0].with_name(ANSWERS)
    answers.write_bytes(b"what another may be deciding on")
    lease = stage.store.leases.acquire(f"batch/{key}", "a later one", MINUTE)
    assert lease is not None
    batch = stage.store.batches.record(key, next_check_at=stage.clock())
    short = Overtaken(stage.models().provider_of(batch), lambda: None, lines=RECORDS // 2)
    patient = Collection(stage.store, stage.spool, stage.roads(), stage.clock, timedelta(hours=1))
    with pytest.raises(Early):
        patient.collect(batch, short, lease)
    assert not any(path.exists() for path in left)
    assert answers.exists()


def test_row_13_results_that_came_short_unnoticed_are_read_again_before_anything_is_paid_again(back: Back) -> None:
    stage = back.stage
    key = stage.submit(RECORDS)
    stage.watch_until(key, State.ENDED)
    stage.ahead = 10 * MINUTE
    # The length that would have told of the cut is not to be had, or counts nothing.
    stage.server.set_fault("http_5xx", endpoint="openai.files.retrieve")
    stage.server.set_fault("request_counts_wrong")
    stage.server.set_fault("download_cut", at="line_end", silent=True, times=6 if stage.provider == "anthropic" else 1)
    collected = back.collect(key)
    assert (collected.carried, back.children(key)) == (0, [])


def test_a_batch_that_still_runs_is_not_collected(back: Back) -> None:
    stage = back.stage
    stage.server.set_fault("stuck_in_progress", seconds=600)
    key = stage.submit(RECORDS)
    running = stage.watch_until(key, State.RUNNING)
    provider = stage.models().provider_of(running)
    lease = stage.store.leases.acquire(f"batch/{key}", "early", MINUTE)
    assert lease is not None
    with pytest.raises(Early):
        Collection(stage.store, stage.spool, stage.roads(), stage.clock, timedelta()).collect(running, provider, lease)
