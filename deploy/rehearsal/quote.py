"""From a sample to what all of it takes: requests, tokens, batches, money and time on each road. Pure arithmetic."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from pydantic import BaseModel, ConfigDict

from shared.admission import Cut

Road = Literal["synchronous", "batch", "packed synchronous", "packed batch"]

_FIRST_TOKEN = 0.5
"""Seconds that a synchronous call takes before it answers: a guess, as the next one."""
_TOKENS_A_SECOND = 60.0
"""Of an answer."""


class Shown(BaseModel):
    model_config = ConfigDict(frozen=True)


class RoadQuote(Shown):
    """What all records take on one road."""

    road: Road
    requests: int
    input_tokens: int
    output_tokens: int
    batches: int | None
    """None of a road without batches."""
    cost_usd: float | None
    """None without a known price."""
    seconds: float
    """At the account's limits: of batches at most, as the provider promises it; of calls a guess, so many at once."""


class Quote(Shown):
    """What one statement takes."""

    statement: str
    model: str
    sampled: int
    """Records that were read and rendered."""
    refused: int
    """Of those: without a prompt, or too large. They come out as errors, and cost nothing."""
    records: int
    """That all of this is for."""
    is_guess: bool
    """Nobody knows how many records there are: it is for those that were sampled."""
    roads: tuple[RoadQuote, ...]
    without_packed: str | None = None
    """Why the packed roads are not among them."""


@dataclass(frozen=True)
class Measured:
    """A sample, rendered."""

    records: int
    """With those that were refused."""
    refused: int
    requests: int
    bytes: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Terms:
    """What holds for a statement's batches and calls."""

    max_requests: int
    """Of one batch."""
    max_bytes: int
    queue: Cut
    """What the account's queue holds at once, as far as it is known."""
    creates_per_hour: int | None
    window: float
    """Seconds within which a batch is done."""
    at_once: int
    """Synchronous calls."""


def scaled(sample: Measured, records: int) -> Measured:
    """As if there were so many records of the sample's kind."""
    if sample.records in (0, records):
        return sample
    share = records / sample.records

    def times(count: int) -> int:
        return ceil(count * share)

    return Measured(
        records,
        round(sample.refused * share),
        times(sample.requests),
        times(sample.bytes),
        times(sample.input_tokens),
        times(sample.output_tokens),
    )


def batches_of(whole: Measured, terms: Terms) -> int:
    """How many batches hold so much."""
    return max(ceil(whole.requests / terms.max_requests), ceil(whole.bytes / terms.max_bytes))


def seconds_batched(whole: Measured, batches: int, terms: Terms) -> float:
    """The time until the last batch is done, at most: queue after queue, hour after hour of creates."""
    filled = [1 if batches else 0]
    if terms.queue.max_bytes:
        filled.append(ceil(whole.bytes / terms.queue.max_bytes))
    if terms.queue.max_requests:
        filled.append(ceil(whole.requests / terms.queue.max_requests))
    hours = (batches - 1) // terms.creates_per_hour if terms.creates_per_hour and batches else 0
    return max(filled) * terms.window + hours * 3600


def seconds_called(whole: Measured, terms: Terms) -> float:
    """The time for all synchronous calls, so many at once: a guess by the length of their answers."""
    if whole.requests == 0:
        return 0.0
    each = _FIRST_TOKEN + whole.output_tokens / whole.requests / _TOKENS_A_SECOND
    return ceil(whole.requests / terms.at_once) * each
