"""State stores for tests, on each database, with a clock that stands until it is moved."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import pytest
from sqlalchemy import create_engine, text

from shared.lifecycle import Event
from shared.store import Attempt, Plan, PlannedBatch, PositionRun, Run, Store
from shared.store.tables import installation, metadata
from tests.rig.postgres import PostgresServer

T = TypeVar("T")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class SetClock:
    """A clock that shows what the test says."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> datetime:
        self.now += by
        return self.now


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store's file, to be copied."""
    file = tmp_path_factory.mktemp("store") / "state.db"
    Store.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """A database that all tests of the run share, each after the other, empty."""
    url = postgres.url(postgres.create_database())
    Store.open(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store of this test's own; each test that takes it runs on both databases."""
    if request.param == "sqlite":
        file = tmp_path / "state.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), file)
        return f"sqlite:///{file}"
    url = str(request.getfixturevalue("migrated_postgres"))
    names = ", ".join(table.name for table in metadata.sorted_tables if table is not installation)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names}"))
    engine.dispose()
    return url


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(store_url: str, clock: SetClock) -> Iterator[Store]:
    with Store.open(store_url, clock) as opened:
        yield opened


@pytest.fixture
def stores(store_url: str, clock: SetClock) -> Iterator[list[Store]]:
    """The same store, opened four times, as four processes would."""
    opened = [Store.open(store_url, clock) for _ in range(4)]
    yield opened
    for each in opened:
        each.close()


def at_once(actions: Sequence[Callable[[], T]]) -> list[T]:
    """What each gives, when all begin at the same moment, on a thread each."""
    barrier = Barrier(len(actions))

    def run(action: Callable[[], T]) -> T:
        barrier.wait(30)
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def planned(key: str = "k-0", **changes: Any) -> PlannedBatch:
    """A batch of ten records in ten requests."""
    values: dict[str, Any] = {
        "pipeline": "pipe",
        "statement": "sentiments",
        "provider": "openai",
        "account": "openai:KEY@api",
        "model": "gpt-5-mini",
        "definition": "0123456789abcdef",
        "generation": 0,
        "parent": None,
        "requests": 10,
        "records": 10,
        "bytes": 1000,
        "sealed_at": NOON,
        "sealed_file": "pipe/sentiments/sealed/0123456789abcdef/part-0-0",
    }
    return PlannedBatch(batch_key=key, **{**values, **changes})


def plan(
    address: str = "part-0-0",
    batches: Sequence[PlannedBatch] = (),
    offsets: Sequence[tuple[int, int]] = (),
    **changes: Any,
) -> Plan:
    """A plan of a file; `offsets` are runs of partition 0."""
    values: dict[str, Any] = {
        "pipeline": "pipe",
        "statement": "sentiments",
        "definition": "0123456789abcdef",
        "rows": 10,
        "skipped": 0,
        "sealed_at": NOON,
        "planned_at": NOON,
        "attempt_folder": f"attempt-{os.urandom(4).hex()}",
    }
    values["positions"] = tuple(PositionRun("cluster", "topic", 0, start, end) for start, end in offsets)
    return Plan(address=address, batches=tuple(batches), **{**values, **changes})


def begun(epoch: int, outcome: str | None) -> Run:
    """A run of the pipeline."""
    return Run(
        pipeline="pipe",
        epoch=epoch,
        job_id=f"job-{epoch}",
        definition="0" * 16,
        started_at=NOON,
        ended_at=NOON if outcome else None,
        outcome=outcome,
        restored_from=None,
        started_from={"sentiments": {"topic": {"0": 5}}},
        fresh=False,
        skipped=0,
    )


def put(store: Store, *batches: PlannedBatch) -> None:
    """Have batches planned."""
    for batch in batches:
        assert store.plans.commit(plan(f"file-of-{batch.batch_key}", [batch]))


def intend(store: Store, key: str = "k-0", *, account: str = "openai:KEY@api", serial: bool = False) -> Attempt:
    return store.attempts.intend(key, None, account=account, requests=10, bytes=1000, serial=serial)


def walk(store: Store, key: str, *events: Event) -> None:
    """Lead a batch through events."""
    for event in events:
        store.batches.apply(key, event)
