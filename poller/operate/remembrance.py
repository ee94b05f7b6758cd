"""How far a batch had come, from what stands in its folder of the spool, and from its event: a row and its attempts.

It is put where its duties take it up again, never further than is proved: a decision on its results is followed, a
receipt is watched, an intent without one is looked up, and only what nobody can have sent is sent.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from shared.closing import CLOSING, read_closing
from shared.intents import Intent, Receipt, newest_receipt, read_intent
from shared.lifecycle import State
from shared.manifest import Manifest
from shared.messages import BatchEvent
from shared.recovery import SLACK
from shared.spool import DECISION, Spool
from shared.store import Attempt, PlannedBatch
from shared.store.creates import ADOPTED
from shared.store.rebuilds import Known

_INTENT = re.compile(r"intent-([0-9]+)\.json")


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
    made = _attempts(spool, folder, names, planned, now)
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


def _attempts(spool: Spool, folder: str, names: set[str], batch: PlannedBatch, now: datetime) -> list[Attempt]:
    """Every attempt that the spool knows, oldest first; the last one is unresolved unless it has a receipt."""
    numbers = sorted(int(match[1]) for match in map(_INTENT.fullmatch, names) if match)
    newest = newest_receipt(spool, folder, 1)
    if newest is not None and newest.attempt not in numbers:
        numbers = sorted([*numbers, newest.attempt])
    intents = [read_intent(spool, folder, number) for number in numbers]
    found: list[Attempt] = []
    for place, (number, intent) in enumerate(zip(numbers, intents, strict=True)):
        receipt = newest if newest is not None and newest.attempt == number else _receipt(spool, folder, number, names)
        following = next((later.started_at for later in intents[place + 1 :] if later is not None), now)
        is_last = place == len(numbers) - 1
        found.append(_attempt(batch, number, intent, receipt, None if is_last else following))
    return found


def _receipt(spool: Spool, folder: str, number: int, names: set[str]) -> Receipt | None:
    name = f"receipt-{number}.json"
    data = spool.files.read(f"{folder}/{name}") if name in names else None
    return None if data is None else Receipt.model_validate_json(data)


def _attempt(
    batch: PlannedBatch, number: int, intent: Intent | None, receipt: Receipt | None, following: datetime | None
) -> Attempt:
    """`following`: when the next attempt began, which was allowed only once this one was known to have made nothing."""
    made_at = receipt.created_at if receipt else None
    return Attempt(
        batch_key=batch.batch_key,
        attempt=number,
        account=batch.account,
        started_at=intent.started_at if intent else made_at or batch.sealed_at,
        requests=batch.requests,
        bytes=batch.bytes,
        input_file_id=intent.input_file_id if intent else None,
        outcome="accepted" if receipt else "absent" if following else None,
        resolved_at=made_at or following,
        provider_batch_id=receipt.provider_batch_id if receipt else None,
        lookups=0,
        clean_since=None,
        last_lookup_at=None,
        disowned=(),
        note=None,
    )


def _announced(last: Attempt, event: BatchEvent, now: datetime) -> Attempt | None:
    """The last attempt with what was announced of it: a guess, like a look-up's, that its results must prove."""
    if event.submitted_at < last.started_at - SLACK:
        return None
    return _resolved(last, ADOPTED, now, event.provider_batch_id)


def _over(made: Sequence[Attempt], now: datetime) -> list[Attempt]:
    """A decision stands: whatever its last create came to, nothing of it is unknown any more."""
    return [each if each.outcome is not None else _resolved(each, "rejected", now) for each in made]


def _resolved(attempt: Attempt, outcome: str, now: datetime, provider_batch_id: str | None = None) -> Attempt:
    values = {name: getattr(attempt, name) for name in attempt.__slots__}
    return Attempt(**{**values, "outcome": outcome, "resolved_at": now, "provider_batch_id": provider_batch_id})


def _taken(last: Attempt | None) -> dict[str, object]:
    """What a row says of an attempt that made something."""
    if last is None or last.provider_batch_id is None:
        return {}
    return {"provider_batch_id": last.provider_batch_id, "submitted_at": last.resolved_at}
