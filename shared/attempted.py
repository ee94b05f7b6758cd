"""The creates of a batch that its folder tells of, as a store that forgot them would know them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.intents import Intent, Receipt, intended, newest_receipt, read_intent, read_receipt
from shared.spool import Spool
from shared.store import Attempt, PlannedBatch
from shared.store.creates import ADOPTED


def attempted(spool: Spool, folder: str, batch: PlannedBatch) -> list[Attempt]:
    """Every attempt, oldest first; the last one is unresolved unless it has a receipt.

    Raises SpoolError for a damaged file.
    """
    numbers = intended(spool, folder)
    newest = newest_receipt(spool, folder, 1)
    if newest is not None and newest.attempt not in numbers:
        numbers = sorted([*numbers, newest.attempt])
    intents = [read_intent(spool, folder, number) for number in numbers]
    found: list[Attempt] = []
    for place, (number, intent) in enumerate(zip(numbers, intents, strict=True)):
        begun = [later.started_at for later in intents[place + 1 :] if later is not None]
        if newest is not None and newest.attempt > number:
            begun.append(newest.created_at)
        found.append(_attempt(batch, number, intent, read_receipt(spool, folder, number), next(iter(begun), None)))
    return found


def over(made: Sequence[Attempt], now: datetime, provider_batch_id: str | None = None) -> list[Attempt]:
    """The attempts of a batch that is over: of the last one, too, nothing is unknown any more.

    `provider_batch_id`: what it was taken from, where that is known.
    """
    outcome = "rejected" if provider_batch_id is None else ADOPTED
    return [each if each.outcome is not None else resolved(each, outcome, now, provider_batch_id) for each in made]


def resolved(attempt: Attempt, outcome: str, at: datetime, provider_batch_id: str | None = None) -> Attempt:
    """An attempt, with what came of it."""
    return replace(attempt, outcome=outcome, resolved_at=at, provider_batch_id=provider_batch_id)


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
    )
