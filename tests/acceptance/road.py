"""The whole road as a user runs it: a FILE.sql, the real commands, a real broker, the strict fake provider."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import orjson
from confluent_kafka import Producer

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.topics import TopicSettings
from tests.rig.kafka import Record, read_topic
from tests.rig.leaks import Leaks
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

KEYS = {"OPENAI_API_KEY": "key-of-openai-0451", "ANTHROPIC_API_KEY": "key-of-anthropic-0451"}
START_SECONDS = 300
"""For a job to start, work and end on a busy machine."""


@dataclass
class Road:
    """One pipeline with everything around it, all of this test's own but the broker."""

    broker: LocalBroker
    server: ProviderServer
    processes: Processes
    folder: Path
    provider: str = "openai"
    store: str = ""
    spool: str = ""
    bounded: bool = True
    tag: str = field(default_factory=lambda: uuid4().hex[:8])
    produced: list[str | None] = field(default_factory=list)
    keys: Mapping[str, str] = field(default_factory=lambda: KEYS)

    def __post_init__(self) -> None:
        self.store = self.store or f"sqlite:///{self.folder / 'state.db'}"
        self.spool = self.spool or f"file://{self.folder / 'spool'}"
        for name in ("reviews", "answers", "others"):
            self.create_topic(name)

    def topic(self, name: str) -> str:
        return f"{name}-{self.tag}"

    def create_topic(self, name: str) -> None:
        self.broker.create_topics({self.topic(name): TopicSettings(partitions=2)})

    @property
    def environ(self) -> dict[str, str]:
        return {
            **self.keys,
            "OPENAI_BASE_URL": self.server.openai_base_url,
            "ANTHROPIC_BASE_URL": self.server.anthropic_base_url,
            "KAFKA": self.broker.bootstrap,
            "BATCHLINE_STATE_STORE": self.store,
            "BATCHLINE_SPOOL": self.spool,
            "BATCHLINE_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "BATCHLINE_BATCHES_TOPIC": self.topic("batches"),
            "BATCHLINE_POLL_INTERVAL": "0.2",
            "BATCHLINE_POLL_MAX_INTERVAL": "1",
            "BATCHLINE_CREATE_QUARANTINE": "5",
        }

    # The job.

    def model(self, name: str = "echo", provider: str | None = None, **options: str) -> str:
        """A model whose answer carries the SHA-256 of its prompt."""
        named = provider or self.provider
        endpoint = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5"}[named]
        key = {"openai": "${OPENAI_API_KEY}", "anthropic": "${ANTHROPIC_API_KEY}"}[named]
        given = {"provider": named, "model": endpoint, "api-key": key, "batch.max-requests": "40", **options}
        listed = ", ".join(f"'{option}' = '{value}'" for option, value in given.items())
        return f"CREATE MODEL {name} INPUT (review STRING) OUTPUT (answer STRING) WITH ({listed});"

    def tables(self) -> str:
        """The source, and two sinks."""
        ends = ", 'scan.bounded.mode' = 'latest-offset'" if self.bounded else ""
        source = f"""CREATE TABLE reviews (id INT, review STRING) WITH ('connector' = 'kafka', 'format' = 'json',
            'topic' = '{self.topic("reviews")}', 'properties.bootstrap.servers' = '${{KAFKA}}',
            'scan.startup.mode' = 'earliest-offset'{ends});"""
        sinks = [
            f"""CREATE TABLE {sink} (id INT, answer STRING) WITH ('connector' = 'kafka',
            'topic' = '{self.topic(sink)}', 'properties.bootstrap.servers' = '${{KAFKA}}', 'key.format' = 'json',
            'key.fields' = 'id', 'value.format' = 'json', 'properties.isolation.level' = 'read_committed');"""
            for sink in ("answers", "others")
        ]
        return "\n".join([source, *sinks])

    def insert(self, sink: str = "answers", model: str = "echo") -> str:
        return (
            f"INSERT INTO {sink} SELECT id, answer FROM ML_PREDICT(TABLE reviews, MODEL {model}, DESCRIPTOR(review));"
        )

    def write(self, *statements: str, settings: Mapping[str, str] | None = None) -> Path:
        """Write FILE.sql: settings, tables, and the statements (by default one model and one INSERT)."""
        given = {
            "batchline.pipeline": f"pipe-{self.tag}",
            "batchline.spool": self.spool,
            "batchline.state-store": "${BATCHLINE_STATE_STORE}",
            "batchline.batches-topic": self.topic("batches"),
            "batchline.create-quarantine": "5 s",
            "execution.checkpointing.interval": "1 s",
            **(settings or {}),
        }
        lines = [f"SET '{name}' = '{value}';" for name, value in given.items()]
        body = statements or (self.model(**{"batch.max-age": "2 s"}), self.insert())
        path = self.folder / "pipeline.sql"
        path.write_text("\n".join([*lines, self.tables(), *body]))
        return path

    # The records.

    def produce(self, reviews: Sequence[str | None]) -> None:
        """Append reviews to the source; their ids count on."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap})
        for number, review in enumerate(reviews, len(self.produced)):
            producer.produce(self.topic("reviews"), orjson.dumps({"id": number, "review": review}), key=str(number))
        assert producer.flush(30) == 0
        self.produced += reviews

    # The commands.

    def submitter(self, file: Path, *flags: str) -> Child:
        return self.processes.command("submitter", "run", str(file), *flags, env=self.environ)

    def poller(self, *arguments: str, **environ: str) -> Child:
        return self.processes.command("poller", *(arguments or ("run",)), env={**self.environ, **environ})

    # What came of it.

    def outputs(self, sink: str = "answers") -> list[Record]:
        return read_topic(self.broker.bootstrap, self.topic(sink))

    def wait_for(self, count: int, sink: str = "answers", deadline: float = START_SECONDS) -> list[Record]:
        """Wait until at least `count` outputs are committed."""
        found: list[Record] = []

        def enough() -> bool:
            found[:] = self.outputs(sink)
            return len(found) >= count

        wait_until(enough, deadline, lambda: f"{count} outputs in {sink}, there are {len(found)}", interval=0.5)
        return found

    def check(self, sink: str = "answers", *, paid: int = 1, failed: Mapping[int, str] | None = None) -> None:
        """Every record is out exactly once with its own answer, and none was paid for more than `paid` times."""
        outputs = self.outputs(sink)
        ids = Counter(record.json()["id"] for record in outputs)
        assert ids == Counter(range(len(self.produced))), f"not exactly once: {_difference(ids, len(self.produced))}"
        causes = failed or {}
        for record in outputs:
            value, status = record.json(), record.headers["batchline-status"]
            if value["id"] in causes:
                assert (value["answer"], status) == (None, b"failed")
                assert (record.headers["batchline-error"] or b"").decode().startswith(causes[value["id"]])
                continue
            review = self.produced[value["id"]]
            assert review is not None
            assert status == b"succeeded", record.headers
            assert value["answer"].startswith(f"sha256={sha256(review)} "), "an answer belongs to another record"
        billed = self.server.witness().billed_prompts()
        prompts = Counter(sha256(review or "") for number, review in enumerate(self.produced) if number not in causes)
        over = {prompt: count for prompt, count in billed.items() if count > prompts[prompt] * paid}
        assert not over, f"{len(over)} prompts were paid for more often than {paid} times"

    def secrets(self) -> list[str]:
        """Every file below this test's folder that holds a key; the fake provider's own excepted."""
        return list(Leaks(self.keys.values()).in_files(self.folder))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _difference(found: Counter[int], total: int) -> str:
    missing = [number for number in range(total) if number not in found]
    twice = [number for number, count in found.items() if count > 1]
    return f"{len(missing)} missing {missing[:5]}, {len(twice)} more than once {twice[:5]}"
