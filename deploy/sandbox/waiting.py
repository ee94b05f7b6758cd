"""Waiting for a condition, with a deadline: what the sandbox, the demo and the tests do instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class WaitTimeoutError(TimeoutError):
    """A condition did not come true within its deadline."""


def wait_until(
    condition: Callable[[], T | None],
    deadline: float = 30.0,
    describe: str | Callable[[], str] = "the condition",
    *,
    interval: float = 0.05,
) -> T:
    """The first true value of `condition`, asked every `interval` seconds for at most `deadline` seconds.

    `describe` says in the error what was waited for; as a function it can tell how far things had come. An exception
    of `condition` is passed on at once.
    """
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            what = describe if isinstance(describe, str) else describe()
            raise WaitTimeoutError(f"waited {deadline:g} s in vain for {what}")
        time.sleep(interval)
