"""Registration from a real topic: idempotent, never backwards, and safe through whatever stops it."""

from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.operate.status import report
from poller.register.consumer import KafkaEvents
from poller.register.place import Place, keep_place
from poller.register.registrar import Drained, Registrar
from poller.register.sinks import SinkClusters
from shared.errors import KafkaUnavailable, SpoolError
from shared.kafka import KafkaClusters
from shared.lifecycle import Event, State
from shared.store import Store
from tests.rig.fixtures import ONE_PARTITION
from tests.rig.registering import SHARDS, announce, event_of, registrar
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

PROCESSING_SECONDS = 0.3


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
