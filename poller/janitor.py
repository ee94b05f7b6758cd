"""Forgets what no longer matters: leases of processes long gone, and old words on dependencies."""

from datetime import timedelta

from poller.duty import Counts
from shared.clock import Clock
from shared.store import Store

_OLD = timedelta(days=7)


class Janitor:
    """The duty `janitor`."""

    name = "janitor"

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def run_once(self) -> Counts:
        """Sweep once. Raises StoreUnavailable."""
        before = self._clock() - _OLD
        self._store.leases.sweep(before)
        self._store.health.forget(before)
        return {}
