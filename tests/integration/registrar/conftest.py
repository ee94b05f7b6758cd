"""What the registrar's tests stand on: a provider, a road with a sink, a topic, and a store that has forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from shared.store import Store
from tests.rig.fixtures import MakeTopic
from tests.rig.stage import Stage


@pytest.fixture
def stage(server: ProviderServer, tmp_path: Path, broker: LocalBroker) -> Iterator[Stage]:
    made = Stage(server, tmp_path, sink={"bootstrap_servers": broker.bootstrap})
    yield made
    made.close()


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    return make_topic("batches")


@pytest.fixture
def forgetful(stage: Stage) -> Iterator[Store]:
    """A store that has never heard of the stage's batches, over the same spool."""
    with Store.open(f"sqlite:///{stage.folder / 'other.db'}") as store:
        yield store
