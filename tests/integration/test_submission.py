"""One batch from `sealed` to `submitted` against the strict fake provider: at most one create, whatever happens."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.sandbox.provider.server import ProviderServer
from shared.clock import system_clock
from shared.definition import BatchOptions, Definition
from shared.lease import this_process
from shared.lifecycle import State
from shared.providers import provider_for
from shared.refusals import Backoff, Waits
from shared.spool import Spool
from shared.store import Batch, Store
from shared.submission import Submission
from submitter.planning.planner import Planner
from tests.rig import samples
from tests.rig.waiting import wait_until

PROVIDERS = ("openai", "anthropic")
ENVIRON = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
QUICK = Backoff(timedelta(milliseconds=50), timedelta(milliseconds=200))
RECORDS = 5


@dataclass
class Stage:
    """A store, a spool and a provider, with one planned batch a call."""

    server: ProviderServer
    folder: Path
    provider: str
    quarantine: timedelta = timedelta(seconds=1)
    store: Store = field(init=False)
    spool: Spool = field(init=False)
    files: int = 0

    def __post_init__(self) -> None:
        self.store = Store.open(self.store_url)
        self.spool = Spool(f"file://{self.folder / 'spool'}")

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.folder / 'state.db'}"

    def path(self, address: str) -> Path:
        return self.folder / "spool" / address

    def definition(self) -> Definition:
        batch = BatchOptions(request_timeout=10.0)
        if self.provider == "openai":
            return samples.definition(batch=batch, model={"base_url": self.server.openai_base_url})
        model = {
            "provider": "anthropic",
            "task": "messages",
            "base_url": self.server.anthropic_base_url,
            "path": "/v1/messages",
            "api_key": "ANTHROPIC_API_KEY",
            "model": "claude-haiku-4-5",
        }
        return samples.definition(batch=batch, model=model)

    def plan(self) -> str:
        """Seal and plan one more file; its one batch's key."""
        stated = self.definition()
        self.store.lineage.put_definition(stated)
        start, self.files = self.files * RECORDS, self.files + 1
        lines = [samples.sealed_line(n, f"review {n}", [0, 0, n]) for n in range(start, start + RECORDS)]
        file = samples.seal(self.spool.files, stated, lines, f"part-{uuid4()}-0-{self.files}")
        planner = Planner(self.store, self.spool, lambda model: provider_for(model, ENVIRON), system_clock)
        (key,) = planner.plan(stated.pipeline, stated.statement, file)
        assert planner.plan(stated.pipeline, stated.statement, file) == [], "a file was planned twice"
        return key

    def submission(self) -> Submission:
        return Submission(
            self.store,
            self.spool,
            lambda model: provider_for(model, ENVIRON),
            system_clock,
            this_process(),
            quarantine=self.quarantine,
            waits=Waits(QUICK, account=timedelta(milliseconds=300)),
        )

    def batch(self, key: str) -> Batch:
        batch = self.store.batches.get(key)
        assert batch is not None
        return batch

    def until(self, key: str, *states: State) -> Batch:
        """Work on a batch until it stands in one of these states."""
        submission = self.submission()

        def there() -> Batch | None:
            submission.work(key)
            batch = self.batch(key)
            return batch if batch.state in states else None

        return wait_until(there, 30, lambda: f"{key} to be {states}, it is {self.batch(key)}")

    def creates(self) -> int:
        return len(self.server.witness().creates(self.provider))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    """A provider for each test: one store for a workspace is the condition of every look-up without metadata."""
    with ProviderServer(tmp_path / "provider", processing_seconds=0.2) as running:
        yield running


@pytest.fixture(params=PROVIDERS)
def stage(request: pytest.FixtureRequest, server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, request.param)
    yield made
    made.store.close()


@pytest.fixture
def counted(stage: Stage) -> Callable[[], int]:
    """How many creates the provider accepted."""
    return stage.creates


def test_a_planned_batch_is_created_once(stage: Stage, counted: Callable[[], int]) -> None:
    key = stage.plan()
    batch = stage.until(key, State.SUBMITTED)
    assert batch.provider_batch_id
    assert stage.submission().work(key) is None, "a submitted batch is nobody's to submit"
    assert counted() == 1
    assert stage.server.witness().custom_ids()[f"{key}-0"] == 1
    folder = stage.path(stage.spool.batch("pipe", "sentiments", key))
    names = {path.name for path in folder.iterdir()}
    assert names == {"manifest.json", "requests.jsonl", "intent-1.json", "receipt-1.json"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir()), "others may read the spool"


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("create_accepted_response_lost", {}),
        ("create_accepted_response_lost", {"status": 500}),
        ("create_accepted_response_lost", {"status": 409}),
        ("create_applied_after_disconnect", {"delay": 0.5}),
        ("create_accepted_response_lost", {"hang": 3.0}),
    ],
)
def test_row_01_a_create_whose_response_is_lost_is_looked_up_and_adopted(
    stage: Stage, counted: Callable[[], int], fault: str, options: dict[str, float]
) -> None:
    """With the look-up as the only road back, a second create would be a second entry in the witness."""
    stage.quarantine = timedelta(seconds=20)
    stage.server.set_fault(fault, times=1, **options)
    key = stage.plan()
    stage.until(key, State.AMBIGUOUS)
    batch = stage.until(key, State.SUBMITTED)
    assert batch.provider_batch_id == stage.server.witness().creates(stage.provider)[-1]["batch"]
    assert counted() == 1


def test_row_01_a_lagging_list_proves_nothing_within_the_quarantine(stage: Stage, counted: Callable[[], int]) -> None:
    stage.quarantine = timedelta(seconds=20)
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", seconds=1.5, times=1)
    stage.until(stage.plan(), State.SUBMITTED)
    assert counted() == 1


def test_the_harness_catches_a_quarantine_that_is_too_short(stage: Stage, counted: Callable[[], int]) -> None:
    """The negative control: without a quarantine a lagging list leads to a second create."""
    stage.quarantine = timedelta(0)
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", seconds=5, times=1)
    stage.until(stage.plan(), State.SUBMITTED)
    assert counted() == 2


def test_failing_look_ups_restart_the_quarantine(stage: Stage, counted: Callable[[], int]) -> None:
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", seconds=3600, times=1)
    key = stage.plan()
    batch = stage.until(key, State.AMBIGUOUS)
    stage.server.set_fault("http_5xx", endpoint="*.batches.list")
    submission = stage.submission()

    def long_past() -> bool:
        submission.work(key)
        return system_clock() - batch.updated_at > 3 * stage.quarantine

    wait_until(long_past, 30, "three quarantines of failing look-ups")
    assert stage.batch(key).state is State.AMBIGUOUS
    stage.server.advance(3600)
    stage.server.clear_faults("http_5xx")
    stage.until(key, State.SUBMITTED)
    assert counted() == 1


def test_a_create_that_never_arrived_is_tried_again_after_the_quarantine(
    stage: Stage, counted: Callable[[], int]
) -> None:
    """A 500 may or may not have created: here it did not."""
    stage.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    key = stage.plan()
    stage.until(key, State.AMBIGUOUS)
    cleared = stage.until(key, State.HELD)
    assert (cleared.error, cleared.next_check_at) == (None, None), "no fault of its own is left to be shown"
    stage.until(key, State.SUBMITTED)
    assert counted() == 1
    assert [attempt.outcome for attempt in stage.store.attempts.of(key)] == ["accepted", "absent"]


def test_one_unresolved_create_at_a_time_where_a_look_up_can_not_tell_them_apart(
    stage: Stage, counted: Callable[[], int]
) -> None:
    stage.quarantine = timedelta(seconds=20)
    stage.server.set_fault("create_accepted_response_lost", times=1)
    first, second = stage.plan(), stage.plan()
    stage.until(first, State.AMBIGUOUS)
    stage.submission().work(second)
    assert stage.batch(second).state == (State.HELD if stage.provider == "anthropic" else State.SUBMITTED)
    stage.until(first, State.SUBMITTED)
    stage.until(second, State.SUBMITTED)
    assert counted() == 2


@pytest.mark.parametrize("hang", [0.0, 5.0])
def test_row_01_a_submission_that_is_killed_in_its_create_is_looked_up_by_the_next(
    stage: Stage, counted: Callable[[], int], hang: float
) -> None:
    """SIGKILL right after the provider accepted (the response hangs), or while the intent alone is durable."""
    stage.quarantine = timedelta(seconds=20)
    fault = "create_accepted_response_lost" if hang else "slow_response"
    stage.server.set_fault(
        fault, times=1, **({"hang": hang} if hang else {"seconds": 5, "endpoint": "*.batches.create"})
    )
    key = stage.plan()
    worker = subprocess.Popen([sys.executable, "-c", WORKER, stage.store_url, stage.spool.address, key])
    wait_until(lambda: stage.batch(key).state is State.SUBMITTING, 20, "the intent")
    if hang:
        wait_until(lambda: counted() == 1, 20, "the provider to accept")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    stage.quarantine = timedelta(seconds=20 if hang else 1)
    stage.until(key, State.SUBMITTED)
    assert counted() == 1


WORKER = f"""
import sys
from datetime import timedelta
from shared.clock import system_clock
from shared.lease import this_process
from shared.providers import provider_for
from shared.spool import Spool
from shared.store import Store
from shared.submission import Submission
url, spool, key = sys.argv[1:]
Submission(Store.open(url), Spool(spool), lambda model: provider_for(model, {ENVIRON!r}), system_clock, this_process(),
           quarantine=timedelta(seconds=20)).work(key)
"""
