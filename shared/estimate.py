"""What a batch may take and cost, before anything is sent: a guess from its size, at the price of its road. Pure."""

from math import ceil
from typing import NamedTuple, Protocol

from shared.definition import BatchOptions, Column, Definition, Mode, Model, SqlType
from shared.packing import MOST_RECORDS
from shared.providers.bodies import thinking_tokens
from shared.providers.prices import cost_of
from shared.schema import TEXT

TOKENS_PER_BYTE = 0.25
"""Of request lines, bodies' own words included: a rule of thumb for English text, until batches that ended tell."""
_MEDIUM, _BESIDE = 5_000, 1_000
"""Tokens of an image or of a document of a few pages, and of the text beside it."""
_LONG = 100
"""Tokens of a text whose length no column limits."""
_SHORT = 12
"""Tokens of a number, a date, the frame of a record's entry among others."""


class Asking(Protocol):
    """A batch, as far as its estimate goes: a row of the store, or what is planned of one."""

    @property
    def requests(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def deduplicated(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def estimated_tokens(self) -> int | None: ...


class Estimate(NamedTuple):
    """Of one batch; None for one that asks nothing."""

    tokens: int | None
    """Of its prompts."""
    usd: float | None
    """None also without a known price."""


def estimate(definition: Definition, batch: Asking, rate: float = TOKENS_PER_BYTE) -> Estimate:
    """What a batch takes and costs; prompt tokens that were estimated before stand."""
    if batch.requests == 0:
        return Estimate(None, None)
    tokens = batch.estimated_tokens or asked_tokens(definition, batch.requests, batch.bytes, rate)
    answers = all_answers(definition, batch.requests, batch.records - batch.deduplicated)
    return Estimate(tokens, estimated_cost(definition.model, batch.requests, tokens, batch.mode, answers))


def prompt_tokens(size: int, rate: float = TOKENS_PER_BYTE) -> int:
    """The prompt tokens of requests in `size` bytes, at so many tokens a byte; at least one."""
    return max(ceil(size * rate), 1)


def asked_tokens(definition: Definition, requests: int, size: int, rate: float = TOKENS_PER_BYTE) -> int:
    """The prompt tokens of a definition's requests: what an image costs does not grow with its bytes."""
    tokens, media = prompt_tokens(size, rate), len(definition.batch.media_columns or ())
    return min(tokens, requests * (media * _MEDIUM + _BESIDE)) if media else tokens


def estimated_cost(
    model: Model, requests: int, tokens: int, mode: Mode = "batch", answers: int | None = None
) -> float | None:
    """US dollars for so many requests with so many prompt tokens, each answered as `answer_tokens` says.

    `answers`: the tokens of all of them, where they are known better. None without a known price.
    """
    price = cost_of(model, tokens, requests * answer_tokens(model) if answers is None else answers)
    if price is None:
        return None
    return price.sync_usd if mode == "sync" else price.batch_usd


def answer_tokens(model: Model) -> int:
    """The tokens of one record's own answer: as many as `max-tokens` allows, else as its columns suggest."""
    limit = model.parameters.get("max-tokens")
    if model.task in ("embeddings", "moderations"):
        return 0
    return limit if isinstance(limit, int) else _row(model.output) + thinking_tokens(model)


def all_answers(definition: Definition, requests: int, records: int) -> int:
    """The tokens of all answers of requests that hold so many records, some of which may have been set aside."""
    model = definition.model
    if not definition.batch.is_packed or answer_tokens(model) == 0:
        return requests * answer_tokens(model)
    limit = model.parameters.get("max-tokens")
    size = definition.batch.size
    asked = min(records, requests * (MOST_RECORDS if size == "auto" else size))
    wanted = asked * record_answer(definition.batch, model.output) + requests * thinking_tokens(model)
    return min(wanted, requests * limit) if isinstance(limit, int) else wanted


def record_answer(options: BatchOptions, output: tuple[Column, ...]) -> int:
    """The tokens that one record's part of an answer is expected to have."""
    return options.response_tokens or _SHORT + _row(output)


def _row(columns: tuple[Column, ...]) -> int:
    return sum(_of(column.type) + ceil(len(column.name) / 4) for column in columns)


def _of(type_: SqlType) -> int:
    if type_.root in TEXT:
        return min(ceil((type_.length or 4 * _LONG) / 4), _LONG)
    if type_.root == "ROW":
        return _row(type_.fields)
    return _LONG if type_.element else _SHORT
