"""A store, a spool and the fake provider with planned and submitted batches: where the poller's duties are tested."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from deploy.sandbox.provider.server import ProviderServer
from poller.ask.deadline import DEADLINE, DeadlinePolicy
from poller.ask.pacing import Paces
from poller.ask.roads import Roads
from poller.health import Watchdog
from poller.models import Models
from poller.schedule import Backoff, Deadlines, PollPolicy
from poller.watch.looks import Looking, Looks
from poller.watch.watcher import Watcher, Watching
from shared.clock import system_clock
from shared.definition import BatchOptions, Definition
from shared.lease import Keeper, this_process
from shared.lifecycle import State
from shared.providers import provider_for
from shared.spool import Spool
from shared.store import Batch, Store
from shared.submission import Submission
from submitter.planning.planner import Planner
from tests.rig import samples
from tests.rig.waiting import wait_until

ENVIRON = {"OPENAI_API_KEY": "key-of-openai", "ANTHROPIC_API_KEY": "key-of-anthropic"}
SECOND = timedelta(seconds=1)
FAST = PollPolicy(0.1 * SECOND, 0.3 * SECOND)


@dataclass
class Stage:
    """One provider's batches. `ahead` is how far this stage's clock runs before the machine's."""

    server: ProviderServer
    folder: Path
    provider: str = "openai"
    sink: Mapping[str, Any] = field(default_factory=dict)
    batch_options: Mapping[str, Any] = field(default_factory=dict)
    review: Callable[[int], str | None] = "review {}".format
    """The text of the n-th record."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the definition, such as another projection."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Of the model, such as another task."""
    environ: dict[str, str] = field(default_factory=lambda: dict(ENVIRON))
    ahead: timedelta = timedelta()
    state_store: str = ""
    """Its address; SQLite in the folder unless told otherwise."""
    spool_address: str = ""
    """Its address; a folder in the folder unless told otherwise."""
    store: Store = field(init=False)
    spool: Spool = field(init=False)
    files: int = 0

    def __post_init__(self) -> None:
        self.store = Store.open(self.store_url, self.clock)
        self.spool = Spool(self.spool_url)

    def clock(self) -> datetime:
        return system_clock() + self.ahead

    @property
    def store_url(self) -> str:
        return self.state_store or f"sqlite:///{self.folder / 'state.db'}"

    @property
    def spool_url(self) -> str:
        return self.spool_address or f"file://{self.folder / 'spool'}"

    def path(self, address: str) -> Path:
        """What stands at an address of a spool that is a folder."""
        return self.folder / "spool" / address

    def definition(self) -> Definition:
        batch = BatchOptions(**{"request_timeout": 5.0, **self.batch_options})
        if self.provider == "openai":
            known = {"base_url": self.server.openai_base_url, **self.model}
            return samples.definition(batch=batch, model=known, sink=self.sink, **self.changes)
        model = {
            "provider": "anthropic",
            "task": "messages",
            "base_url": self.server.anthropic_base_url,
            "path": "/v1/messages",
            "api_key": "ANTHROPIC_API_KEY",
            "model": "claude-haiku-4-5",
            **self.model,
        }
        return samples.definition(batch=batch, model=model, sink=self.sink, **self.changes)

    def plan(self, records: int = 3) -> str:
        """Seal and plan one more file; its one batch's key."""
        first = self.files * records
        (key,) = self.plan_rows(range(first, first + records))
        return key

    def plan_rows(self, numbers: range) -> list[str]:
        """Seal and plan a file of these records, which may have been in another one; its batches' keys."""
        stated = self.definition()
        self.store.lineage.put_definition(stated)
        self.files += 1
        lines = [samples.sealed_line(n, self.review(n), [0, 0, n]) for n in numbers]
        file = samples.seal(self.spool.files, stated, lines, f"part-{uuid4()}-0-{self.files}")
        planner = Planner(self.store, self.spool, lambda model: provider_for(model, self.environ), self.clock)
        return planner.plan(stated.pipeline, stated.statement, file)

    def submit(self, records: int = 3) -> str:
        """Plan one more file, and work on its batch until the provider has it."""
        key = self.plan(records)
        submission = self.submission()

        def is_there() -> bool:
            submission.work(key)
            return self.batch(key).state is State.SUBMITTED

        wait_until(is_there, 30, lambda: f"{key} to be submitted, it is {self.batch(key)}")
        return key

    def submission(self, holder: str = "") -> Submission:
        models = self.models()
        return Submission(
            self.store, self.spool, models.provider_for, self.clock, holder or this_process(), quarantine=SECOND
        )

    def roads(self, policy: DeadlinePolicy = DEADLINE) -> Roads:
        return Roads(self.store, Paces(), self.clock, policy)

    def models(self) -> Models:
        return Models(self.store, self.spool, self.environ)

    def watcher(
        self, *, missing: timedelta = timedelta(hours=1), holder: str = "", keeper: Keeper | None = None
    ) -> Watcher:
        """A watcher with a clear memory, as a new process has."""
        holder = holder or this_process()
        looks = Looks(self.store, self.clock, Looking(FAST, Deadlines(missing=missing), Backoff(SECOND, SECOND)))
        return Watcher(
            self.store,
            self.models().provider_of,
            looks,
            keeper or Keeper(self.store, holder),
            Watchdog(self.store, holder),
            self.clock,
            watching=Watching(backoff=Backoff(0.1 * SECOND, 0.3 * SECOND)),
        )

    def batch(self, key: str) -> Batch:
        batch = self.store.batches.get(key)
        assert batch is not None, f"batch {key} is not in the store"
        return batch

    def watch_until(self, key: str, *states: State, watcher: Watcher | None = None) -> Batch:
        """Watch until a batch stands in one of these states."""
        watching = watcher or self.watcher()

        def there() -> Batch | None:
            watching.run_once()
            batch = self.batch(key)
            return batch if batch.state in states else None

        return wait_until(there, 30, lambda: f"{key} to be {states}, it is {self.batch(key)}")

    def calls(self, endpoint: str) -> int:
        """How many calls an endpoint has had since `count_calls`."""
        return sum(rule["seen"] for rule in self.server.faults() if rule["endpoint"] == endpoint)

    def count_calls(self, *endpoints: str) -> None:
        """From here on, count the calls of endpoints such as openai.batches.list."""
        for endpoint in endpoints:
            self.server.set_fault("slow_response", endpoint=endpoint, probability=0)

    def close(self) -> None:
        self.store.close()
