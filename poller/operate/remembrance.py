"""How far a batch had come, from what stands in its folder of the spool, and from its event: a row and its attempts.

It is put where its duties take it up again, never further than is proved: a decision on its results is followed, a
receipt is watched, an intent without one is looked up, and only what nobody can have sent is sent.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.attempted import attempted
from shared.closing import CLOSING, read_closing
from shared.lifecycle import State
from shared.manifest import Manifest
from shared.messages import BatchEvent
from shared.recovery import SLACK
from shared.spool import DECISION, Spool
from shared.store import Attempt, PlannedBatch
from shared.store.creates import ADOPTED
from shared.store.rebuilds import Known


def remembrance(spool: Spool, manifest: Manifest, event: BatchEvent | None, *, is_proved: bool, now: datetime) -> Known:
    """A batch, as it can be proved to stand. `is_proved`: a provider's metadata say whose a batch is.

    Raises SpoolError for a damaged file in its folder.
    """
    folder = spool.batch(manifest.pipeline, manifest.statement, manifest.batch_key)
    planned = PlannedBatch.of(manifest)
    names = {entry.name for entry in spool.files.entries(folder)}
    if CLOSING in names:
        closing = read_closing(spool, folder)
        if closing is not None:
            return Known(planned, State(closing.state), closing.model_dump(exclude={"version", "batch_key", "state"}))
    made = attempted(spool, folder, planned)
    last = made[-1] if made else None
    if last is not None and last.outcome is None and not is_proved and event is not None:
        last = made[-1] = _announced(last, event, now) or last
    if DECISION in names:
        return Known(planned, State.ENDED, _taken(last) | {"ended_at": now}, _over(made, now))
    if last is None:
        return Known(planned, State.SEALED)
    if last.outcome is None:
        error = "the store was lost: its create is being looked up"
        return Known(planned, State.AMBIGUOUS, {"error": error}, made)
    return Known(planned, State.SUBMITTED, _taken(last), made)


def _announced(last: Attempt, event: BatchEvent, now: datetime) -> Attempt | None:
    """The last attempt with what was announced of it: a guess, like a look-up's, that its results must prove."""
    if event.submitted_at < last.started_at - SLACK:
        return None
    return _resolved(last, ADOPTED, now, event.provider_batch_id)


def _over(made: Sequence[Attempt], now: datetime) -> list[Attempt]:
    """A decision stands: whatever its last create came to, nothing of it is unknown any more."""
    return [each if each.outcome is not None else _resolved(each, "rejected", now) for each in made]


def _resolved(attempt: Attempt, outcome: str, now: datetime, provider_batch_id: str | None = None) -> Attempt:
    return replace(attempt, outcome=outcome, resolved_at=now, provider_batch_id=provider_batch_id)


def _taken(last: Attempt | None) -> dict[str, object]:
    """What a row says of an attempt that made something."""
    if last is None or last.provider_batch_id is None:
        return {}
    return {"provider_batch_id": last.provider_batch_id, "submitted_at": last.resolved_at}
