"""A record that is a JSON array gives several rows, and Flink's sink may begin a file with any of them."""

from collections import Counter
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider import ProviderServer
from tests.acceptance.again import PATIENCE, Again, said
from tests.rig.processes import Processes

pytestmark = pytest.mark.timeout(1800)
ARRAYS, EACH = 30, 7


def send_arrays(road: Again) -> None:
    producer = Producer({"bootstrap.servers": road.broker.bootstrap})
    for _ in range(ARRAYS):
        numbers = range(len(road.produced), len(road.produced) + EACH)
        reviews = [f"review {number}" for number in numbers]
        rows = [{"id": number, "review": review} for number, review in zip(numbers, reviews, strict=True)]
        producer.produce(road.topic("reviews"), orjson.dumps(rows), partition=0)
        road.produced += reviews
    assert producer.flush(30) == 0


def test_every_element_comes_out_once_wherever_a_file_ends_and_a_job_goes_on(
    broker: LocalBroker, provider_server: ProviderServer, processes: Processes, tmp_path: Path
) -> None:
    road = Again(broker, provider_server, processes, tmp_path, bounded=False)
    sql = road.write(road.model(**{"batch.max-age": "30 s", "batch.max-bytes": "2 kb"}), road.insert())
    poller, first = road.poller(), road.start(sql)
    send_arrays(road)
    road.wait_for(len(road.produced) // 2, deadline=PATIENCE)
    # The file that is in progress goes on under its own name, and the next one under another job's.
    road.stop(first)
    again = road.start(sql)
    send_arrays(road)
    road.wait_for(len(road.produced), deadline=PATIENCE)
    road.stop(again)
    assert poller.terminate() == 0

    road.check()
    files = [{orjson.loads(line)["position"][2] for line in path.read_bytes().splitlines()} for path in road.finished()]
    cut = Counter(offset for offsets in files for offset in offsets)
    assert max(cut.values()) > 1, "no file ended within a record"
    assert "came again" not in said(again)
