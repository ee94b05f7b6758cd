"""The pipeline of one run: its definition, its sealed files as Flink leaves them, and what its processes are told."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import update

from shared.clock import system_clock
from shared.definition import BatchOptions, Column, Definition, Model, Projected
from shared.store import Store
from shared.store.address import engine_for, parse
from shared.store.budgets import PIPELINE, Limit
from shared.store.database import Database
from shared.store.tables import installation
from tests.chaos.draft import QUARANTINE, text_of
from tests.rig.samples import STRING, definition, sealed_line

if TYPE_CHECKING:
    from tests.chaos.world import World

KEYS = {"OPENAI_API_KEY": "key-of-openai-8125940127", "ANTHROPIC_API_KEY": "key-of-anthropic-8125940127"}
SOON = timedelta(seconds=3)
"""What is due by then is not worth a jump of the clock."""
KAFKA = """[DEFAULT]
session.timeout.ms = 600
heartbeat.interval.ms = 150
transaction.timeout.ms = 10000
fetch.wait.max.ms = 50
fetch.error.backoff.ms = 50
reconnect.backoff.max.ms = 500
topic.metadata.refresh.fast.interval.ms = 50
retry.backoff.ms = 20
"""
_KNOWN_CREATES = """SELECT count(*) FROM (
    SELECT provider_batch_id FROM attempts WHERE provider_batch_id IS NOT NULL
    UNION SELECT provider_batch_id FROM strays WHERE settled_at IS NOT NULL) AS known"""
"""Of which nothing more is to be learned."""
_MARKERS = "SELECT count(*) FROM batches WHERE marker_forgotten_at IS NULL"
PIPE, STATEMENT = "pipe", "answers"
_MODELS: dict[str, dict[str, Any]] = {
    "openai": {},
    "anthropic": {
        "provider": "anthropic",
        "task": "messages",
        "path": "/v1/messages",
        "api_key": "ANTHROPIC_API_KEY",
        "model": "claude-haiku-4-5",
    },
}


class Pipeline:
    """Records are `text_of(n)`, counted over all files; a record's number is its key, and its offset."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._spool = world.folder / "spool"
        self.records = 0
        self.empty: set[int] = set()
        """The numbers of records without a text."""
        self.files: list[Path] = []
        self._definition: Definition | None = None
        (world.folder / "kafka.properties").write_text(KAFKA)

    def begin(self) -> None:
        """Tell the store what a run of Flink would have told it."""
        self._definition = _definition(self._world)
        self._spool.mkdir()
        database = Database(engine_for(parse(self._world.store)), system_clock)
        with database.write() as connection:
            # Groups and transactional ids bear its name: no run may meet those of another.
            connection.execute(update(installation).values(id=uuid4().hex))
        with Store(database) as store:
            store.lineage.claim_name(PIPE, "/pipeline.sql")
            store.lineage.begin(PIPE, definition=self._definition.hash, spool=self._address)
            store.lineage.put_definition(self._definition)
            store.budgets.state(PIPE, [Limit(PIPELINE, None, self._world.case.limit)])

    def seal(self, records: int, files: int) -> None:
        """Rename files with so many records more into their place."""
        cuts = [self.records + records * number // files for number in range(files + 1)]
        for first, last in pairwise(cuts):
            self._seal([sealed_line(n, text_of(n), [0, 0, n]) for n in range(first, last)])

    def seal_empty(self, records: int) -> None:
        """The same with a file of records that have no text: they come out failed."""
        numbers = range(self.records, self.records + records)
        self.empty |= set(numbers)
        self._seal([sealed_line(n, None, [0, 0, n]) for n in numbers])

    def _seal(self, lines: list[bytes]) -> None:
        assert self._definition is not None
        folder = self._spool / PIPE / STATEMENT / "sealed" / self._definition.hash
        folder.mkdir(parents=True, exist_ok=True)
        name = f"part-{uuid4()}-0-{len(self.files)}"
        in_progress = folder / f".{name}.inprogress.{uuid4()}"
        in_progress.write_bytes(b"".join(lines))
        in_progress.rename(folder / name)
        self.files.append(folder / name)
        self.records += len(lines)

    def is_quiet(self) -> bool:
        """Whether the store says that everything is out, and the janitor, where it may, has deleted everything."""
        case, census = self._world.case, self._world.census
        count = census.count(self._world.now() + SOON)
        if count is None or count.planned < len(self.files) or count.open:
            return False
        if case.retention == 0 and any(file.exists() for file in self.files):
            return False
        if case.is_hidden and len(self._world.provider.witness().creates()) != census.number(_KNOWN_CREATES):
            return False
        return not case.forgets or census.number(_MARKERS) == 0

    def is_at_work(self) -> bool:
        """Whether more is left than markers that are forgotten after a month."""
        last = self._world.census.last
        return not self._world.case.forgets or last is None or last.open > 0 or last.planned < len(self.files)

    def model(self) -> Model:
        """What is asked."""
        assert self._definition is not None
        return self._definition.model

    def errand(self) -> dict[str, Any]:
        """What the desk is told."""
        return {
            "pipeline": PIPE,
            "epoch": 1,
            "statements": [STATEMENT],
            "spool": self._address,
            "state_store": self._world.store,
            "quarantine": QUARANTINE,
        }

    def settings(self) -> dict[str, Any]:
        """What the poller is told."""
        world = self._world
        return {
            "state_store": world.store,
            "bootstrap_servers": world.bootstrap,
            "spool": self._address,
            "batches_topic": world.batches_topic,
            "progress_topic": world.progress_topic,
            "kafka_config": str(world.folder / "kafka.properties"),
            "poll_interval": 0.15,
            "poll_max_interval": 0.3,
            "create_quarantine": QUARANTINE,
            "lost_after": 3.0,
            "retention": world.case.retention,
            "shards": 2,
        }

    def environ(self) -> dict[str, str]:
        """The environment of desk and poller: the keys stand nowhere else."""
        return {**KEYS, "SSL_CERT_FILE": str(self._world.slot.certificates)}

    @property
    def _address(self) -> str:
        return f"file://{self._spool}"


def _definition(world: "World") -> Definition:
    model = _MODELS[world.case.provider]
    base = f"http://127.0.0.1:{world.provider.port}"
    answer = Column(name="answer", type=STRING)
    return definition(
        pipeline=PIPE,
        statement=STATEMENT,
        model={**model, "base_url": base if model else f"{base}/v1", "system_prompt": "Echo.", "output": (answer,)},
        batch=BatchOptions(**{"max_requests": 3, "request_timeout": 1.0, "max_retries": 3, **dict(world.case.options)}),
        projection=(
            Projected(name="review_id", source="input", column="review_id", type=STRING),
            Projected(name="answer", source="output", column="answer", type=STRING),
        ),
        sink={
            "table": STATEMENT,
            "topic": world.answers_topic,
            "bootstrap_servers": world.bootstrap,
            "columns": (Column(name="review_id", type=STRING), answer),
        },
    )
