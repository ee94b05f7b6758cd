"""A broker that dies, a zombie that wakes, outputs that are too large: nothing is lost, nothing comes twice."""

import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from sqlalchemy import create_engine, update

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from deploy.sandbox.topics import TopicSettings
from poller.publish.messages import Outgoing
from poller.publish.outbox import Outbox
from poller.publish.transactions import Aborted, Transactions
from shared.definition import Column, Projected
from shared.errors import MustRestart, TopicMismatch
from shared.lease import Keeper
from shared.lifecycle import State
from shared.messages import Header
from shared.store.tables import batches
from tests.rig import samples
from tests.rig.fixtures import MakeTopic
from tests.rig.outages import BOUNDS, RECORDS, assert_each_once, collected, disturbing, settled
from tests.rig.results import SHARDS, SINK_TOPIC, Back, requests_of, sink
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

NOWHERE = "127.0.0.1:9"


def test_row_21_a_broker_that_dies_and_comes_back_is_waited_for(
    server: ProviderServer, own_broker: LocalBroker, tmp_path: Path
) -> None:
    own_broker.create_topics({"sentiments": SINK_TOPIC})
    with collected(server, own_broker, tmp_path, "sentiments") as back:

        def die() -> None:
            settled(back)
            own_broker.kill()
            threading.Timer(2.0, own_broker.restart).start()

        back.make = disturbing(die, 100)
        (batch,) = back.stage.store.batches.rows()
        back.publish(batch.batch_key)
        assert_each_once(back)


def test_an_outage_longer_than_the_transaction_needs_no_other_process(
    server: ProviderServer, own_broker: LocalBroker, tmp_path: Path
) -> None:
    """What was never committed is aborted for certain: the producer is replaced, and goes on from the marker."""
    own_broker.create_topics({"sentiments": SINK_TOPIC})
    short = {"transaction.timeout.ms": "2000", "message.timeout.ms": "2000"}
    with collected(server, own_broker, tmp_path, "sentiments", kafka=short) as back:
        child = own_broker._running()

        def hang() -> None:
            settled(back)
            child.signal(signal.SIGSTOP)
            # Longer than its session with the controller too, which fences it: its partitions have no leader then.
            threading.Timer(6.0, lambda: child.signal(signal.SIGCONT)).start()

        back.make = disturbing(hang, 100)
        (batch,) = back.stage.store.batches.rows()
        back.publish(batch.batch_key)
        assert_each_once(back)


class _Misled:
    """A client whose second commit takes effect, but for which it asks for an abort, and says that it was aborted."""

    def __init__(self, producer: Producer) -> None:
        self._producer, self._commits, self._is_misled = producer, 0, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def commit_transaction(self, timeout: float) -> None:
        self._producer.commit_transaction(timeout)
        self._commits += 1
        if self._commits == 2:
            self._is_misled = True
            raise KafkaException(KafkaError(KafkaError._INCONSISTENT, "failed locally", txn_requires_abort=True))

    def abort_transaction(self, timeout: float) -> None:
        if not self._is_misled:
            self._producer.abort_transaction(timeout)
        self._is_misled = False


class _MisledTransactions(Transactions):
    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._producer = _Misled(self._producer)  # type: ignore[assignment]  # it stands in for the client


class _MisledOutbox(Outbox):
    transactions = _MisledTransactions


def test_a_commit_that_took_effect_though_the_client_asked_for_an_abort_is_not_made_again(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    with collected(server, broker, tmp_path, make_topic("sentiments", SINK_TOPIC)) as back:
        back.make = _MisledOutbox
        (batch,) = back.stage.store.batches.rows()
        back.publish(batch.batch_key)
        assert_each_once(back)


def test_a_zombie_s_transaction_is_aborted_by_the_one_that_took_over(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    with collected(server, broker, tmp_path, make_topic("sentiments", SINK_TOPIC)) as back:
        (batch,) = back.stage.store.batches.rows()
        heir = Back(back.stage, broker, back.progress, BOUNDS, holder="another:1:1")

        def take_over() -> None:
            # As if the zombie had slept for longer than its lease.
            back.stage.ahead += timedelta(minutes=10)
            heir.publish(batch.batch_key)

        back.make = disturbing(take_over, 100)
        zombie = back.publisher()
        counts = zombie.run_once()
        assert counts == {"busy": 1}
        assert_each_once(back)


def test_a_fenced_outbox_writes_nothing_more(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """The same without any lease: the epoch of the transactional id alone keeps a zombie out."""
    with collected(server, broker, tmp_path, make_topic("sentiments", SINK_TOPIC)) as back:
        (batch,) = back.stage.store.batches.rows()
        definition = back.stage.models().definition(batch)
        old, new = back.outboxes(), back.outboxes()
        shard = old.shard(batch.sink_cluster or "", batch.shard or 0)
        topic, key = definition.sink.topic, batch.batch_key

        def messages(start: int) -> Iterator[Outgoing]:
            for number in range(start, RECORDS):
                yield number, True, topic, b"k", b"%d" % number, [(Header.REQUEST, f"r-{number}")], 0

        with Keeper(back.stage.store, "a").hold(shard.lease) as lease:
            assert lease
            first = old.of(shard, definition, lease, print)
            assert first.send(key, messages(0)).next == BOUNDS.records
            second = new.of(shard, definition, lease, print)
            assert second.marker(key).next == BOUNDS.records
            with pytest.raises((Aborted, MustRestart)):
                first.send(key, messages(BOUNDS.records))
            assert first.is_dead
            with pytest.raises((Aborted, MustRestart)):
                first.send(key, messages(BOUNDS.records))
            while not second.send(key, messages(second.marker(key).next)).done:
                pass
        assert requests_of(back.outputs(at_least=RECORDS)) == {f"r-{number}": 1 for number in range(RECORDS)}
        old.close()
        new.close()


def test_an_output_that_the_topic_does_not_take_becomes_an_error(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    topic = make_topic("sentiments", TopicSettings(config={"max.message.bytes": "2000"}))
    review = {0: "short", 1: "long " * 1000, 2: "short too"}
    plain = samples.definition()
    column = Column(name="review", type=samples.STRING)
    projection = (*plain.projection, Projected(name="review", source="input", column="review", type=samples.STRING))
    columns = (*plain.sink.columns, column)
    stage = Stage(
        server,
        tmp_path,
        sink=sink(broker, topic, columns=columns),
        review=review.__getitem__,
        changes={"projection": projection},
    )
    back = Back(stage, broker, f"progress-{topic}")
    key = stage.submit(3)
    (batch,) = back.finish(key)
    assert (batch.succeeded, batch.failed) == (2, 1)
    failed = next(record for record in back.outputs(at_least=3) if Header.ERROR in record.headers)
    assert (failed.headers[Header.ERROR] or b"").startswith(b"too-large-output: ")
    assert failed.json() == {"review_id": "1", "label": None, "score": None, "review": None}
    assert failed.key == b'{"review_id":"1"}'
    stage.close()


def test_a_progress_topic_that_forgets_is_an_error(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    with collected(server, broker, tmp_path, make_topic("sentiments", SINK_TOPIC)) as back:
        back.progress = make_topic("progress", TopicSettings(partitions=2, cleanup="delete"))
        (batch,) = back.stage.store.batches.rows()
        definition = back.stage.models().definition(batch)
        outboxes = back.outboxes()
        shard = outboxes.shard(batch.sink_cluster or "", batch.shard or 0)
        with Keeper(back.stage.store, "a").hold(shard.lease) as lease:
            assert lease
            with pytest.raises(TopicMismatch, match=r"cleanup\.policy=delete"):
                outboxes.of(shard, definition, lease, print)
        counts = back.publisher().run_once()
        assert counts == {"faults": 1}
        assert "cleanup.policy" in (back.stage.batch(batch.batch_key).error or "")


def test_an_address_of_the_sink_that_is_not_reached_keeps_only_its_own_batches(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """A cluster's brokers have moved: what was planned before names their old address."""
    with collected(server, broker, tmp_path, make_topic("sentiments", SINK_TOPIC)) as back:
        stage = back.stage
        (key,) = (batch.batch_key for batch in stage.store.batches.rows())
        now = stage.batch(key)
        stage.sink = {**stage.sink, "bootstrap_servers": NOWHERE}
        old = stage.submit(RECORDS)
        back.collect(old)
        stage.store.shards.assign(old, now.sink_cluster or "", SHARDS, known=now.shard)
        sealed_first(stage, old)
        publisher = back.publisher()
        publisher.run_once()
        publisher.close()
        assert (stage.batch(key).state, stage.batch(old).state) == (State.PUBLISHED, State.COLLECTED)
        (away,) = stage.store.health.all(stage.clock() - timedelta(minutes=1))
        assert NOWHERE in away.message


def test_rows_that_are_gone_are_waited_for_until_they_are_restored(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    with collected(server, broker, tmp_path, make_topic("sentiments", SINK_TOPIC)) as back:
        (batch,) = back.stage.store.batches.rows()
        sealed = back.stage.path(batch.sealed_file or "")
        whole = sealed.read_bytes()
        sealed.write_bytes(b"".join(whole.splitlines(keepends=True)[: RECORDS // 2]))
        publisher, why = back.publisher(), f"ends before row {RECORDS // 2} of its batch: restore it"
        wait_until(
            lambda: publisher.run_once() and why in (back.stage.batch(batch.batch_key).error or ""), 30, lambda: why
        )
        sealed.write_bytes(whole)
        back.publish(batch.batch_key, publisher)
        publisher.close()
        assert_each_once(back)


def sealed_first(stage: Stage, key: str) -> None:
    """Let a batch stand before all others."""
    engine = create_engine(stage.store_url)
    with engine.begin() as connection:
        this = batches.c.batch_key == key
        connection.execute(update(batches).where(this).values(sealed_at=samples.EPOCH - timedelta(days=1)))
    engine.dispose()
