"""A provider that takes hours, in which creates can stay hidden, and stages before it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sandbox.provider import ProviderServer
from tests.rig.auditing import HIDDEN
from tests.rig.stage import Stage


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path / "provider", processing_seconds=2 * HIDDEN) as running:
        yield running


@pytest.fixture(params=["openai", "anthropic"])
def stage(request: pytest.FixtureRequest, server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def anthropic(server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, "anthropic")
    yield made
    made.close()
