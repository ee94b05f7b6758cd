"""Tells the log of events that were passed over: each reason at once, then at most once a minute, with how many.

Anyone can produce to the batches topic, and so could fill the log.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from poller.register.announced import Skip
from shared.telemetry import Action, log

_PACE = 60.0


@dataclass
class _Reason:
    """What was not yet told of a reason: the last of it, and how many there were."""

    where: str = ""
    message: str | None = None
    count: int = 0
    told_at: float | None = None


class Skips:
    """One registrar's."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._reasons: dict[Skip, _Reason] = {}

    def note(self, why: Skip, where: str, message: str | None = None) -> None:
        """Count one event. A tombstone is usual, and only said where everything is."""
        if why is Skip.TOMBSTONE:
            log(Action.EVENT_SKIPPED, logging.DEBUG, why=why, where=where)
            return
        reason = self._reasons.setdefault(why, _Reason())
        reason.where, reason.message, reason.count = where, message, reason.count + 1

    def tell(self) -> None:
        """Say what was noted, where a minute has passed since the same was said."""
        now = self._monotonic()
        for why, reason in self._reasons.items():
            if reason.count and (reason.told_at is None or now - reason.told_at >= _PACE):
                level = logging.ERROR if why is Skip.BREAKING else logging.WARNING
                log(
                    Action.EVENT_SKIPPED,
                    level,
                    why=why,
                    where=reason.where,
                    events=reason.count if reason.count > 1 else None,
                    message=reason.message,
                )
                self._reasons[why] = _Reason(told_at=now)
