"""A road whose pipeline is stopped, killed and started again: savepoints, topics that change, the ledger."""

import json
import os
import signal
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil
from confluent_kafka import KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.topics import TopicSettings
from shared.store import Store
from tests.acceptance.road import Road
from tests.integration.job_files import free_port, sealed_rows
from tests.rig.waiting import wait_until

PATIENCE = 400
"""Seconds, on a busy machine."""
Position = tuple[str, int, int]
"""Topic id, partition, offset."""


@dataclass
class Again(Road):
    """`topics` are the names that the input table reads, `source` further options of it."""

    topics: Sequence[str] = ("reviews",)
    source: dict[str, str] = field(default_factory=dict)
    elsewhere: LocalBroker | None = None
    """The cluster of the input, where it is another one."""
    added: Sequence[str] = ()
    """Columns of type INT that the input and both sinks have beside theirs."""
    rest: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        super().__post_init__()
        for topic in self.topics:
            self.create_source(topic)

    @property
    def pipeline(self) -> str:
        return f"pipe-{self.tag}"

    @property
    def sources_servers(self) -> str:
        """The brokers of the input."""
        return (self.elsewhere or self.broker).bootstrap

    def create_source(self, topic: str) -> None:
        (self.elsewhere or self.broker).create_topics({self.topic(topic): TopicSettings(partitions=2)})

    def tables(self) -> str:
        """The source with its topics and options, and the sinks."""
        options = {
            "connector": "kafka",
            "format": "json",
            "properties.bootstrap.servers": self.sources_servers,
            "scan.startup.mode": "earliest-offset",
            **({"scan.bounded.mode": "latest-offset"} if self.bounded else {}),
            **(self.source if "topic-pattern" in self.source else {"topic": self.listed, **self.source}),
        }
        listed = ", ".join(f"'{name}' = '{value}'" for name, value in options.items())
        more = "".join(f", {name} INT" for name in self.added)
        _, sinks = super().tables().split(";\n", 1)
        sinks = sinks.replace("(id INT, answer STRING)", f"(id INT, answer STRING{more})")
        return f"CREATE TABLE reviews (id INT, review STRING{more}) WITH ({listed});\n{sinks}"

    def insert(self, sink: str = "answers", model: str = "echo") -> str:
        more = "".join(f", {name}" for name in self.added)
        return super().insert(sink, model).replace("SELECT id, answer", f"SELECT id, answer{more}")

    @property
    def listed(self) -> str:
        """The option 'topic'."""
        return ";".join(self.topic(name) for name in self.topics)

    # The records.

    def send(self, topic: str, reviews: Sequence[str], *, partition: int = -1) -> None:
        """Append to one topic; the ids count on over all of them."""
        producer = Producer({"bootstrap.servers": self.sources_servers})
        self._produce(producer, topic, reviews, partition)
        assert producer.flush(30) == 0

    def send_in_transactions(self, topic: str, reviews: Sequence[str], each: int) -> None:
        """As `send`; every transaction leaves an offset in its partitions that no record has."""
        producer = Producer({"bootstrap.servers": self.sources_servers, "transactional.id": f"{self.tag}-{topic}"})
        producer.init_transactions(30)
        for start in range(0, len(reviews), each):
            producer.begin_transaction()
            self._produce(producer, topic, reviews[start : start + each], -1)
            producer.commit_transaction(30)

    def _produce(self, producer: Producer, topic: str, reviews: Sequence[str], partition: int) -> None:
        for number, review in enumerate(reviews, len(self.produced)):
            value = orjson.dumps({"id": number, "review": review})
            producer.produce(self.topic(topic), value, key=str(number), partition=partition)
        self.produced += reviews

    def add_partitions(self, topic: str, total: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.sources_servers})
        admin.create_partitions([NewPartitions(self.topic(topic), total)])[self.topic(topic)].result(30)

    def recreate(self, topic: str) -> None:
        """Delete a topic and create it again, empty, with another id."""
        admin = AdminClient({"bootstrap.servers": self.sources_servers})
        name, old = self.topic(topic), self.topic_id(topic)
        admin.delete_topics([name])[name].result(30)
        wait_until(lambda: name not in admin.list_topics(timeout=10).topics, 30, f"{name} to be gone")
        self.create_source(topic)

        def is_new() -> bool:
            # One that was just created is unknown to the broker for a moment.
            with suppress(KafkaException):
                return self.topic_id(topic) != old
            return False

        wait_until(is_new, 30, f"{name} to be another topic")

    def topic_id(self, topic: str) -> str:
        admin = AdminClient({"bootstrap.servers": self.sources_servers})
        name = self.topic(topic)
        return str(admin.describe_topics(TopicCollection([name]))[name].result(30).topic_id)

    # The job.

    def start(self, sql: Path, *flags: str) -> Child:
        return self.submitter(sql, "-D", f"rest.port={self.rest}", *flags)

    def stop(self, submitter: Child) -> None:
        submitter.signal(signal.SIGTERM)
        assert submitter.wait(PATIENCE) == 0, submitter.tail()

    def savepoint(self) -> str:
        """Have the running job write a savepoint, and go on; its address."""
        job = self._ask("/jobs")["jobs"][0]["id"]
        folder = {"target-directory": (self.folder / "savepoints").as_uri(), "cancel-job": False}
        trigger = self._ask(f"/jobs/{job}/savepoints", folder)["request-id"]

        def written() -> str | None:
            told = self._ask(f"/jobs/{job}/savepoints/{trigger}")["operation"] or {}
            assert "failure-cause" not in told, told
            return str(told["location"]) if "location" in told else None

        return wait_until(written, PATIENCE, "the savepoint")

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.rest}{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    @contextmanager
    def nothing_planned(self, submitter: Child) -> Iterator[None]:
        """While the block lasts the desk stands still; at its end all of the run is killed, as with the machine."""
        (desk,) = (
            child
            for child in psutil.Process(submitter.pid).children(recursive=True)
            if "submitter.desk.main" in child.cmdline()
        )
        desk.suspend()
        yield
        os.killpg(submitter.pid, signal.SIGKILL)
        submitter.wait(30)

    def checkpoints(self) -> Path:
        return self.folder / "spool" / self.pipeline / "checkpoints"

    # What came of it.

    @property
    def sealed(self) -> Path:
        return self.folder / "spool" / self.pipeline / "answers" / "sealed"

    def in_files(self, sealed: Path | None = None) -> set[tuple[int, int, int]]:
        """The position of every row in a finished file: topic's number, partition, offset."""
        return {tuple(row["position"]) for row in sealed_rows(sealed or self.sealed)}

    def paid(self) -> set[Position]:
        """Every position in the ledger."""
        with Store.open(self.store) as store:
            runs = store.positions.all(self.pipeline, "answers")
        return {(run.topic_id, run.partition, offset) for run in runs for offset in range(run.start, run.end)}

    def skipped(self) -> int:
        """Rows that the newest run read again, and did not send."""
        with Store.open(self.store) as store:
            return store.lineage.runs(self.pipeline, 1)[0].skipped

    def planned_files(self) -> int:
        with Store.open(self.store) as store:
            return sum(store.plans.is_planned(self._address(path)) for path in self.finished())

    def finished(self) -> list[Path]:
        return [path for path in self.sealed.rglob("*") if path.is_file() and path.name[0] not in "._"]

    def _address(self, path: Path) -> str:
        return str(path.relative_to(self.folder / "spool"))

    def status(self) -> dict[str, Any]:
        """The pipeline's row in `poller status --json`."""
        told = self.poller("status", "--json")
        assert told.wait(60) == 0, told.tail()
        (row,) = json.loads(told.log.read_text())["pipelines"]
        return dict(row)


def said(child: Child) -> str:
    """All that a command has written."""
    return child.log.read_text()


def wait_for_words(child: Child, words: str) -> None:
    """Wait until a command says something. It must not end before."""

    def is_said() -> bool:
        assert words in said(child) or child.running, child.tail()
        return words in said(child)

    wait_until(is_said, PATIENCE, lambda: f"'{words}'; {child.tail()}", interval=0.2)
