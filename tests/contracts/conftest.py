"""Fixtures of the contract suites."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sandbox.provider import ProviderServer
from tests.contracts.provider_account import KINDS, Account
from tests.contracts.sandbox_user import SandboxUser


@pytest.fixture(scope="session")
def shared_sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path_factory.mktemp("provider"), processing_seconds=0.2, seed=7) as server:
        yield server


@pytest.fixture
def sandbox_user(shared_sandbox_server: ProviderServer) -> Iterator[SandboxUser]:
    """A user of the shared fake provider, without any fault at the start."""
    shared_sandbox_server.clear_faults()
    user = SandboxUser(shared_sandbox_server)
    yield user
    user.close()


@pytest.fixture(params=KINDS)
def account(request: pytest.FixtureRequest, shared_sandbox_server: ProviderServer, tmp_path: Path) -> Iterator[Account]:
    """An adapter on the shared fake provider, one for each provider and task."""
    shared_sandbox_server.clear_faults()
    yield Account(shared_sandbox_server, request.param, tmp_path)
    shared_sandbox_server.clear_faults()
