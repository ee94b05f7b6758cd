"""A batch and its way through the states, decided by times alone: no I/O, no tasks. Shared by both providers."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from deploy.sandbox.provider.processing import Outcome


class Phase(StrEnum):
    """OpenAI's statuses; Anthropic's three are seen through them."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.EXPIRED, Phase.CANCELLED})
_ENDING = {"completed": Phase.COMPLETED, "expired": Phase.EXPIRED, "cancelled": Phase.CANCELLED}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long each phase lasts, in seconds."""

    validating: float
    processing: float
    finalizing: float
    cancelling: float

    @classmethod
    def of(cls, total: float) -> "Timing":
        """Share out the seconds a batch takes from its create to its end."""
        return cls(total * 0.2, total * 0.6, total * 0.2, total * 0.2)


@dataclass(slots=True)
class Batch:
    """Times in seconds since 1970. `errors` is None until validated; `done` and `ending` are how it will end.

    `traits` and `line_faults` are the faults drawn at its create. `outcome` counts only when it was made for the
    present (`done`, `ending`).
    """

    id: str
    provider: str
    endpoint: str
    created_at: float
    expires_at: float
    input_path: str
    input_file_id: str | None = None
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    output_seconds: int = 30 * 86_400
    traits: dict[str, dict[str, Any]] = field(default_factory=dict)
    line_faults: dict[str, dict[str, Any]] = field(default_factory=dict)
    phase: Phase = Phase.VALIDATING
    total: int = 0
    model: str | None = None
    input_tokens: int = 0
    errors: list[dict[str, Any]] | None = None
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    cancelling_at: float | None = None
    ended_at: float | None = None
    done: int = 0
    ending: str = "completed"
    outcome: Outcome | None = None
    outcome_for: tuple[int, str] | None = None
    outcome_at: float = 0.0
    output_file_id: str | None = None
    error_file_id: str | None = None
    deleted: bool = False

    @property
    def ended(self) -> bool:
        return self.phase in TERMINAL

    @property
    def result(self) -> Outcome | None:
        """The outcome, if it was made for the way in which the batch ends."""
        return self.outcome if self.outcome_for == (self.done, self.ending) else None

    def within(self, trait: str, since: float | None, now: float) -> dict[str, Any] | None:
        """Return a trait's options while its `seconds` since a time haven't passed."""
        options = self.traits.get(trait)
        if options is None or since is None or now >= since + options["seconds"]:
            return None
        return options


def validated(batch: Batch, errors: list[dict[str, Any]]) -> None:
    """Take in the validation's findings, and settle how the batch is going to end."""
    batch.errors = errors
    share = 1.0
    for trait, ending in (("expire_partially", "expired"), ("cancel_by_provider", "cancelled")):
        if trait in batch.traits:
            share, batch.ending = batch.traits[trait]["done"], ending
    batch.done = round(batch.total * share)


def cancel(batch: Batch, now: float, timing: Timing) -> bool:
    """Begin to cancel; False when it is too late for that."""
    if batch.ended or batch.phase is Phase.CANCELLING:
        return False
    share = 0.0
    if "cancel_partially" in batch.traits:
        share = batch.traits["cancel_partially"]["done"]
    elif batch.phase is Phase.FINALIZING:
        share = 1.0
    elif batch.in_progress_at is not None:
        share = min(1.0, (now - batch.in_progress_at) / max(timing.processing, 1e-6))
    batch.done, batch.ending = int(batch.total * share), "cancelled"
    if batch.errors != []:
        # Not validated (or invalid): nothing was done, and no line may be looked at.
        batch.done, batch.outcome, batch.outcome_for = 0, Outcome(cancelled=batch.total), (0, "cancelled")
    batch.phase, batch.cancelling_at = Phase.CANCELLING, now
    return True


def advance(batch: Batch, now: float, timing: Timing) -> bool:
    """Move the batch as far as `now` allows; True when it moved."""
    before = batch.phase
    if batch.phase is Phase.VALIDATING:
        _leave_validating(batch, now, timing)
    if batch.phase is Phase.IN_PROGRESS:
        _leave_in_progress(batch, now, timing)
    if batch.phase in (Phase.FINALIZING, Phase.CANCELLING):
        _end(batch, now, timing)
    return batch.phase is not before


def _leave_validating(batch: Batch, now: float, timing: Timing) -> None:
    if batch.errors is None or batch.within("stuck_validating", batch.created_at, now):
        return
    # The planned time, though validation may have taken longer: a jump of the clock meanwhile must not count.
    at = batch.created_at + timing.validating
    if now < at:
        return
    if batch.errors:
        batch.phase, batch.ended_at = Phase.FAILED, now
    else:
        batch.phase, batch.in_progress_at = Phase.IN_PROGRESS, at


def _leave_in_progress(batch: Batch, now: float, timing: Timing) -> None:
    begun = batch.in_progress_at or now
    if batch.within("stuck_in_progress", begun, now):
        return
    at = begun + timing.processing
    if at > batch.expires_at and batch.ending == "completed":
        share = max(0.0, batch.expires_at - begun) / max(timing.processing, 1e-6)
        batch.done, batch.ending = int(batch.total * share), "expired"
    at = max(begun, min(at, batch.expires_at))
    if now >= at:
        batch.phase, batch.finalizing_at = Phase.FINALIZING, at


def _end(batch: Batch, now: float, timing: Timing) -> None:
    if batch.result is None or batch.within("stuck_finalizing", batch.finalizing_at, now):
        return
    begun, lasts = batch.finalizing_at, timing.finalizing
    if batch.phase is Phase.CANCELLING:
        begun, lasts = batch.cancelling_at, timing.cancelling
    at = max((begun or now) + lasts, batch.outcome_at)
    if now >= at:
        batch.phase, batch.ended_at = _ENDING[batch.ending], at


def progress(batch: Batch, now: float, timing: Timing) -> int:
    """Return how many requests seem done while the batch is still in progress."""
    if batch.in_progress_at is None:
        return 0
    share = min(1.0, (now - batch.in_progress_at) / max(timing.processing, 1e-6))
    return int(batch.total * share)
