"""A road for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider import ProviderServer
from tests.acceptance.road import Road
from tests.rig.processes import Processes

MakeRoad = Callable[..., Road]


@pytest.fixture
def provider_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path_factory.mktemp("provider"), processing_seconds=0.5) as server:
        yield server


@pytest.fixture
def make_road(broker: LocalBroker, provider_server: ProviderServer, processes: Processes, tmp_path: Path) -> MakeRoad:
    """`make_road(provider="anthropic", store=postgres_url)`."""
    return lambda **options: Road(broker, provider_server, processes, tmp_path, **options)
