"""The real daemon, fed a thousand hostile and foreign events of many kinds among three good ones."""

import os
import random
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider.server import ProviderServer
from deploy.sandbox.topics import TopicSettings
from shared.keys import batch_key
from shared.lifecycle import State
from shared.manifest import Manifest
from shared.messages import BatchEvent
from shared.store import Store
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import read_topic
from tests.rig.processes import Processes
from tests.rig.results import SINK_TOPIC, requests_of, sink
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

PROCESSING_SECONDS = 0.1
EVENTS, RECORDS = 1000, 4
MOST_GROWTH = 32 << 10
"""Kilobytes that the daemon may grow beyond what it has needed at most for one batch: reading a thousand events, and
publishing three batches more, took 12 MB of it. The events have 9 MB; kept in memory, parsed, they would be many times
that.
"""
MOST_LINES = 60
BATCHES_TOPIC = TopicSettings(cleanup="compact", config={"max.message.bytes": "2000000"})

Message = tuple[bytes, bytes | None]


@pytest.fixture
def stage(server: ProviderServer, tmp_path: Path, broker: LocalBroker, make_topic: MakeTopic) -> Iterator[Stage]:
    made = Stage(server, tmp_path, sink=sink(broker, make_topic("results", SINK_TOPIC)))
    yield made
    made.close()


class Elsewhere:
    """Whatever calls an address that is not this machine's goes through here, and is counted."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.calls.append(connection.recv(200))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    running = Elsewhere()
    yield running
    running.close()


def good(stage: Stage, key: str, **changes: object) -> Message:
    """The event of a batch, or a variation of it."""
    batch = stage.batch(key)
    said = {
        **{name: getattr(batch, name) for name in BatchEvent.model_fields if hasattr(batch, name)},
        "spool": stage.spool.batch(batch.pipeline, batch.statement, key),
        **changes,
    }
    event = BatchEvent.model_validate(said)
    return event.batch_key.encode(), event.encode()


def traps(stage: Stage, key: str) -> Iterator[Message]:
    """Events of batches in places where reading waits for ever, or never ends, or leads out of the spool."""
    outside, inside = stage.folder / "outside" / "batches" / key, stage.path("pipe")
    for folder in (outside, inside / "piped" / "batches" / key):
        folder.mkdir(parents=True)
        os.mkfifo(folder / "manifest.json")
    (inside / "linked").symlink_to(stage.folder / "outside")
    (inside / "ring").symlink_to(inside / "ring")
    (inside / "run.lock").touch()
    (inside / "endless" / "batches" / key).mkdir(parents=True)
    (inside / "endless" / "batches" / key / "manifest.json").symlink_to("/dev/zero")
    named = [("pipe", name) for name in ("linked", "piped", "ring", "run.lock", "endless", "../../outside")]
    for pipeline, statement in (*named, ("..", "outside"), ("pipe/../..", "outside")):
        yield good(stage, key, pipeline=pipeline, statement=statement, spool=f"{pipeline}/{statement}/batches/{key}")


def baited(stage: Stage, key: str, number: int) -> Message:
    """The event of a batch that somebody put into the spool, whose manifest names addresses of theirs."""
    own = batch_key("pipe", f"bait{number}", "file", 0)
    source, folder = stage.path(f"pipe/sentiments/batches/{key}"), stage.path(f"pipe/bait{number}/batches/{own}")
    shutil.copytree(source, folder)
    written = orjson.loads((folder / "manifest.json").read_bytes())
    written |= {"batch_key": own, "statement": f"bait{number}"}
    written["definition"]["statement"] = f"bait{number}"
    if number % 2:
        written["definition"]["model"]["base_url"] = "http://evil.example:9/v1"
    else:
        written["definition"]["sink"]["bootstrap_servers"] = "evil.example:9092"
    (folder / "manifest.json").write_bytes(orjson.dumps(written))
    account = Manifest.model_validate(written).definition.model.account
    spool = f"pipe/bait{number}/batches/{own}"
    return good(stage, key, batch_key=own, statement=f"bait{number}", account=account, spool=spool)


ODD: list[object] = [
    None,
    -1,
    10**18,
    1e308,
    "x" * 5000,
    [],
    {},
    "\u202e\x1b[2J",
    "../../etc/passwd",
    "0001-01-01T00:00Z",
]


def variations(stage: Stage, key: str) -> list[Callable[[int], Message]]:
    """Kinds of messages, each of many forms, by a number."""
    name, known = key.encode(), good(stage, key)[1] or b""
    fields = [field for field in BatchEvent.model_fields if field != "batch_key"]

    def spoilt(number: int) -> Message:
        event = {**orjson.loads(known), fields[number % len(fields)]: ODD[number // len(fields) % len(ODD)]}
        return name, orjson.dumps(event)

    return [
        lambda number: (name, random.Random(number).randbytes(number)),
        lambda number: (name, known[: number % len(known)]),
        lambda number: (b"k%d" % number, known),
        lambda number: (name, b"[" * (number * 60)),
        lambda number: (name, b'{"batch_key":"' + b"x" * (number * 900) + b'"}'),
        lambda number: (name, known[:-1] + b',"records":1' + b"0" * (1 + number * 60) + b"}"),
        lambda number: (random.Random(number).randbytes(20), None),
        lambda number: good(stage, key, batch_key=f"{key}{number}", spool=f"pipe/sentiments/batches/{key}{number}"),
        lambda number: good(stage, key, provider_batch_id=f"batch_of_another_{number}"),
        lambda number: good(stage, key, account=f"openai:KEY{number}@evil.example", records=number),
        lambda number: good(stage, key, pipeline=f"p{number}", spool=f"p{number}/sentiments/batches/{key}"),
        spoilt,
    ]


def hostile(stage: Stage, key: str) -> list[Message]:
    """Of a batch that the store does not know: of one that it knows nothing is read."""
    kinds = variations(stage, key)
    made = [*traps(stage, key), *(baited(stage, key, number) for number in range(20))]
    return [*made, *(kinds[number % len(kinds)](number // len(kinds)) for number in range(EVENTS - len(made)))]


def produce(broker: LocalBroker, topic: str, messages: list[Message]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 2_000_000})
    for name, value in messages:
        producer.produce(topic, value, name)
    assert producer.flush(60) == 0


def start(stage: Stage, broker: LocalBroker, topic: str, store: str, processes: Processes, proxy: str) -> Child:
    return processes.command(
        "poller",
        "run",
        env={
            **ENVIRON,
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), proxy),
            "NO_PROXY": "127.0.0.1,localhost",
            "BATCHLINE_STATE_STORE": store,
            "BATCHLINE_BOOTSTRAP_SERVERS": broker.bootstrap,
            "BATCHLINE_BATCHES_TOPIC": topic,
            "BATCHLINE_PROGRESS_TOPIC": f"progress-{topic}",
            "BATCHLINE_SPOOL": stage.spool_url,
            "BATCHLINE_POLL_INTERVAL": "0.2",
            "BATCHLINE_SHARDS": "2",
        },
    )


def most_memory(daemon: Child) -> int:
    """Kilobytes."""
    return int(Path(f"/proc/{daemon.pid}/status").read_text().partition("VmHWM:")[2].split()[0])


def is_read(broker: LocalBroker, topic: str, group: str) -> bool:
    """Whether a group has committed all of a topic."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    try:
        (place,) = consumer.committed([TopicPartition(topic, 0)], timeout=10)
        return place.offset == consumer.get_watermark_offsets(place, timeout=10)[1]
    finally:
        consumer.close()


def test_good_events_among_a_thousand_hostile_ones_are_published_and_nothing_else_happens(
    stage: Stage, broker: LocalBroker, make_topic: MakeTopic, processes: Processes, elsewhere: Elsewhere
) -> None:
    first, *keys = [stage.submit(RECORDS) for _ in range(4)]
    # Never announced as it is.
    messages = hostile(stage, stage.submit(RECORDS))
    for place, key in zip((900, 600, 250), keys, strict=True):
        messages.insert(place, good(stage, key))
    topic = make_topic("batches", BATCHES_TOPIC)
    # A store that has never heard of the batches: only their events tell of them.
    other = f"sqlite:///{stage.folder / 'other.db'}"
    with Store.open(other) as store:

        def are_out(*wanted: str) -> bool:
            batches = [store.batches.get(key) for key in wanted]
            return all(batch is not None and batch.state is State.PUBLISHED for batch in batches)

        produce(broker, topic, [good(stage, first)])
        daemon = start(stage, broker, topic, other, processes, elsewhere.url)
        wait_until(lambda: are_out(first), 60, daemon.tail)
        before = most_memory(daemon)
        produce(broker, topic, messages)
        wait_until(lambda: are_out(*keys), 60, daemon.tail)
        group = f"batchline-{store.shards.installation_id()}"
        wait_until(lambda: is_read(broker, topic, group), 60, daemon.tail)
        grown = most_memory(daemon) - before
        assert daemon.running
        assert {batch.batch_key for batch in store.batches.rows()} == {first, *keys}
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(30) == 0
    records = read_topic(broker.bootstrap, stage.definition().sink.topic, at_least=4 * RECORDS)
    assert requests_of(records) == {f"{key}-{number}": 1 for key in (first, *keys) for number in range(RECORDS)}
    assert elsewhere.calls == []
    assert grown < MOST_GROWTH, f"{grown} kB more than {before} kB"
    log = daemon.log.read_text()
    assert len(log.splitlines()) < MOST_LINES, log
    assert "why=untrusted" in log
    assert all("untrusted" in line for line in log.splitlines() if "evil.example" in line)
    assert "dependency.away" not in log, "what was put into the spool keeps no duty from its work"
    assert "key-of-openai" not in log
    assert log.isascii()
