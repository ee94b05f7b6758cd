"""Batches and files as the two APIs show them. Pure."""

from datetime import UTC, datetime
from typing import Any

from deploy.sandbox.provider.batches import Batch, Phase, Timing, progress
from deploy.sandbox.provider.store import FileRecord

Json = dict[str, Any]


def openai_file(record: FileRecord) -> Json:
    """`openai.types.FileObject`."""
    return {
        "id": record.id,
        "object": "file",
        "bytes": record.bytes,
        "created_at": int(record.created_at),
        "expires_at": int(record.expires_at) if record.expires_at else None,
        "filename": record.filename,
        "purpose": record.purpose,
        "status": "processed",
        "status_details": None,
    }


def _openai_counts(batch: Batch, now: float, timing: Timing) -> Json:
    if "request_counts_wrong" in batch.traits and batch.ended:
        return {"total": batch.total, "completed": 0, "failed": batch.total}
    if batch.ended and batch.outcome is not None:
        failed = batch.outcome.failed + batch.outcome.expired
        return {"total": batch.total, "completed": batch.outcome.succeeded, "failed": failed}
    if batch.phase is Phase.VALIDATING or batch.phase is Phase.FAILED:
        return {"total": 0, "completed": 0, "failed": 0}
    done = batch.done if batch.phase is Phase.CANCELLING else progress(batch, now, timing)
    return {"total": batch.total, "completed": done, "failed": 0}


def _openai_usage(batch: Batch) -> Json:
    spent = batch.outcome if batch.ended else None
    used, told = (spent.input_tokens, spent.output_tokens) if spent else (0, 0)
    return {
        "input_tokens": used,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": told,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used + told,
    }


def _at(batch: Batch, phase: Phase) -> int | None:
    return int(batch.ended_at) if batch.phase is phase and batch.ended_at is not None else None


def _whole(time: float | None) -> int | None:
    return None if time is None else int(time)


def openai_batch(batch: Batch, now: float, timing: Timing) -> Json:
    """`openai.types.Batch`."""
    unknown = batch.within("unknown_status", batch.created_at, now)
    delayed = batch.within("output_file_delayed", batch.ended_at, now)
    hidden = delayed is not None and not delayed["listed"]
    errors = {"object": "list", "data": batch.errors} if batch.phase is Phase.FAILED else None
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": errors,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": unknown["status"] if unknown else str(batch.phase),
        "output_file_id": None if hidden else batch.output_file_id,
        "error_file_id": "" if "error_file_id_empty" in batch.traits and batch.ended else batch.error_file_id,
        "created_at": int(batch.created_at),
        "in_progress_at": _whole(batch.in_progress_at),
        "expires_at": int(batch.expires_at),
        "finalizing_at": _whole(batch.finalizing_at),
        "completed_at": _at(batch, Phase.COMPLETED),
        "failed_at": _at(batch, Phase.FAILED),
        "expired_at": _at(batch, Phase.EXPIRED),
        "cancelling_at": _whole(batch.cancelling_at),
        "cancelled_at": _at(batch, Phase.CANCELLED),
        "request_counts": _openai_counts(batch, now, timing),
        "usage": _openai_usage(batch),
        "metadata": batch.metadata,
    }


def rfc3339(time: float | None) -> str | None:
    if time is None:
        return None
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds")


def anthropic_status(batch: Batch) -> str:
    if batch.ended:
        return "ended"
    return "canceling" if batch.phase is Phase.CANCELLING else "in_progress"


def _anthropic_counts(batch: Batch) -> Json:
    counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    outcome = batch.outcome
    if not batch.ended or outcome is None:
        return counts | {"processing": batch.total}
    if "request_counts_wrong" in batch.traits:
        return counts | {"errored": batch.total}
    return counts | {
        "succeeded": outcome.succeeded,
        "errored": outcome.failed,
        "canceled": outcome.cancelled,
        "expired": outcome.expired,
    }


def anthropic_batch(batch: Batch, now: float, base_url: str, results_seconds: int) -> Json:
    """`anthropic.types.messages.MessageBatch`; archived once the results are no longer kept."""
    archived_at = batch.created_at + results_seconds
    archived = batch.ended and now >= archived_at
    unknown = batch.within("unknown_status", batch.created_at, now)
    delayed = batch.within("output_file_delayed", batch.ended_at, now)
    hidden = archived or not batch.ended or (delayed is not None and not delayed["listed"])
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": unknown["status"] if unknown else anthropic_status(batch),
        "request_counts": _anthropic_counts(batch),
        "created_at": rfc3339(batch.created_at),
        "expires_at": rfc3339(batch.expires_at),
        "ended_at": rfc3339(batch.ended_at) if batch.ended else None,
        "cancel_initiated_at": rfc3339(batch.cancelling_at),
        "archived_at": rfc3339(archived_at) if archived else None,
        "results_url": None if hidden else f"{base_url}/v1/messages/batches/{batch.id}/results",
    }
