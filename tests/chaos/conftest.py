"""One slot for all chaos tests of a process."""

from collections.abc import Iterator

import pytest

from tests.chaos.slot import Slot


@pytest.fixture(scope="session")
def slot() -> Iterator[Slot]:
    with Slot() as made:
        yield made
