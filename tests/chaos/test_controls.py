"""Each precaution taken away by itself: the harness says so. With it, the same schedule passes."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider import ProviderServer
from poller.health import Watchdog
from poller.publish.outbox import Outbox
from poller.register.sinks import SinkClusters
from poller.schedule import Backoff, Deadlines
from poller.watch.looks import Looking, Looks
from poller.watch.watcher import Watcher
from shared.kafka import KafkaClusters
from shared.lease import Keeper
from shared.lifecycle import State
from shared.messages import ProgressMarker
from shared.providers.port import Provider, RemoteBatch
from shared.store import Store
from tests.chaos.case import Case, Kill, Rule
from tests.chaos.controls import SharedPartition, without_epochs
from tests.chaos.oracle import billed_twice
from tests.chaos.slot import Slot
from tests.chaos.world import run
from tests.rig.fixtures import MakeTopic
from tests.rig.results import SINK_TOPIC, Back, requests_of, sink
from tests.rig.stage import FAST, SECOND, Stage
from tests.rig.waiting import wait_until

LOST = Rule("create_accepted_response_lost", (("times", 1),))
HIDDEN = Rule("list_lag", (("times", 1), ("seconds", 1.3)))
"""For less than the quarantine; who has none is to look before that is over, however busy the machine is."""
LONG_HIDDEN = Rule("list_lag", (("times", 1), ("seconds", 20.0)))
MISSING = Rule("retrieve_404_after_create", (("times", 1), ("seconds", 1.0)))

CASES = {
    "sdk-retries": Case("openai", records=2, rules=(LOST,)),
    "no-quarantine": Case("openai", records=2, rules=(LOST, HIDDEN)),
    "no-quarantine-anthropic": Case("anthropic", records=2, rules=(LOST, HIDDEN)),
    "progress-in-sql": Case("openai", records=3, kills=(Kill("transaction-committed"),)),
    "404-is-absence": Case("openai", records=2, rules=(MISSING,)),
    "404-is-absence-anthropic": Case("anthropic", records=2, rules=(MISSING,)),
}


@pytest.mark.parametrize("control", list(CASES))
def test_the_harness_catches_a_missing_precaution(slot: Slot, control: str) -> None:
    case = CASES[control]
    rules = tuple(LONG_HIDDEN if rule is HIDDEN else rule for rule in case.rules)
    weaker = replace(case, weakness=control.removesuffix("-anthropic"), rules=rules)
    sound, weak = run(case, slot), run(weaker, slot)
    assert sound.violations == ()
    assert weak.paid_twice or weak.published_twice, f"the weaker way has become safe: {weak}"


def test_the_harness_finds_a_key_that_the_provider_has_said_back(slot: Slot) -> None:
    said = Rule("bad_key", (("times", 1), ("endpoint", "openai.batches.create"), ("said", "encoded")))
    case = Case("openai", records=2, rules=(said,))
    assert run(case, slot).violations == ()
    weak = run(replace(case, weakness="key-said-back"), slot)
    assert any(each.startswith("I6 a key stands in state.db") for each in weak.violations), weak


def test_a_run_that_is_cut_short_says_what_is_open(slot: Slot) -> None:
    verdict = run(Case("openai", records=2), slot, bound=0.0)
    (said,) = [each for each in verdict.violations if each.startswith("I5")]
    assert "of 1 files, 1 of them still there" in said
    assert "desk lives; poller lives" in said


@pytest.mark.parametrize(("make", "copies"), [(Outbox, 1), (SharedPartition, 2)])
def test_a_shared_progress_partition_hides_a_marker_behind_another_s_transaction(
    broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path, make: type[Outbox], copies: int
) -> None:
    """One poller is in the middle of its shard's transaction, while another loses the store's newest state."""
    topic = make_topic("sentiments", SINK_TOPIC)
    with ProviderServer(tmp_path / "provider", processing_seconds=0.05) as server:
        stage = Stage(server, tmp_path, sink=sink(broker, topic))
        back = Back(stage, broker, f"progress-{topic}", make=make)
        ours, others = (back.collect(stage.submit(3)) for _ in range(2))
        cluster = SinkClusters(KafkaClusters()).identify(stage.definition().sink)
        for shard, batch in enumerate((ours, others)):
            stage.store.shards.assign(batch.batch_key, cluster, 2, known=shard)
        slow = open_transaction(back, others.batch_key)
        copy(tmp_path / "state.db", tmp_path / "older.db")
        publish(back, ours.batch_key)
        restored = Stage(server, tmp_path, sink=stage.sink, state_store=f"sqlite:///{tmp_path / 'older.db'}")
        publish(replace(back, stage=restored), ours.batch_key)
        slow.close()
        assert set(requests_of(back.outputs(at_least=3 * copies)).values()) == {copies}
        stage.close()
        restored.close()


def copy(store: Path, into: Path) -> None:
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(into)) as target:
        source.backup(target)


def open_transaction(back: Back, key: str) -> Outbox:
    """Begin what another poller has begun: its shard's lease is taken, its marker is sent, nothing is committed."""
    store, batch = back.stage.store, back.stage.batch(key)
    outboxes = back.outboxes()
    shard = outboxes.shard(batch.sink_cluster or "", batch.shard or 0)
    lease = store.leases.acquire(shard.lease, "another", timedelta(hours=1))
    assert lease
    outbox = outboxes.of(shard, back.stage.definition(), lease, lambda _: None)
    outbox._transactions.begin()
    marker = ProgressMarker(next=0, succeeded=0, failed=0).encode()
    outbox._transactions.produce(back.progress, marker, key, partition=outbox.shard.number)
    outbox._transactions.flush()
    return outbox


def publish(back: Back, key: str) -> None:
    publisher = back.publisher()

    def is_out() -> bool:
        publisher.run_once()
        return back.stage.batch(key).state is State.PUBLISHED

    wait_until(is_out, 60, "the batch to be out")
    publisher.close()


@pytest.mark.parametrize("weak", [False, True])
def test_a_lease_without_an_epoch_lets_a_zombie_write(
    broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path, weak: bool
) -> None:
    """A watcher sleeps between what it saw and what it writes: its batch was bounced, and sent again, meanwhile."""
    topic = make_topic("sentiments", SINK_TOPIC)
    with ProviderServer(tmp_path / "provider", processing_seconds=0.05) as server:
        server.set_fault("token_limit_exceeded", times=1)
        stage = Stage(server, tmp_path, sink=sink(broker, topic))
        key = stage.submit(3)
        wait_until(lambda: server.witness().events("ended"), 30, "the provider to refuse the batch")
        zombie = sleepy(stage, lambda: overtake(stage, key), weak=weak)
        zombie.run_once()
        back = Back(stage, broker, f"progress-{topic}")
        stage.ahead += timedelta(hours=1)
        back.finish(key)
        assert bool(billed_twice(server.witness())) == weak
        assert set(requests_of(back.outputs(at_least=3)).values()) == {1}
        stage.close()


def overtake(stage: Stage, key: str) -> None:
    """What another poller does once the sleeper's lease has lapsed."""
    stage.ahead += timedelta(minutes=1)
    assert stage.watch_until(key, State.HELD, watcher=stage.watcher(holder="another")).state is State.HELD
    stage.ahead += timedelta(minutes=1)
    submission = stage.submission()

    def is_there() -> bool:
        submission.work(key)
        return stage.batch(key).state is State.SUBMITTED

    wait_until(is_there, 30, "the batch to be sent again")


def sleepy(stage: Stage, meanwhile: Callable[[], None], *, weak: bool) -> Watcher:
    """A watcher that misses what happens after it was told of a batch."""
    store = Store.open(stage.store_url, stage.clock)
    believing = without_epochs(store) if weak else store
    looks = Looks(believing, stage.clock, Looking(FAST, Deadlines(), Backoff(SECOND, SECOND)))
    asleep = _Asleep(stage, meanwhile)
    keeper, watchdog = Keeper(store, "sleeper"), Watchdog(store, "sleeper")
    return Watcher(believing, asleep.provider_of, looks, keeper, watchdog, stage.clock)


class _Asleep:
    """A provider's adapter whose caller sleeps after its first look."""

    def __init__(self, stage: Stage, meanwhile: Callable[[], None]) -> None:
        self._provider_of, self._meanwhile = stage.models().provider_of, meanwhile
        self._provider: Provider | None = None

    def provider_of(self, batch: Any) -> Any:
        self._provider = self._provider_of(batch)
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        assert self._provider
        seen = self._provider.retrieve(batch_id)
        self._meanwhile()
        return seen
