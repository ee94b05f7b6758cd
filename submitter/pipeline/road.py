"""Whether the options of a model's road (batched, or asked record by record) fit together. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from submitter.pipeline.prices import STATED, unpriced


class Remark(NamedTuple):
    """What is wrong with an option; a warning where it only has no effect."""

    option: str
    message: str
    is_fault: bool = True


def road_remarks(values: Mapping[str, Any], provider: str, model: str) -> Iterator[Remark]:
    """Remarks on the given options, typed (None for what can't be used); `model` is the provider's name of it."""
    is_sync = values.get("batch.mode") == "sync"
    falls_back = "batch.fallback" in values and not is_sync
    asks = falls_back or (values.get("batch.response.on-error") == "individual" and not is_sync)
    without_price = unpriced(values, provider, model)
    if "batch.fallback" in values and is_sync:
        message = "it has no meaning with 'batch.mode' = 'sync', where every request is asked synchronously"
        yield Remark("batch.fallback", message, is_fault=False)
    if falls_back and "batch.deadline" not in values:
        yield Remark("batch.fallback", "it begins when the deadline nears: give 'batch.deadline' too, or leave it out")
    if "batch.fallback.max-cost" in values:
        if not asks:
            message = "it has no meaning without 'batch.fallback' = 'sync'"
            yield Remark("batch.fallback.max-cost", message, is_fault=False)
        elif without_price:
            yield Remark("batch.fallback.max-cost", without_price)
    if "batch.deduplicate.ttl" in values and not values.get("batch.deduplicate"):
        yield Remark("batch.deduplicate.ttl", "it has no meaning without 'batch.deduplicate' = 'true'", is_fault=False)
    yield from _of_prices(values, without_price)
    if "batch.fallback.max-concurrency" in values and not (asks or is_sync):
        message = "it has no meaning without 'batch.fallback' = 'sync' or 'batch.mode' = 'sync'"
        yield Remark("batch.fallback.max-concurrency", message, is_fault=False)


def _of_prices(values: Mapping[str, Any], without_price: str | None) -> Iterator[Remark]:
    if "batch.max-cost-per-day" in values and without_price:
        yield Remark("batch.max-cost-per-day", without_price)
    for name, other in (STATED, STATED[::-1]):
        if name in values and other not in values:
            yield Remark(name, f"it holds with '{other}' alone: give both, or neither")
