"""Registration from a real topic: idempotent, never backwards, and safe from whatever lies in the topic."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from confluent_kafka import Producer

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.health import Watchdog
from poller.operate.status import report
from poller.register.consumer import KafkaEvents
from poller.register.place import Place, keep_place
from poller.register.registrar import Drained, Registering, Registrar
from poller.register.sinks import SinkClusters
from shared.errors import KafkaUnavailable, SpoolError
from shared.kafka import KafkaClusters
from shared.lifecycle import Event, State
from shared.manifest import Manifest
from shared.messages import BatchEvent
from shared.store import Store
from shared.trust import vouching
from tests.rig.fixtures import ONE_PARTITION, MakeTopic
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

SHARDS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path_factory.mktemp("provider"), processing_seconds=0.3) as running:
        yield running


@pytest.fixture
def stage(server: ProviderServer, tmp_path: Path, broker: LocalBroker) -> Iterator[Stage]:
    made = Stage(server, tmp_path, sink={"bootstrap_servers": broker.bootstrap})
    yield made
    made.close()


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    return make_topic("batches")


def registrar(
    stage: Stage,
    broker: LocalBroker,
    topic: str,
    store: Store | None = None,
    environ: Mapping[str, str] = os.environ,
    sinks: SinkClusters | None = None,
) -> Registrar:
    store = store or stage.store
    client = {"bootstrap.servers": broker.bootstrap}
    group = f"test-{store.shards.installation_id()}"
    return Registrar(
        store,
        stage.spool,
        lambda: KafkaEvents(client, topic, group),
        sinks or SinkClusters(KafkaClusters()),
        stage.models().definition,
        Watchdog(store, "test:1:x"),
        Registering(SHARDS, 0.1, environ),
    )


def event_of(stage: Stage, key: str, **changes: Any) -> BatchEvent:
    batch = stage.batch(key)
    said = {
        "batch_key": key,
        "pipeline": batch.pipeline,
        "statement": batch.statement,
        "provider": batch.provider,
        "account": batch.account,
        "model": batch.model,
        "provider_batch_id": batch.provider_batch_id,
        "generation": batch.generation,
        "requests": batch.requests,
        "records": batch.records,
        "bytes": batch.bytes,
        "spool": stage.spool.batch(batch.pipeline, batch.statement, key),
        "sealed_at": batch.sealed_at,
        "submitted_at": batch.submitted_at or datetime.now(UTC),
    }
    return BatchEvent.model_validate({**said, **changes})


def produce(broker: LocalBroker, topic: str, *messages: tuple[bytes | None, bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for key, value in messages:
        producer.produce(topic, key=key, value=value)
    assert producer.flush(30) == 0


def announce(broker: LocalBroker, topic: str, *events: BatchEvent) -> None:
    produce(broker, topic, *((event.batch_key.encode(), event.encode()) for event in events))


@pytest.fixture
def forgetful(stage: Stage) -> Iterator[Store]:
    """A store that has never heard of the stage's batches, over the same spool."""
    with Store.open(f"sqlite:///{stage.folder / 'other.db'}") as store:
        yield store


def test_an_event_of_a_known_batch_changes_nothing_and_gives_it_a_shard(
    stage: Stage, broker: LocalBroker, topic: str
) -> None:
    key = stage.submit()
    stage.store.batches.apply(key, Event.PROGRESS)
    before = stage.batch(key)
    announce(broker, topic, event_of(stage, key), event_of(stage, key, provider_batch_id="batch_other"))
    duty = registrar(stage, broker, topic)
    counts = Drained(duty).run_once()
    assert counts == {"assigned": 1, "known": 2}
    after = stage.batch(key)
    assert (after.state, after.provider_batch_id) == (State.RUNNING, before.provider_batch_id)
    assert after.shard in range(SHARDS)
    assert after.sink_cluster
    duty.close()


def test_a_batch_that_was_never_announced_gets_its_shard_too(stage: Stage, broker: LocalBroker, topic: str) -> None:
    key = stage.plan()
    duty = registrar(stage, broker, topic)
    assert duty.run_once() == {"assigned": 1}
    assert stage.batch(key).shard in range(SHARDS)
    duty.close()


def test_a_batch_that_the_store_forgot_is_published_where_it_was(stage: Stage, broker: LocalBroker, topic: str) -> None:
    """With more shards by now, it would get another, where no marker tells what is out."""
    duty = registrar(stage, broker, topic)
    for other in range(SHARDS, 2 * SHARDS):
        key = stage.plan()
        cluster = SinkClusters(KafkaClusters()).identify(stage.definition().sink)
        folder = stage.spool.batch("pipe", "sentiments", key)
        keep_place(stage.spool.files, folder, Place(cluster=cluster, shard=other))
        duty.run_once()
        assert stage.batch(key).shard == other
    duty.close()


def test_a_batch_without_an_estimate_gets_one(stage: Stage, broker: LocalBroker, topic: str) -> None:
    key = stage.plan()
    planned = stage.batch(key).estimated_cost_usd
    assert 0 < (planned or 0) < 0.01
    stage.store.batches.record(key, estimated_cost_usd=None)
    duty = registrar(stage, broker, topic)
    duty.run_once()
    assert stage.batch(key).estimated_cost_usd == planned
    duty.close()


def test_a_row_that_the_store_lacks_is_rebuilt_from_the_manifest(
    stage: Stage, broker: LocalBroker, topic: str, forgetful: Store
) -> None:
    key = stage.submit()
    known = stage.batch(key)
    announce(broker, topic, event_of(stage, key), event_of(stage, key))
    duty = registrar(stage, broker, topic, forgetful)
    assert Drained(duty).run_once() == {"registered": 1, "known": 1, "assigned": 1}
    rebuilt = forgetful.batches.get(key)
    assert rebuilt is not None
    assert (rebuilt.state, rebuilt.provider_batch_id) == (State.SUBMITTED, known.provider_batch_id)
    assert (rebuilt.records, rebuilt.requests, rebuilt.definition) == (known.records, known.requests, known.definition)
    assert forgetful.lineage.definition(known.definition) == stage.definition()
    duty.close()


HOSTILE: dict[str, Callable[[Stage, str], tuple[bytes | None, bytes | None]]] = {
    "no JSON": lambda _, key: (key.encode(), b"\xff\x00 nonsense"),
    "no object": lambda _, key: (key.encode(), b"[1,2]"),
    "huge": lambda _, key: (key.encode(), b'{"a":"' + b"x" * 200_000 + b'"}'),
    "tombstone": lambda _, key: (key.encode(), None),
    "no key": lambda stage, key: (None, event_of(stage, key).encode()),
    "another's key": lambda stage, key: (b"other", event_of(stage, key).encode()),
    "a path in the pipeline": lambda stage, key: _said(stage, key, pipeline="../../etc"),
    "a path in the statement": lambda stage, key: _said(stage, key, statement="a/b"),
    "a foreign spool": lambda stage, key: _said(stage, key, spool="/etc/passwd"),
    "an address in the id": lambda stage, key: _said(stage, key, provider_batch_id="../../files?x=1"),
    "another account": lambda stage, key: _said(stage, key, account="openai:KEY@evil.example"),
    "another count": lambda stage, key: _said(stage, key, records=1_000_000),
    "another batch of the provider": lambda stage, key: _said(stage, key, provider_batch_id="batch_of_another"),
    "the beginning of time": lambda stage, key: _said(
        stage, key, submitted_at=datetime.fromisoformat("0001-01-01T00:00:00+14:00")
    ),
    "a name that no file can have": lambda stage, key: _long(stage, key + "a" * 5000),
    "a number without end": lambda stage, key: _long(stage, key[:27] + "9" * 5000),
    "another pipeline": lambda stage, key: _said(
        stage, key, pipeline="unknown", spool=f"unknown/sentiments/batches/{key}"
    ),
    "a file where a folder would be": lambda stage, key: _beside(stage, key, "run.lock", Path.touch),
    "a pipe for a manifest": lambda stage, key: _beside(stage, key, f"piped/batches/{key}/manifest.json", os.mkfifo),
    "a folder for a manifest": lambda stage, key: _beside(
        stage, key, f"folder/batches/{key}/manifest.json", Path.mkdir
    ),
    "a manifest of terabytes": lambda stage, key: _beside(stage, key, f"vast/batches/{key}/manifest.json", _vast),
    "a later version without our fields": lambda _, key: (key.encode(), orjson.dumps({"version": 2, "batch_key": key})),
}


def _said(stage: Stage, key: str, **changes: Any) -> tuple[bytes, bytes]:
    return key.encode(), event_of(stage, key, **changes).encode()


def _beside(stage: Stage, key: str, address: str, make: Callable[[Path], object]) -> tuple[bytes, bytes]:
    """An event of a statement in whose folder somebody has made something."""
    path = stage.path(f"pipe/{address}")
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    statement = address.partition("/")[0]
    return _said(stage, key, statement=statement, spool=f"pipe/{statement}/batches/{key}")


def _vast(path: Path) -> None:
    """It takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(1 << 42)


def _long(stage: Stage, key: str) -> tuple[bytes, bytes]:
    """An event that is right in itself, of a batch whose key has too many letters."""
    letters = len(key) - len(key.rstrip("a"))
    source = stage.store.batches.rows()[0].batch_key
    event = event_of(stage, source, batch_key=key, generation=letters, spool=f"pipe/sentiments/batches/{key}")
    return key.encode(), event.encode()


def test_hostile_foreign_and_malformed_events_are_counted_and_skipped(
    stage: Stage, broker: LocalBroker, topic: str, forgetful: Store
) -> None:
    key = stage.submit()
    produce(broker, topic, *(make(stage, key) for make in HOSTILE.values()))
    duty = registrar(stage, broker, topic, forgetful)
    assert Drained(duty).run_once() == {"skipped": len(HOSTILE)}
    assert forgetful.batches.rows() == []
    announce(broker, topic, event_of(stage, key))
    wait_until(lambda: duty.run_once().get("registered") == 1)
    duty.close()


@pytest.mark.parametrize(
    ("address", "servers"),
    [("http://evil.example:9/v1", None), (None, "evil.example:9092"), ("https://a\\\\@b/v1", None)],
)
def test_a_manifest_that_names_a_foreign_address_is_not_believed(
    stage: Stage, broker: LocalBroker, topic: str, forgetful: Store, address: str | None, servers: str | None
) -> None:
    key = stage.submit()
    path = stage.path(stage.spool.batch("pipe", "sentiments", key)) / "manifest.json"
    written = orjson.loads(path.read_bytes())
    if address:
        written["definition"]["model"]["base_url"] = address
    else:
        written["definition"]["sink"]["bootstrap_servers"] = servers
    path.write_bytes(orjson.dumps(written))
    account = Manifest.model_validate(written).definition.model.account
    announce(broker, topic, event_of(stage, key, account=account))
    duty = registrar(stage, broker, topic, forgetful)
    assert Drained(duty).run_once() == {"skipped": 1}
    assert forgetful.batches.rows() == []
    duty.close()


def test_what_the_operator_names_by_a_flag_is_believed_as_its_variable_is(
    stage: Stage, broker: LocalBroker, topic: str
) -> None:
    key = stage.submit()
    path = stage.path(stage.spool.batch("pipe", "sentiments", key)) / "manifest.json"
    written = orjson.loads(path.read_bytes())
    written["definition"]["sink"]["bootstrap_servers"] = "far.example:9092"
    path.write_bytes(orjson.dumps(written))
    announce(broker, topic, event_of(stage, key))
    for environ in (vouching({}, "far.example:9092"), {"BATCHLINE_BOOTSTRAP_SERVERS": "far.example:9092"}):
        with Store.open(f"sqlite:///{stage.folder / uuid4().hex}.db") as store:
            duty = registrar(stage, broker, topic, store, environ, SinkClusters(KafkaClusters(), lambda _: "far"))
            assert Drained(duty).run_once()["registered"] == 1
            duty.close()


def test_a_known_batch_is_not_sent_by_a_manifest_that_was_changed(stage: Stage) -> None:
    key = stage.plan()
    submission = stage.submission()
    path = stage.path(stage.spool.batch("pipe", "sentiments", key)) / "manifest.json"
    written = orjson.loads(path.read_bytes())
    written["definition"]["model"]["base_url"] = stage.server.openai_base_url + "/elsewhere"
    path.write_bytes(orjson.dumps(written))
    with pytest.raises(SpoolError, match="another definition"):
        submission.work(key)
    assert stage.server.witness().custom_ids()[f"{key}-0"] == 0


def test_offsets_are_committed_only_after_the_rows(
    stage: Stage, broker: LocalBroker, topic: str, forgetful: Store
) -> None:
    key = stage.submit()
    announce(broker, topic, event_of(stage, key))
    hidden = stage.path("").rename(stage.folder / "unmounted")
    first = registrar(stage, broker, topic, forgetful)
    with pytest.raises(SpoolError, match="mount it"):
        Drained(first).run_once()
    hidden.rename(stage.path(""))
    wait_until(lambda: first.run_once().get("registered") == 1)
    first.close()
    second = registrar(stage, broker, topic, forgetful)
    assert Drained(second).run_once() == {}, "what was registered is not given to the group again"
    second.close()


def test_what_a_dead_registrar_had_not_settled_comes_again(
    stage: Stage, broker: LocalBroker, topic: str, forgetful: Store
) -> None:
    key = stage.submit()
    announce(broker, topic, event_of(stage, key))
    dying = KafkaEvents({"bootstrap.servers": broker.bootstrap}, topic, f"test-{forgetful.shards.installation_id()}")
    wait_until(lambda: dying.take(10, 0.1))
    dying.close()
    duty = registrar(stage, broker, topic, forgetful)
    assert Drained(duty).run_once()["registered"] == 1
    duty.close()


def test_a_sink_cluster_that_is_away_delays_its_own_batches_only(
    server: ProviderServer, tmp_path: Path, broker: LocalBroker, topic: str
) -> None:
    here = Stage(server, tmp_path, sink={"bootstrap_servers": broker.bootstrap})
    near = here.plan()
    here.sink = {"bootstrap_servers": "127.0.0.1:1", "table": "away"}
    far = here.plan()
    duty = registrar(here, broker, topic)
    assert duty.run_once() == {"assigned": 1, "waiting": 1}
    assert here.batch(near).shard is not None
    assert here.batch(far).shard is None
    assert [away.dependency for away in report(here.store, here.clock).dependencies] == ["kafka 127.0.0.1:1"]
    duty.close()
    here.close()


def test_a_broker_that_goes_away_is_said_and_comes_back(
    server: ProviderServer, tmp_path: Path, own_broker: LocalBroker
) -> None:
    stage = Stage(server, tmp_path, sink={"bootstrap_servers": own_broker.bootstrap})
    own_broker.create_topics({"batches": ONE_PARTITION})
    with Store.open(f"sqlite:///{tmp_path / 'other.db'}") as forgetful:
        duty = registrar(stage, own_broker, "batches", forgetful)
        assert Drained(duty).run_once() == {}
        own_broker.kill()
        wait_until(lambda: _is_away(duty), 60)
        own_broker.restart()
        key = stage.submit()
        announce(own_broker, "batches", event_of(stage, key))
        wait_until(lambda: not _is_away(duty) and forgetful.batches.get(key) is not None, 60)
        duty.close()
    stage.close()


def _is_away(duty: Registrar) -> bool:
    try:
        duty.run_once()
    except KafkaUnavailable:
        return True
    return False
