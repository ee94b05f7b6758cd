"""One run's world: its topics, store, spool, provider and clock, and the lives of desk and poller in it.

A world keeps desk and poller alive: `run_until_quiet` starts again whoever died.
"""

from collections.abc import Callable
from typing import Any

from tests.chaos.case import Case, Verdict
from tests.chaos.lives import Life
from tests.chaos.slot import Slot
from tests.chaos.steps import Step


class World:
    """From `begin` to `close`."""

    def __init__(self, case: Case, slot: Slot) -> None:
        self.case, self.slot = case, slot
        self.lives: dict[str, Life] = {}
        """By role: "provider", "desk", "poller"."""

    def begin(self) -> None:
        """Start the provider, seal the first wave of files, start desk and poller."""
        raise NotImplementedError

    def close(self) -> None:
        """Kill every life, and remove all that the run made."""
        raise NotImplementedError

    def start_desk(self) -> Life:
        raise NotImplementedError

    def start_poller(self, name: str = "poller") -> Life:
        """Another name is a second poller beside the first."""
        raise NotImplementedError

    def start_provider(self) -> Life:
        """The first time on a free port; later on the same port, with the state it had on disk."""
        raise NotImplementedError

    def kill(self, life: Life, *, away: float = 0.0) -> None:
        """SIGKILL; it is started again after `away` seconds."""
        raise NotImplementedError

    def freeze(self, life: Life) -> None:
        """SIGSTOP. A life that is frozen is not started again until it is thawed."""
        raise NotImplementedError

    def thaw(self, life: Life) -> None:
        raise NotImplementedError

    def fault(self, name: str, **options: Any) -> None:
        """Switch a fault of the provider on (deploy/sandbox/provider/vocabulary.py)."""
        raise NotImplementedError

    def clear_faults(self) -> None:
        raise NotImplementedError

    def restart_broker(self, *, kill: bool) -> None:
        """Take the broker down (SIGKILL, or in good order), and start it on its port with its data."""
        raise NotImplementedError

    def restart_store(self, *, kill: bool) -> None:
        """As `restart_broker`, for PostgreSQL; nothing happens on SQLite."""
        raise NotImplementedError

    def advance(self, seconds: float) -> None:
        """Move the clock of provider, desk and poller; every desk and poller must be dead."""
        raise NotImplementedError

    def seal_wave(self) -> None:
        """Rename another wave of the case's files into their place."""
        raise NotImplementedError

    def run_until_quiet(self, bound: float) -> Verdict:
        """Work until every record is out, each kill has struck and each step was taken, or the bound is over.

        The bound counts from the last step or kill. The verdict is the oracle's.
        """
        raise NotImplementedError


Strike = Callable[[World, Step], None]
"""Takes a step of a schedule in a world."""


def run(case: Case, slot: Slot, strike: Strike | None = None) -> Verdict:
    """One case from begin to verdict; never raises for what the product does."""
    raise NotImplementedError
