"""From a submitted batch to the sink: the real provider adapters, store and broker."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from shared.lifecycle import Event, State
from shared.messages import Header
from tests.rig.fixtures import MakeTopic
from tests.rig.results import SINK_TOPIC, Back, requests_of, sink
from tests.rig.stage import Stage

PROCESSING_SECONDS = 0.1
MODELS = {"openai": b"gpt-5-mini", "anthropic": b"claude-haiku-4-5"}


@pytest.fixture(params=["openai", "anthropic"])
def back(
    request: pytest.FixtureRequest,
    server: ProviderServer,
    broker: LocalBroker,
    make_topic: MakeTopic,
    tmp_path: Path,
) -> Iterator[Back]:
    server.clear_faults()
    topic = make_topic("sentiments", SINK_TOPIC)
    stage = Stage(server, tmp_path, request.param, sink(broker, topic))
    yield Back(stage, broker, f"progress-{topic}")
    stage.close()


def test_every_record_comes_out_once_with_its_headers(back: Back) -> None:
    key = back.stage.submit(50)
    collected = back.collect(key)
    assert (collected.records, collected.carried, collected.input_tokens > 0) == (50, 0, True)
    published = back.publish(key)
    assert published.state is State.PUBLISHED
    assert (published.succeeded, published.failed, published.in_flight) == (50, 0, 0)
    records = back.outputs(at_least=50)
    assert requests_of(records) == {f"{key}-{number}": 1 for number in range(50)}
    for record in records:
        value = record.json()
        number = int((record.headers[Header.REQUEST] or b"").decode().rpartition("-")[2])
        assert value["review_id"] == str(number)
        assert isinstance(value["label"], str | None)
        assert isinstance(value["score"], float | None)
        assert record.key == b'{"review_id":"%d"}' % number
        assert record.headers[Header.POSITION] == b"reviews/0/%d" % number
        assert record.headers[Header.STATUS] == b"succeeded"
        assert record.headers[Header.BATCH] == key.encode()
        assert record.headers[Header.PROVIDER_BATCH] == (published.provider_batch_id or "").encode()
        assert record.headers["batchline-model"] == MODELS[back.stage.provider]
        assert record.headers["batchline-generation"] == b"0"


def test_a_carried_record_comes_out_with_its_generation(back: Back) -> None:
    """The first batch is lost, a record of its child fails, and nothing is carried a second time."""
    stage = back.stage
    stage.batch_options = {"max_retries": 1}
    key = stage.submit(4)
    stage.store.batches.apply(key, Event.LOSE)
    back.collect(key)
    (child,) = back.children(key)
    stage.server.set_fault("line_errored", numbers=[1])
    stage.submission().work(child.batch_key)
    first, second = back.finish(key)
    assert (first.carried, second.succeeded, second.failed) == (4, 3, 1)
    records = back.outputs(at_least=4)
    assert {record.headers["batchline-model"] for record in records} == {MODELS[stage.provider]}
    assert {record.headers["batchline-generation"] for record in records} == {b"1"}
    assert {record.headers["batchline-batch"] for record in records} == {child.batch_key.encode()}
    assert Counter(record.headers["batchline-status"] for record in records) == {b"succeeded": 3, b"failed": 1}
    assert {record.headers["batchline-position"] for record in records} == {b"reviews/0/%d" % n for n in range(4)}
