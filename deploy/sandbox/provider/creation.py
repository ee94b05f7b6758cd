"""Accepting a batch, whatever may then happen to the answer: shared by both providers' create."""

import asyncio
from collections.abc import Callable

from deploy.sandbox.provider.batches import Batch, validated
from deploy.sandbox.provider.calls import Call
from deploy.sandbox.provider.errors import ConnectionCut, ProviderError
from deploy.sandbox.provider.vocabulary import Occasion


async def accept(call: Call, batch: Batch, still_possible: Callable[[], bool]) -> Batch:
    """Draw the batch's faults and take it in; the faults of row 1 raise instead of returning it.

    `still_possible` is asked when a late create is applied: OpenAI's can't run without its input file.
    """
    engine = call.engine
    batch.traits = engine.faults.draw_all(Occasion.CREATE, call.endpoint, call.key)
    batch.line_faults = engine.faults.draw_all(Occasion.LINE, call.endpoint, call.key)
    if batch.provider == "anthropic":
        # Its params are judged request by request, while the batch runs.
        validated(batch, [])
    late = batch.traits.get("create_applied_after_disconnect")
    if late is not None:
        due = engine.clock.now() + late["delay"]
        engine.late.append((due, lambda: _apply(call, batch, due, still_possible)))
        raise ConnectionCut
    engine.accept(batch)
    lost = batch.traits.get("create_accepted_response_lost")
    if lost is not None:
        await asyncio.sleep(lost["hang"])
        if lost["status"] is not None:
            raise ProviderError(lost["status"], "The server had an error while processing your request.")
        raise ConnectionCut
    return batch


def _apply(call: Call, batch: Batch, due: float, still_possible: Callable[[], bool]) -> None:
    if not still_possible():
        call.engine.log.write("create_dropped", batch=batch.id, provider=batch.provider, path=batch.input_path)
        return
    # Its own time: a clock that has jumped meanwhile must not make it younger.
    batch.created_at = due
    batch.expires_at = batch.created_at + call.engine.limits.batch_seconds
    call.engine.accept(batch)
