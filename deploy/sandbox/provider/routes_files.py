"""OpenAI's /v1/files: upload, retrieve, content, list, delete."""

from typing import TypeVar

from starlette.responses import Response

from deploy.sandbox.provider import upload as multipart
from deploy.sandbox.provider.calls import Call, JsonResponse
from deploy.sandbox.provider.download import results
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.store import FileRecord, new_id, remove
from deploy.sandbox.provider.views import openai_file

PURPOSES = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
Item = TypeVar("Item")
EXPIRY = range(3_600, 2_592_001)


async def upload(call: Call) -> Response:
    engine = call.engine
    file_id = new_id("file-")
    path = engine.store.path(file_id)
    try:
        fields, filename, size = await multipart.receive(call.request, path, engine.limits.openai_bytes)
        record = _record(call, file_id, fields, filename, size)
        _check_quota(call, size)
    except ProviderError:
        remove(str(path))
        raise
    engine.store.files.put(record)
    engine.log.write("upload", file=file_id, bytes=size, purpose=record.purpose, path=str(path))
    return JsonResponse(openai_file(record))


def _check_quota(call: Call, size: int) -> None:
    engine = call.engine
    full = engine.store.used_bytes(engine.clock.now()) + size > engine.limits.openai_storage_bytes
    if call.fault("file_quota_full") is not None or full:
        message = "Your organization has exceeded its file storage limit. Delete files to upload more."
        raise ProviderError(400, message, code="file_storage_quota_exceeded")


def _record(call: Call, file_id: str, fields: dict[str, str], filename: str, size: int) -> FileRecord:
    purpose = fields.get("purpose")
    if purpose not in PURPOSES:
        raise ProviderError(400, f"'{purpose}' is not one of {sorted(PURPOSES)} - 'purpose'", param="purpose")
    now = call.engine.clock.now()
    expires_at = now + call.engine.limits.openai_file_seconds if purpose == "batch" else None
    if "expires_after[seconds]" in fields and not call.engine.limits.openai_file_lifetimes:
        raise ProviderError(400, "Unknown parameter: 'expires_after'.", code="unknown_parameter", param="expires_after")
    if "expires_after[seconds]" in fields:
        seconds = fields["expires_after[seconds]"]
        if fields.get("expires_after[anchor]") != "created_at" or not seconds.isdigit() or int(seconds) not in EXPIRY:
            message = "Invalid 'expires_after': anchor must be created_at, seconds between 3600 and 2592000."
            raise ProviderError(400, message, param="expires_after")
        expires_at = now + int(seconds)
    hidden = call.fault("input_file_not_found_after_upload")
    until = now + hidden["seconds"] if hidden else 0.0
    path = str(call.engine.store.path(file_id))
    return FileRecord(file_id, filename, purpose, size, now, path, expires_at, until)


def _found(call: Call) -> FileRecord:
    record = call.engine.store.files.get(call.resource)
    if record is None or not record.available(call.engine.clock.now()):
        raise ProviderError(404, f"No such File object: {call.resource}", param="id")
    return record


async def retrieve(call: Call) -> Response:
    return JsonResponse(openai_file(_found(call)))


async def content(call: Call) -> Response:
    record = _found(call)
    is_result = record.purpose == "batch_output"
    if is_result and call.fault("results_deleted") is not None:
        raise ProviderError(404, f"No such File object: {call.resource}", param="id")
    return results(call, record.path, "application/octet-stream")


async def listing(call: Call) -> Response:
    query, now = call.request.query_params, call.engine.clock.now()
    limit = call.number("limit", call.engine.limits.openai_file_page, call.engine.limits.openai_file_page)
    purpose = query.get("purpose")
    records = [one for one in call.engine.store.files if one.available(now) and purpose in (None, one.purpose)]
    records.sort(key=lambda one: one.created_at, reverse=query.get("order", "desc") != "asc")
    page, more = paged([(one.id, one) for one in records], query.get("after"), limit)
    return JsonResponse(listed([openai_file(one) for one in page], more=more))


def paged(items: list[tuple[str, Item]], after: str | None, limit: int) -> tuple[list[Item], bool]:
    """Return the page behind the id `after`, and whether there is more; 404 for an unknown cursor."""
    start = 0
    if after:
        start = next((place + 1 for place, (name, _) in enumerate(items) if name == after), -1)
        if start < 0:
            raise ProviderError(404, f"No such object: {after}", param="after")
    page = [item for _, item in items[start : start + limit]]
    return page, start + limit < len(items)


def listed(data: list[dict[str, object]], *, more: bool) -> dict[str, object]:
    """Return a list object, as OpenAI's cursor pages are."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


async def delete(call: Call) -> Response:
    record = _found(call)
    record.deleted = True
    call.engine.store.files.put(record)
    if record.purpose == "batch_output":
        remove(record.path)
    call.engine.log.write("delete_file", file=record.id)
    return JsonResponse({"id": record.id, "object": "file", "deleted": True})
