"""OpenAI's /v1/batches: create, retrieve, list, cancel."""

from typing import Any

from starlette.responses import Response

from deploy.sandbox.provider import batches
from deploy.sandbox.provider.batches import Batch
from deploy.sandbox.provider.calls import Call, JsonResponse
from deploy.sandbox.provider.creation import accept
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.limits import Limits
from deploy.sandbox.provider.routes_files import EXPIRY, listed, paged
from deploy.sandbox.provider.store import FileRecord, new_id
from deploy.sandbox.provider.views import openai_batch

ENDPOINTS = ("/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/moderations")
KEYS = frozenset({"completion_window", "endpoint", "input_file_id", "metadata", "output_expires_after"})


def _view(call: Call, batch: Batch) -> dict[str, Any]:
    return openai_batch(call.engine.settle(batch), call.engine.clock.now(), call.engine.timing)


def _checked_metadata(metadata: Any, limits: Limits) -> dict[str, str] | None:
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise ProviderError(400, "Invalid type for 'metadata': expected an object.", param="metadata")
    if metadata and not limits.openai_metadata_pairs:
        raise ProviderError(400, "Unknown parameter: 'metadata'.", code="unknown_parameter", param="metadata")
    if len(metadata) > limits.openai_metadata_pairs:
        message = f"Invalid 'metadata': too many properties. Expected at most {limits.openai_metadata_pairs}."
        raise ProviderError(400, message, code="object_above_max_properties", param="metadata")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise ProviderError(400, f"Invalid type for 'metadata.{key}': expected a string.", param="metadata")
        if len(key) > limits.openai_metadata_key or len(value) > limits.openai_metadata_value:
            message = f"Invalid 'metadata.{key}': string too long."
            raise ProviderError(400, message, code="string_above_max_length", param="metadata")
    return metadata


def _checked_options(body: dict[str, Any], limits: Limits) -> int | None:
    """Check the rest of a create's body; return the lifetime of its output, if it has one."""
    unknown = next((key for key in body if key not in KEYS), None)
    if unknown is not None:
        raise ProviderError(400, f"Unknown parameter: '{unknown}'.", code="unknown_parameter", param=unknown)
    window = f"{limits.batch_seconds // 3_600}h"
    if body.get("completion_window") != window:
        message = f"Invalid value: '{body.get('completion_window')}'. Value must be '{window}'."
        raise ProviderError(400, message, code="invalid_value", param="completion_window")
    if body.get("endpoint") not in ENDPOINTS:
        message = f"Invalid value: '{body.get('endpoint')}'. Supported values are: {', '.join(ENDPOINTS)}."
        raise ProviderError(400, message, code="invalid_value", param="endpoint")
    expiry = body.get("output_expires_after")
    if expiry is None:
        return None
    if expiry.get("anchor") != "created_at" or expiry.get("seconds") not in EXPIRY:
        raise ProviderError(400, "Invalid 'output_expires_after'.", param="output_expires_after")
    return int(expiry["seconds"])


def _input_file(call: Call, name: Any) -> FileRecord:
    record = call.engine.store.files.get(str(name))
    if record is None or not record.available(call.engine.clock.now()):
        raise ProviderError(404, f"No such File object: {name}", param="input_file_id")
    if record.purpose != "batch":
        message = f"Invalid purpose for input file: expected 'batch', got '{record.purpose}'."
        raise ProviderError(400, message, code="invalid_file_purpose", param="input_file_id")
    return record


async def create(call: Call) -> Response:
    engine, now = call.engine, call.engine.clock.now()
    body = await call.json()
    output_seconds = _checked_options(body, engine.limits)
    metadata = _checked_metadata(body.get("metadata"), engine.limits)
    record = _input_file(call, body.get("input_file_id"))
    if call.fault("input_file_denied") is not None:
        message = f"Cannot find file {record.id}, or project proj_sandbox does not have access to it."
        raise ProviderError(400, message, param="file_id")
    if engine.created_this_hour("openai") >= engine.limits.openai_creates_per_hour:
        message = f"Rate limit reached for batch creates. Limit: {engine.limits.openai_creates_per_hour} per hour."
        raise ProviderError(429, message, code="rate_limit_exceeded", headers={"retry-after": "60"})
    batch = Batch(
        id=new_id("batch_"),
        provider="openai",
        endpoint=body["endpoint"],
        created_at=now,
        expires_at=now + engine.limits.batch_seconds,
        input_path=record.path,
        input_file_id=record.id,
        metadata=metadata,
        output_seconds=output_seconds or engine.limits.openai_file_seconds,
    )
    await accept(call, batch, lambda: record.available(engine.clock.now()))
    return JsonResponse(_view(call, batch))


def _found(call: Call) -> Batch:
    batch = call.engine.store.batches.get(call.resource)
    if batch is None or batch.provider != "openai":
        raise ProviderError(404, f"No batch found with id '{call.resource}'.", param="id")
    return batch


async def retrieve(call: Call) -> Response:
    batch = _found(call)
    if batch.within("retrieve_404_after_create", batch.created_at, call.engine.clock.now()):
        raise ProviderError(404, f"No batch found with id '{call.resource}'.", param="id")
    return JsonResponse(_view(call, batch))


async def listing(call: Call) -> Response:
    limit = call.number("limit", 20, call.engine.limits.openai_list_page)
    found, after = listable(call, "openai"), call.request.query_params.get("after")
    stuck = call.fault("list_does_not_page")
    if stuck is not None:
        found, after = ([] if stuck["how"] == "empty" else found), None
    if call.fault("list_oldest_first") is not None:
        found = found[::-1]
    page, more = paged(found, after, limit)
    more = more or stuck is not None
    return JsonResponse(listed([_view(call, batch) for batch in page], more=more))


def listable(call: Call, provider: str) -> list[tuple[str, Batch]]:
    """Return a provider's batches with their ids, newest first, without those a list doesn't show (yet)."""
    now = call.engine.clock.now()
    shown = [
        (batch.id, batch)
        for batch in call.engine.store.batches
        if batch.provider == provider and not batch.deleted and not batch.within("list_lag", batch.created_at, now)
    ]
    return sorted(shown, key=lambda one: one[1].created_at, reverse=True)


async def cancel(call: Call) -> Response:
    engine, batch = call.engine, call.engine.settle(_found(call))
    if not batches.cancel(batch, engine.clock.now(), engine.timing):
        message = f"Cannot cancel a batch with status '{batch.phase}'."
        raise ProviderError(409, message, type="invalid_request_error")
    engine.store.batches.put(batch)
    engine.log.write("cancel", batch=batch.id)
    return JsonResponse(_view(call, batch))
