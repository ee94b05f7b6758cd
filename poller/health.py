"""Says once, in the log and in the store, that a dependency is away, and once that it is back."""

import logging
import threading
from contextlib import suppress
from datetime import datetime

from shared.errors import StoreUnavailable
from shared.store import Store
from shared.telemetry import SECRETS, Action, log

FAULT = "duty "
"""How the names of our own duties begin, when one fails for a reason that is no dependency's."""


class Watchdog:
    """This process's word on what it depends on. Threads share it."""

    def __init__(self, store: Store, holder: str) -> None:
        self._store, self._holder = store, holder
        self._away: dict[str, str] = {}
        self._lock = threading.Lock()
        self._seen_away = False

    @property
    def has_seen_away(self) -> bool:
        """Whether anything was ever away: what `poller once` ends with."""
        return self._seen_away

    def away(self, dependency: str, message: str, next_try_at: datetime | None = None) -> None:
        """A dependency does not answer. The store keeps it for the status; when it is the store, the log has to do."""
        message = SECRETS.redact(message)
        with self._lock:
            is_news = dependency not in self._away
            self._away[dependency] = message
            self._seen_away |= not dependency.startswith(FAULT)
        if is_news:
            log(Action.DEPENDENCY_AWAY, logging.WARNING, dependency=dependency, message=message, next_try=next_try_at)
        with suppress(StoreUnavailable):
            self._store.health.away(dependency, self._holder, message, next_try_at)

    def settle(self) -> None:
        """At the end of a single pass: what an earlier one of this name said, and this one did not, is over."""
        with self._lock:
            away = set(self._away)
        with suppress(StoreUnavailable):
            self._store.health.only(self._holder, away)

    def back(self, dependency: str) -> None:
        """A dependency answers; costs nothing where it was not away."""
        with self._lock:
            if dependency not in self._away:
                return
            del self._away[dependency]
        log(Action.DEPENDENCY_BACK, dependency=dependency)
        try:
            self._store.health.back(dependency, self._holder)
        except StoreUnavailable as error:
            with self._lock:
                self._away[dependency] = str(error)
