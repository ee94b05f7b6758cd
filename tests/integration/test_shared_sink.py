"""A sink that others write to as well: their open transactions keep nobody waiting, and are left as they are."""

from pathlib import Path

import pytest
from confluent_kafka import Producer

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from shared.lifecycle import State
from shared.messages import Header
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import read_topic
from tests.rig.outages import RECORDS, collected
from tests.rig.results import SINK_TOPIC, requests_of


@pytest.mark.parametrize("batch", [None, "c" * 26 + "-0"])
def test_an_open_transaction_of_another_producer(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path, batch: str | None
) -> None:
    """Without and with the headers of a poller: what another shard sends looks like what this one may have left."""
    topic = make_topic("sentiments", SINK_TOPIC)
    another = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": f"another-{topic}"})
    another.init_transactions(30)
    another.begin_transaction()
    headers: list[tuple[str, str | bytes | None]] = []
    if batch:
        headers = [(Header.BATCH, batch), (Header.REQUEST, f"{batch}-0")]
    for partition in range(SINK_TOPIC.partitions):
        another.produce(topic, b"theirs", b"k", partition, headers=headers)
    another.flush()
    with collected(server, broker, tmp_path, topic) as back:
        (row,) = back.stage.store.batches.rows()
        assert back.publish(row.batch_key).state is State.PUBLISHED
        assert read_topic(broker.bootstrap, topic) == []
        another.commit_transaction()
        records = back.outputs(at_least=RECORDS + SINK_TOPIC.partitions)
    theirs = [record for record in records if record.value == b"theirs"]
    assert len(theirs) == SINK_TOPIC.partitions
    ours = [record for record in records if record.value != b"theirs"]
    assert requests_of(ours) == {f"{row.batch_key}-{number}": 1 for number in range(RECORDS)}
