"""Anyone may write to the progress topic: a poller neither stops, nor leaves records out, nor brings them out twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from shared.keys import batch_key
from shared.lifecycle import State
from shared.messages import ProgressMarker
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import read_topic
from tests.rig.results import SINK_TOPIC, Back, requests_of, sink
from tests.rig.stage import Stage

PROCESSING_SECONDS = 0.1
RECORDS = 20


@pytest.fixture
def back(server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Iterator[Back]:
    topic = make_topic("sentiments", SINK_TOPIC)
    stage = Stage(server, tmp_path, "openai", sink(broker, topic))
    yield Back(stage, broker, f"progress-{topic}")
    stage.close()


def write(back: Back, shard: int, *messages: tuple[bytes | None, bytes | None]) -> None:
    """Write to a shard's partition as somebody else would, without a transaction."""
    producer = Producer({"bootstrap.servers": back.broker.bootstrap, "message.max.bytes": 10_000_000})
    for key, value in messages:
        producer.produce(back.progress, value, key, partition=shard)
    assert producer.flush(30) == 0


def collected(back: Back) -> tuple[str, int]:
    """A collected batch, and the shard that it is to be published on."""
    key = back.stage.submit(RECORDS)
    back.collect(key)
    back.assign(key)
    return key, back.stage.batch(key).shard or 0


def first_of(back: Back) -> None:
    """Another batch is out, so that the topic is there."""
    key, _ = collected(back)
    assert back.publish(key).state is State.PUBLISHED


def test_what_others_write_beside_the_markers_is_passed_over(back: Back) -> None:
    first_of(back)
    key, shard = collected(back)
    foreign = batch_key("their", "own", "batch", 0).encode()
    junk: list[bytes | None] = [b"", b"no json", b"\xff" * 100, b"[" * 50_000, b"x" * 900_000, b'{"next":-1}', None]
    keys: list[bytes | None] = [None, b"", b"x" * 900_000, b"../..", foreign, b"\xff\xfe"]
    write(back, shard, *((name, value) for name in keys for value in junk))
    write(back, shard, (foreign, ProgressMarker(next=10**18, succeeded=10**18, failed=0, done=True).encode()))
    published = back.publish(key)
    assert (published.succeeded, published.failed) == (RECORDS, 0)
    ids = requests_of(
        [each for each in back.outputs(at_least=2 * RECORDS) if each.headers["batchline-batch"] == key.encode()]
    )
    assert ids == {f"{key}-{number}": 1 for number in range(RECORDS)}


@pytest.mark.parametrize(
    "forged",
    [
        b"no json",
        ProgressMarker(next=10**18, succeeded=0, failed=0).encode(),
        ProgressMarker(next=RECORDS, succeeded=0, failed=0, done=True).encode(),
        ProgressMarker(next=RECORDS // 2, succeeded=1, failed=0).encode(),
    ],
)
def test_a_marker_that_is_not_ours_stops_its_batch_and_no_other_until_it_is_put_right(
    back: Back, forged: bytes
) -> None:
    first_of(back)
    key, shard = collected(back)
    others = [collected(back) for _ in range(2)]
    write(back, shard, (key.encode(), forged))
    publisher = back.publisher()
    for other, _ in others:
        assert back.publish(other, publisher).state is State.PUBLISHED
    stuck = back.stage.batch(key)
    assert stuck.state is State.COLLECTED
    assert "it is not ours" in (stuck.error or "")
    publisher.close()
    assert key.encode() not in {each.headers["batchline-batch"] for each in back.outputs()}
    write(back, shard, (key.encode(), None))
    assert back.publish(key).succeeded == RECORDS
    assert sum(1 for each in read_topic(back.broker.bootstrap, back.progress) if each.key == key.encode()) > 2
