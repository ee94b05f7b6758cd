"""One synchronous call: the request's line, and what a failure says of the call's effect."""

import os
from array import array
from enum import StrEnum
from pathlib import Path
from typing import Self

from shared.errors import (
    AccountFault,
    EnqueuedLimit,
    NotFound,
    NotSent,
    Rejected,
    Throttled,
    Unknown,
)

_GATEWAY = frozenset({408, 502, 504, 520, 522, 524})
"""Statuses of a gateway that did not wait for the answer: the call may have been done, and billed."""
_OVERLOADED = 503
_READ = 1 << 20


class Effect(StrEnum):
    """What a failed call did."""

    REFUSED = "refused"
    """Nothing, for the request's own fault: that is its result."""
    THROTTLED = "throttled"
    """Nothing: it came too early, or the server has too much to do."""
    NOT_SENT = "not sent"
    FAILED = "failed"
    """Nothing, says the provider: it failed on it."""
    UNKNOWN = "unknown"
    """Perhaps everything: nobody saw an answer, and it may have been paid for."""
    ACCOUNT = "account"
    """Nothing, for the account's fault."""
    OURS = "ours"
    """Nothing that the provider had a part in: a missing key, a file that can't be read."""


_LADDER: dict[type[Exception], Effect] = {
    Rejected: Effect.REFUSED,
    Throttled: Effect.THROTTLED,
    EnqueuedLimit: Effect.THROTTLED,
    NotSent: Effect.NOT_SENT,
    AccountFault: Effect.ACCOUNT,
}


def effect(error: Exception) -> Effect:
    """The ladder: one verdict for each failure of a call."""
    if isinstance(error, Unknown):
        if error.status is None or error.status in _GATEWAY:
            return Effect.UNKNOWN
        # How servers of one's own say that their queue is full; and whoever names a time wants to be asked again.
        return Effect.THROTTLED if error.status == _OVERLOADED or error.retry_after is not None else Effect.FAILED
    if isinstance(error, NotFound):
        # With a word of the provider's own it is the model that is not there; without, perhaps the address.
        return Effect.REFUSED if error.code else Effect.FAILED
    return _LADDER.get(type(error), Effect.OURS)


class RequestLines:
    """The lines of a batch's requests.jsonl, by number. Memory holds where they begin; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._offsets = array("Q", [0])
        with path.open("rb", _READ) as lines:
            for line in lines:
                self._offsets.append(self._offsets[-1] + len(line))
        self._file = os.open(path, os.O_RDONLY)

    def line(self, request: int) -> bytes:
        return os.pread(self._file, self.size(request), self._offsets[request])

    def size(self, request: int) -> int:
        return self._offsets[request + 1] - self._offsets[request]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
