"""A provider for each module."""

from collections.abc import Iterator

import pytest

from deploy.sandbox.provider.server import ProviderServer


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    """Works on a batch for the module's PROCESSING_SECONDS."""
    seconds = getattr(request.module, "PROCESSING_SECONDS", 0.05)
    with ProviderServer(tmp_path_factory.mktemp("provider"), processing_seconds=seconds) as running:
        yield running
