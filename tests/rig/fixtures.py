"""What tests share: one broker and one PostgreSQL server for a run, topics and databases of its own for each test."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.topics import TopicSettings
from tests.rig.postgres import PostgresServer, postgres_binaries, postgres_server
from tests.rig.processes import Processes

ONE_PARTITION = TopicSettings()


class MakeTopic(Protocol):
    """Creates a topic of this test's own and returns its name, which starts with `prefix`."""

    def __call__(self, prefix: str = "topic", settings: TopicSettings = ONE_PARTITION) -> str: ...


@pytest.fixture(scope="session")
def broker() -> Iterator[LocalBroker]:
    """A running broker for all tests of the run. A test that kills or restarts one takes `own_broker`."""
    with LocalBroker() as running:
        yield running


@pytest.fixture
def own_broker() -> Iterator[LocalBroker]:
    """A running broker for this test alone, to be killed and restarted."""
    with LocalBroker() as running:
        yield running


@pytest.fixture
def topic_name() -> Callable[[str], str]:
    """Names for topics that don't exist yet: `topic_name("reviews")` is unique in the run."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def make_topic(broker: LocalBroker, topic_name: Callable[[str], str]) -> MakeTopic:
    """Topics on `broker`: `make_topic("reviews", TopicSettings(partitions=4))`."""

    def make(prefix: str = "topic", settings: TopicSettings = ONE_PARTITION) -> str:
        name = topic_name(prefix)
        broker.create_topics({name: settings})
        return name

    return make


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server; skipped where it isn't installed, but required under CI."""
    binaries = postgres_binaries()
    if binaries is None:
        word = "PostgreSQL's server isn't installed (Debian, Ubuntu: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(f"{word}; under CI it is required")
        pytest.skip(word)
    with postgres_server(binaries) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The address of a new, empty database for this test."""
    return postgres.url(postgres.create_database())


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts real commands for this test, and ends them after it."""
    started = Processes(tmp_path / "logs")
    yield started
    started.close()
