"""The creates of a batch that its folder tells of, as a store that forgot them should know them.

What was not taken may show late, and is looked for again: up to when, only the beginning of the next one says.
"""

from dataclasses import replace

from shared.errors import SpoolAway, SpoolError
from shared.intents import Intent, Receipt, intended, newest_receipt, read_intent, read_receipt
from shared.spool import Spool
from shared.store import Attempt, PlannedBatch
from shared.store.creates import FORGOTTEN


def attempted(spool: Spool, folder: str, batch: PlannedBatch) -> list[Attempt]:
    """Every attempt, oldest first; the last one is unresolved unless it has a receipt.

    Raises SpoolError where the last one's files are damaged; of a former one that is damaged nothing is said.
    """
    newest = newest_receipt(spool, folder, 1)
    numbers = {*intended(spool, folder), *([newest.attempt] if newest else [])}
    made: list[Attempt] = []
    for number in sorted(numbers, reverse=True):
        try:
            intent, receipt = read_intent(spool, folder, number), read_receipt(spool, folder, number)
        except SpoolAway:
            raise
        except SpoolError:
            if not made:
                raise
            continue
        attempt = _attempt(batch, number, intent, receipt)
        made.append(_former(attempt, made[-1], made[0]) if made else attempt)
    return made[::-1]


def _attempt(batch: PlannedBatch, number: int, intent: Intent | None, receipt: Receipt | None) -> Attempt:
    made_at = receipt.created_at if receipt else None
    return Attempt(
        batch_key=batch.batch_key,
        attempt=number,
        account=batch.account,
        started_at=intent.started_at if intent else made_at or batch.sealed_at,
        requests=batch.requests,
        bytes=batch.bytes,
        input_file_id=intent.input_file_id if intent else None,
        outcome="accepted" if receipt else None,
        resolved_at=made_at,
        provider_batch_id=receipt.provider_batch_id if receipt else None,
    )


def _former(attempt: Attempt, following: Attempt, last: Attempt) -> Attempt:
    """An attempt after which others were made."""
    if attempt.outcome is not None:
        # A look-up of the last one may still find what a receipt names under a former number: it must not be hidden.
        return attempt if last.outcome is not None else replace(attempt, provider_batch_id=None)
    # A file that may have been taken is deleted, and never named again.
    is_unsent = attempt.input_file_id is not None and attempt.input_file_id == following.input_file_id
    outcome = "not sent" if is_unsent else "absent"
    return replace(attempt, outcome=outcome, resolved_at=following.started_at, note=FORGOTTEN)
