"""Anthropic's /v1/messages/batches: create, retrieve, list, cancel, delete, results."""

import asyncio
from pathlib import Path
from typing import Any

from starlette.responses import Response

from deploy.sandbox.provider import batches
from deploy.sandbox.provider.batches import Batch
from deploy.sandbox.provider.calls import Call, JsonResponse
from deploy.sandbox.provider.creation import accept
from deploy.sandbox.provider.download import results as stream
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.requests_file import Findings, split
from deploy.sandbox.provider.routes_batches import listable
from deploy.sandbox.provider.store import new_id, remove
from deploy.sandbox.provider.views import anthropic_batch


def _view(call: Call, batch: Batch) -> dict[str, Any]:
    engine = call.engine
    base_url = str(call.request.base_url).rstrip("/")
    retention = engine.limits.anthropic_results_seconds
    return anthropic_batch(engine.settle(batch), engine.clock.now(), base_url, retention)


async def _spool(call: Call, path: Path) -> None:
    """Write the body to disk as it comes; 413 when it grows too large."""
    most, size = call.engine.limits.anthropic_bytes, 0
    with path.open("wb", 1 << 18) as out:
        async for chunk in call.request.stream():
            size += len(chunk)
            if size > most:
                raise ProviderError(413, f"Request exceeds the maximum size of {most} bytes")
            out.write(chunk)


async def _received(call: Call, requests: Path) -> Findings:
    """Spool the body and split it into lines, in a worker process."""
    spooled = requests.with_suffix(".body")
    try:
        await _spool(call, spooled)
        loop = asyncio.get_running_loop()
        arguments = str(spooled), str(requests), call.engine.limits
        return await loop.run_in_executor(call.engine.pool, split, *arguments)
    except ProviderError:
        remove(str(requests))
        raise
    finally:
        remove(str(spooled))


async def create(call: Call) -> Response:
    engine = call.engine
    name = new_id("msgbatch_")
    path = engine.store.path(f"{name}.requests.jsonl")
    findings = await _received(call, path)
    if engine.queued_requests() + findings.total > engine.limits.anthropic_queued_requests:
        remove(str(path))
        message = "This request would exceed your organization's limit of "
        message += f"{engine.limits.anthropic_queued_requests} batch requests in the processing queue."
        raise ProviderError(429, message, headers={"retry-after": "60"})
    now = engine.clock.now()
    batch = Batch(
        id=name,
        provider="anthropic",
        endpoint="/v1/messages",
        created_at=now,
        expires_at=now + engine.limits.batch_seconds,
        input_path=str(path),
        total=findings.total,
        input_tokens=findings.input_tokens,
    )
    await accept(call, batch, lambda: True)
    return JsonResponse(_view(call, batch))


def _found(call: Call) -> Batch:
    batch = call.engine.store.batches.get(call.resource)
    if batch is None or batch.provider != "anthropic" or batch.deleted:
        raise ProviderError(404, f"Message Batch with id '{call.resource}' not found.")
    return batch


def _shown(call: Call) -> Batch:
    """As `_found`, but for what does not show by its id yet."""
    batch = _found(call)
    if batch.within("retrieve_404_after_create", batch.created_at, call.engine.clock.now()):
        raise ProviderError(404, f"Message Batch with id '{call.resource}' not found.")
    return batch


async def retrieve(call: Call) -> Response:
    return JsonResponse(_view(call, _shown(call)))


async def listing(call: Call) -> Response:
    """Newest first; `after_id` the page behind a batch, `before_id` the page just before it."""
    limit = call.number("limit", 20, call.engine.limits.anthropic_list_page)
    found, query = listable(call, "anthropic"), call.request.query_params
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise ProviderError(400, "only one of before_id and after_id may be given")
    stuck = call.fault("list_does_not_page")
    if stuck is not None:
        found, after, before = ([] if stuck["how"] == "empty" else found), None, None
    begin, end = 0, len(found)
    if after:
        begin = _place(found, after) + 1
        end = min(end, begin + limit)
    elif before:
        end = _place(found, before)
        begin = max(0, end - limit)
    else:
        end = min(end, limit)
    more = begin > 0 if before else end < len(found) or stuck is not None
    data = [_view(call, batch) for _, batch in found[begin:end]]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return JsonResponse({"data": data, "has_more": more, "first_id": first, "last_id": last})


def _place(found: list[tuple[str, Batch]], name: str) -> int:
    for place, (known, _) in enumerate(found):
        if known == name:
            return place
    raise ProviderError(400, f"Message Batch with id '{name}' not found, can't be used as a cursor.")


async def cancel(call: Call) -> Response:
    engine, batch = call.engine, call.engine.settle(_found(call))
    if batches.cancel(batch, engine.clock.now(), engine.timing):
        engine.store.batches.put(batch)
        engine.log.write("cancel", batch=batch.id)
    elif batch.ended:
        raise ProviderError(400, f"Batch {batch.id} has already ended; it can't be canceled.")
    return JsonResponse(_view(call, batch))


async def delete(call: Call) -> Response:
    batch = call.engine.settle(_shown(call))
    if not batch.ended:
        raise ProviderError(400, f"Batch {batch.id} is still processing; cancel it before deleting it.")
    batch.deleted = True
    call.engine.store.batches.put(batch)
    call.engine.log.write("delete_batch", batch=batch.id)
    return JsonResponse({"id": batch.id, "type": "message_batch_deleted"})


async def results(call: Call) -> Response:
    engine, batch = call.engine, call.engine.settle(_found(call))
    now = engine.clock.now()
    gone = (
        call.fault("results_deleted") is not None or now >= batch.created_at + engine.limits.anthropic_results_seconds
    )
    late = batch.within("results_404_after_end", batch.ended_at, now)
    late = late or batch.within("output_file_delayed", batch.ended_at, now)
    if not batch.ended or batch.outcome is None or gone or late:
        raise ProviderError(404, f"Results of batch '{batch.id}' are not available.")
    return stream(call, batch.outcome.files["output"], "application/x-jsonl")
