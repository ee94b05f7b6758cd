"""Follows a running job: a line of progress now and then, a bounded one's end, and a stop that leaves all durable."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.errors import BatchlineError, StoreUnavailable
from submitter.job.progress import Ending, Glimpse, Tally, line
from submitter.job.rest import FlinkAway, is_of_state

LOOK_SECONDS = 0.5
LINE_SECONDS = 15.0
ANNOUNCE_SECONDS = 2.0
"""Some ticks: what was submitted last has been announced by then."""
DRAIN_SECONDS = 45.0
"""How long a stop waits for creates in flight: their time-out, and some."""
GIVE_UP_AFTER = 60.0
"""Seconds without any answer from Flink after which an embedded cluster counts as dead."""

Outcome = Literal["finished", "stopped", "superseded", "topic changed", "failed", "canceled", "away", "unrestorable"]


class Flink(Protocol):
    """What the watch asks of a cluster; see FlinkRest."""

    def glimpse(self, job_id: str) -> Glimpse: ...

    def checkpoint(self, job_id: str) -> None: ...

    def failures(self, job_id: str) -> list[str]: ...


@dataclass
class Watch:
    """One job, followed to its end."""

    flink: Flink
    job_id: str
    ending: Ending
    tally: Callable[[], Tally]
    say: Callable[[str], None]
    stop: threading.Event
    restored: bool
    bounded: bool
    exhausted: Callable[[int], bool]
    """Whether a checkpoint newer than this one says that its Kafka sources have nothing more to read."""
    is_current: Callable[[], bool]
    """Whether no newer run of the pipeline has begun."""
    changed: Callable[[], str | None]
    """What makes one of its input topics another than it was when the job began."""
    ended: Callable[[], str | None]
    """Why the job ended, where its cluster ended with it."""
    gives_up: bool = True
    """Whether a cluster that does not answer counts as dead: the embedded one does."""
    trouble: str | None = None
    _has_begun: bool = False
    """Whether it has completed a checkpoint of its own."""
    _exhausted_since: int | None = None
    """The checkpoint that the job was restored from when its sources were found exhausted."""

    def follow(self) -> Outcome:
        """Until the job is over, or it is time to end it."""
        lines = _Every(LINE_SECONDS)
        answered = time.monotonic()
        while not self.stop.wait(LOOK_SECONDS):
            try:
                outcome = self._overtaken() or self._look(lines)
                answered = time.monotonic()
                if outcome:
                    return outcome
            except FlinkAway as away:
                self.trouble = self.ended()
                if self.trouble is not None:
                    return self._failed()
                if self.gives_up and time.monotonic() - answered > GIVE_UP_AFTER:
                    self.trouble = str(away)
                    return "away"
            except StoreUnavailable as error:
                if lines.due():
                    self.say(f"waiting: {error}")
        return "stopped"

    def _overtaken(self) -> Outcome | None:
        if not self.is_current():
            return "superseded"
        self.trouble = self.changed()
        return None if self.trouble is None else "topic changed"

    def _look(self, lines: "_Every") -> Outcome | None:
        glimpse = self.flink.glimpse(self.job_id)
        outcome = self._judge(glimpse)
        if outcome is None and lines.due():
            self._tell(glimpse)
        return outcome

    def _judge(self, glimpse: Glimpse) -> Outcome | None:
        self._has_begun = self._has_begun or glimpse.checkpoint is not None
        if glimpse.state in ("FAILED", "CANCELED", "FINISHED"):
            self.trouble = next(iter(self.flink.failures(self.job_id)), None)
            return self._failed() if glimpse.state == "FAILED" else "canceled"
        if self.restored and not self._has_begun and self._cannot_restore():
            return "unrestorable"
        if not self.bounded:
            return None
        restored = glimpse.restored if glimpse.may_hang else None
        if restored != self._exhausted_since and restored is not None and self.exhausted(restored):
            self._exhausted_since = restored
        self.ending.see(glimpse, exhausted=restored is not None and restored == self._exhausted_since)
        if self.ending.should_checkpoint(glimpse):
            self.flink.checkpoint(self.job_id)
            self.ending.did_checkpoint()
        # Twice: Flink calls a checkpoint complete before the last of its files is committed, and can be seen.
        if self.ending.sealed(glimpse) and self.tally().settled and self._announced(glimpse) and self.tally().settled:
            self._tell(self.flink.glimpse(self.job_id))
            return "finished"
        return None

    def _cannot_restore(self) -> bool:
        """Whether the job has failed again and again since its start, on a state that it can't use."""
        failures = self.flink.failures(self.job_id)
        self.trouble = failures[0] if failures else None
        return len(failures) >= 3 and is_of_state(failures[0])

    def _failed(self) -> Outcome:
        """What it means that the job has ended by itself."""
        is_of_its_state = self.restored and not self._has_begun and is_of_state(self.trouble or "")
        return "unrestorable" if is_of_its_state else "failed"

    def _announced(self, glimpse: Glimpse) -> bool:
        """Wait for a checkpoint that the last events precede; they are on their topic then."""
        settled_at = glimpse.now
        asked = False
        end = time.monotonic() + DRAIN_SECONDS
        while not self.stop.wait(LOOK_SECONDS) and time.monotonic() < end:
            now = self.flink.glimpse(self.job_id)
            if now.state != "RUNNING":
                return False
            if now.checkpoint_begun is not None and now.checkpoint_begun > settled_at + ANNOUNCE_SECONDS:
                return True
            if not asked and now.now > settled_at + ANNOUNCE_SECONDS:
                self.flink.checkpoint(self.job_id)
                asked = True
        # The store is the truth, and the poller works what nobody announced: this is no reason to run on.
        return True

    def _tell(self, glimpse: Glimpse) -> None:
        failing = glimpse.state != "RUNNING"
        trouble = (self.flink.failures(self.job_id) or [glimpse.state])[0] if failing else None
        self.say(line(glimpse.staged, self.tally(), trouble))


def drain(in_flight: Callable[[], int], wait: Callable[[float], object]) -> bool:
    """Wait until nothing is in flight, twice in a row; whether that came about in time."""
    end, quiet = time.monotonic() + DRAIN_SECONDS, 0
    while time.monotonic() < end:
        try:
            quiet = quiet + 1 if in_flight() == 0 else 0
        except BatchlineError:
            quiet = 0
        if quiet >= 3:
            return True
        wait(LOOK_SECONDS)
    return False


class _Every:
    """Says when it is time again."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._next = seconds, time.monotonic() + min(seconds, 5.0)

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
