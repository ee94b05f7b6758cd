"""One stretch of asking a batch's requests record by record: bounded in time, resumable after any crash.

One thread decides and keeps the journal, others only call. Each call is intended before it is made, and its answer is
durable before another takes its place: what a crash leaves in doubt is what was under way.
"""

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from random import Random
from typing import Literal

from poller.ask.calls import Effect, RequestLines, effect
from poller.ask.ceiling import Ceiling
from poller.ask.journal import Head, Journal, Part
from poller.ask.pacing import Pace
from shared.clock import Clock
from shared.errors import AccountFault, ProviderError, Unknown
from shared.failpoints import Failpoint, reached
from shared.providers.port import Provider


@dataclass(frozen=True)
class Asking:
    """How a batch is asked."""

    call_timeout: timedelta = timedelta(minutes=10)
    """As long as both SDKs wait by themselves."""
    tries: int = 3
    """Calls of one request that may fail; then its failure is its result, and another batch may carry it.

    One that the provider had no room for counts for nothing.
    """
    linger: float = 0.1
    """Seconds between two parts of the journal, at least: answers that come meanwhile share one."""
    patience: timedelta = timedelta(seconds=5)
    """A rest that is longer ends the stretch."""


@dataclass(frozen=True)
class Outcome:
    """How a stretch ended. `open`: there is more to ask, and time was up, or a stop came, or what was granted is spent.

    `budget`: nothing could be granted.
    """

    end: Literal["done", "ceiling", "open", "resting", "account", "budget"]
    answers: int = 0
    until: datetime | None = None
    """Of `resting` and `budget`: when the next call may be made."""
    reason: str = ""


class Stretch:
    """Asks what has no answer yet; see `run`."""

    def __init__(
        self,
        journal: Journal,
        lines: RequestLines,
        provider: Provider,
        pace: Pace,
        ceiling: Ceiling,
        most: int,
        clock: Clock,
        how: Asking,
    ) -> None:
        """`most` calls at once; `pace` may outlive this stretch, and belongs to it while it runs."""
        self._journal, self._lines, self._provider = journal, lines, provider
        self._pace, self._ceiling, self._most, self._clock, self._how = pace, ceiling, most, clock, how
        self._random = Random()  # noqa: S311 jitter, no cryptography
        self._came: SimpleQueue[tuple[int, bytes | Exception]] = SimpleQueue()
        self._waiting = deque(request for request, known in enumerate(journal.tally.answered) if not known)
        self._under_way = self._answers = 0
        self._stopper: Exception | None = None
        self._reason = ""

    def run(self, seconds: float, stop: threading.Event) -> Outcome:
        """Ask until everything is answered, the money or the time is up, or the provider wants a rest.

        What is under way is always waited for. Raises LeaseLost when another asks this batch by now, and whatever is
        nobody's verdict, such as a request file that can't be read.
        """
        end = time.monotonic() + seconds
        self._doubt_what_a_crash_left()
        with ThreadPoolExecutor(self._most, thread_name_prefix="call") as pool:
            while True:
                part = self._gather()
                is_over = stop.is_set() or time.monotonic() >= end
                window = [] if is_over or self._stopper else self._window()
                if window or not part.is_empty:
                    self._journal.write(part.head(window), part.lines)
                    reached(Failpoint.WINDOW_INTENDED if window else Failpoint.CALLS_KEPT)
                for request in window:
                    pool.submit(self._call, request)
                self._under_way += len(window)
                outcome = None if self._under_way else self._outcome(is_over=is_over)
                if outcome is not None:
                    return outcome
                if not self._under_way:
                    stop.wait(self._how.linger)

    def _doubt_what_a_crash_left(self) -> None:
        tally = self._journal.tally
        left = tuple(sorted(tally.under_way))
        for request in (*tally.unknown, *left):
            self._ceiling.forfeit(request, self._lines.size(request))
        # Written even if nothing was left: whoever still writes this journal finds its next number taken.
        self._journal.write(Head(unknown=left))
        reached(Failpoint.CALLS_DOUBTED)

    def _window(self) -> list[int]:
        """The requests that are asked next."""
        room = self._pace.room(self._clock(), self._under_way, self._most)
        window: list[int] = []
        while len(window) < room and self._waiting and self._affords(self._waiting[0]):
            window.append(self._waiting.popleft())
        return window

    def _affords(self, request: int) -> bool:
        return self._ceiling.reserve(request, self._lines.size(request))

    def _call(self, request: int) -> None:
        """One call, on a thread of its own."""
        try:
            came: bytes | Exception = self._provider.ask(self._lines.line(request), self._how.call_timeout)
            reached(Failpoint.CALL_ANSWERED)
        except Exception as error:  # noqa: BLE001 the deciding thread judges it
            came = error
        self._came.put((request, came))

    def _gather(self) -> Part:
        """What came in a moment."""
        part = Part()
        end = time.monotonic() + self._how.linger
        while self._under_way and (left := end - time.monotonic()) > 0:
            with suppress(Empty):
                request, came = self._came.get(timeout=left)
                self._under_way -= 1
                self._take(request, came, part)
        return part

    def _take(self, request: int, came: bytes | Exception, part: Part) -> None:
        if isinstance(came, bytes):
            answer = self._provider.answer(came)
            if answer is None or answer.status in ("succeeded", "failed"):
                self._pace.answered(self._most)
                self._keep(request, came, part)
                return
            # Some gateways put an error into an answer.
            said = answer.message or "an error in the place of an answer"
            came = AccountFault(said) if answer.status == "account" else Unknown(said, status=500)
        self._failed(request, came, part)
        if request not in part.answered:
            self._waiting.append(request)

    def _failed(self, request: int, error: Exception, part: Part) -> None:
        """What a failure says of the provider, and of the request."""
        now, roll, said = self._clock(), self._random.random(), effect(error)
        self._reason = str(error)
        if said is Effect.REFUSED:
            self._pace.answered(self._most)
            self._refuse(request, error, part)
            return
        if said is Effect.THROTTLED:
            self._pace.throttled(now, roll, error.retry_after if isinstance(error, ProviderError) else None)
        elif said in (Effect.ACCOUNT, Effect.OURS):
            self._stopper = error
        else:
            self._pace.failed(now, roll)
        if said is Effect.UNKNOWN:
            self._ceiling.forfeit(request, self._lines.size(request))
            part.unknown.append(request)
        else:
            self._ceiling.release(request)
            (part.failed if said is Effect.FAILED else part.void).append(request)
        if said in (Effect.UNKNOWN, Effect.FAILED):
            tries = self._journal.tally.tries.get(request, 0) + 1
            if tries >= self._how.tries:
                self._refuse(request, error, part)

    def _refuse(self, request: int, error: Exception, part: Part) -> None:
        """The failure is the request's result."""
        if isinstance(error, ProviderError):
            self._keep(request, self._provider.failed(self._lines.line(request), error), part)

    def _keep(self, request: int, line: bytes, part: Part) -> None:
        answer = self._provider.answer(line)
        used, made = (answer.input_tokens, answer.output_tokens) if answer else (0, 0)
        self._ceiling.settle(request, used, made)
        part.answered.append(request)
        part.lines.append(line)
        part.input_tokens += used
        part.output_tokens += made
        self._answers += 1

    def _outcome(self, *, is_over: bool) -> Outcome | None:
        """How the stretch ends, now that nothing is under way; None: it goes on."""
        if isinstance(self._stopper, AccountFault):
            return Outcome("account", self._answers, reason=str(self._stopper))
        if self._stopper is not None:
            raise self._stopper
        if not self._waiting:
            return self._close("done")
        if is_over:
            return Outcome("open", self._answers)
        now = self._clock()
        rests_until = self._pace.rests_until(now)
        if rests_until is not None:
            is_long = rests_until - now > self._how.patience
            return Outcome("resting", self._answers, rests_until, self._reason) if is_long else None
        if not self._affords(self._waiting[0]):
            cost = self._ceiling.estimate(self._lines.size(self._waiting[0]))
            is_days = cost is not None and self._ceiling.fits(cost)
            return Outcome("open", self._answers) if is_days else self._close("ceiling")
        self._ceiling.release(self._waiting[0])
        return None

    def _close(self, why: Literal["done", "ceiling"]) -> Outcome:
        self._journal.write(Head(ended=why))
        reached(Failpoint.CALLS_CLOSED)
        return Outcome(why, self._answers)
