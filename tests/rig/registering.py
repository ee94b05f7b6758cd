"""A registrar over a real topic, and the events that it is told."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Producer

from deploy.sandbox.broker import LocalBroker
from poller.health import Watchdog
from poller.register.consumer import KafkaEvents
from poller.register.registrar import Registering, Registrar
from poller.register.sinks import SinkClusters
from shared.kafka import KafkaClusters
from shared.messages import BatchEvent
from shared.store import Store
from tests.rig.stage import Stage

SHARDS = 4


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
