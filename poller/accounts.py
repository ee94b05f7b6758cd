"""What this process finds out about accounts: a fault is told to all through the store, a missing key is its own."""

import logging
import threading
from collections.abc import Collection
from datetime import datetime, timedelta

from poller.health import Watchdog
from shared.clock import Clock
from shared.errors import MissingCredential
from shared.failpoints import Failpoint, reached
from shared.standing import Standing
from shared.store import Store
from shared.telemetry import SECRETS, Action, log

_AGAIN = timedelta(minutes=1)
"""How often the status is reminded of a key that is missing."""


def pause_account(store: Store, account: str, said: str, *, by_results: bool = False) -> Standing:
    """Let an account rest after a fault of its own, and say so."""
    standing = store.accounts.pause(account, SECRETS.redact(said), by_results=by_results)
    reached(Failpoint.ACCOUNT_RESTED)
    log(Action.ACCOUNT_PAUSED, logging.WARNING, account=account, until=standing.until, message=said)
    return standing


class Keyless:
    """The accounts whose key this process's environment lacks; others may work for them. Threads share it."""

    def __init__(self, watchdog: Watchdog, clock: Clock) -> None:
        self.watchdog, self._clock = watchdog, clock
        self._told: dict[str, tuple[str, datetime]] = {}
        self._lock = threading.Lock()

    def note(self, error: MissingCredential) -> None:
        """Leave an account to others from here on."""
        self._tell(error.account, str(error))

    def accounts(self) -> Collection[str]:
        """Those that this process can do nothing for; says so again where it was said long ago."""
        with self._lock:
            told = dict(self._told)
        for account, (message, at) in told.items():
            if self._clock() - at >= _AGAIN:
                self._tell(account, message)
        return told.keys()

    def _tell(self, account: str, message: str) -> None:
        with self._lock:
            self._told[account] = (message, self._clock())
        self.watchdog.away(f"key of {account}", message)
