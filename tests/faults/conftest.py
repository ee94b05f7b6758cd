"""A fake provider for all rows, and one for those who move its clock or fill it."""

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from tests.faults.road import HOUR, MakeRoad, Road
from tests.rig.fixtures import MakeTopic
from tests.rig.results import SINK_TOPIC, Back, sink
from tests.rig.stage import Stage

PROVIDERS = ("openai", "anthropic")
PATIENT = 60.0
"""Seconds for a request: what takes long on a loaded machine is no fault, and must not be taken for one."""


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path_factory.mktemp("provider"), processing_seconds=0.05) as running:
        yield running


@pytest.fixture
def server(shared_server: ProviderServer) -> Iterator[ProviderServer]:
    """The provider of all rows, without a fault before and after a test. Its clock is the machine's, and stays so."""
    shared_server.clear_faults()
    yield shared_server
    shared_server.clear_faults()
    assert abs(shared_server.now() - time.time()) < HOUR.total_seconds(), "who moves the clock takes `own_server`"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ProviderServer]:
    """A provider for this test alone."""
    with ProviderServer(tmp_path / "provider", processing_seconds=0.05) as running:
        yield running


@pytest.fixture
def make_road(broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path, migrated_sqlite: Path) -> Iterator[MakeRoad]:
    """Roads of this test's own: `make_road(server, "openai", patience=…, batch_options=…)`."""
    made: list[Stage] = []

    def make(server: ProviderServer, provider: str, *, patience: timedelta = timedelta(), **stage: Any) -> Road:
        topic = make_topic("sentiments", SINK_TOPIC)
        folder = tmp_path / f"road-{len(made)}"
        folder.mkdir()
        shutil.copyfile(migrated_sqlite, folder / "state.db")
        options = {"request_timeout": PATIENT, **stage.pop("batch_options", {})}
        made.append(Stage(server, folder, provider, sink(broker, topic), options, **stage))
        return Road(Back(made[-1], broker, f"progress-{topic}", patience=patience))

    yield make
    for stage in made:
        stage.close()


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    """Both providers, one after the other."""
    return str(request.param)


@pytest.fixture
def road(make_road: MakeRoad, server: ProviderServer, provider: str) -> Road:
    """A road on each provider."""
    return make_road(server, provider)


@pytest.fixture
def openai(make_road: MakeRoad, server: ProviderServer) -> Road:
    """A road on OpenAI's provider, where the other one knows no such fault."""
    return make_road(server, "openai")
