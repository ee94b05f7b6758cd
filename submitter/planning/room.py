"""How many records one request may hold: by the model's context, and by the answer that they all share. Pure."""

from collections.abc import Iterator
from math import ceil

from shared.definition import BatchOptions, Definition, Model
from shared.estimate import record_answer
from shared.packed import asked, fixed_bytes
from shared.packing import MOST_RECORDS
from shared.providers.bodies import DEFAULT_MAX_TOKENS, request_lines, thinking_tokens
from shared.providers.prices import context_window
from submitter.planning.packer import Room

UNKNOWN_WINDOW = 8_192
"""Tokens of a model whose context nobody knows, prompt and answers together."""
UNLIMITED = 16_384
"""Tokens of an answer whose request names no limit: what current chat models write at least."""
MOST_INPUTS = 2_048
"""Of one embeddings request (OpenAI's reference)."""
MOST_INPUT_TOKENS = 300_000
"""Of all inputs of one embeddings request (OpenAI's reference)."""
_MARGIN = 1.5
"""On the tokens of a byte: a request whose text is dearer than others' must not overflow either."""
_LEAST = 0.1


def room_of(definition: Definition, rate: float) -> Room | None:
    """What one request may hold; None where each holds one record. `rate`: tokens a byte, as far as they are known."""
    options, model = definition.batch, definition.model
    if not options.is_packed:
        return None
    per_byte = max(rate * _MARGIN, _LEAST)
    wanted = None if options.size == "auto" else options.size
    most = min(wanted or MOST_RECORDS, _most(model, options))
    if model.task == "embeddings":
        return Room(most, int(MOST_INPUT_TOKENS / per_byte), wanted)
    # A limit that is sent counts in full at the provider, whatever is answered; without one each record's answer does.
    limit = _limit(model)
    each = ceil(record_answer(options, model.output) / per_byte) if limit is None else 0
    window = options.context_window or context_window(model) or UNKNOWN_WINDOW
    # The line without a prompt has the system prompt and the schema.
    beside = fixed_bytes(definition) + len(request_lines(asked(definition)).line("", ""))
    size = max(int((window - (limit or 0)) / per_byte) - beside, 0)
    return Room(max(min(most, size // max(each, 1)), 1), size, wanted, each)


def room_warnings(model: Model, options: BatchOptions) -> Iterator[str]:
    """What the user should know of `batch.size`: the number is lowered, or what is reckoned with is a guess."""
    if not options.is_packed:
        return
    most = _most(model, options)
    if options.size != "auto" and options.size > most:
        yield (
            f"one request has room for {most:,} inputs: more are never sent together"
            if model.task == "embeddings"
            else f"the answers of {most} records have room in one: raise 'max-tokens' for more"
        )
    if model.task in ("embeddings", "moderations") or options.context_window or context_window(model):
        return
    yield (
        f"nobody knows how many tokens '{model.model}' takes: {UNKNOWN_WINDOW:,} are assumed, of prompt and answers "
        "together; give 'batch.context-window' if they are more, or fewer"
    )


def _limit(model: Model) -> int | None:
    """The tokens that a request says its whole answer may have, thoughts included; None where it names none."""
    said = model.parameters.get("max-tokens")
    if isinstance(said, int):
        return said
    return DEFAULT_MAX_TOKENS + thinking_tokens(model) if model.task == "messages" else None


def _most(model: Model, options: BatchOptions) -> int:
    """How many records' answers have room in one, or how many inputs a request may have."""
    if model.task == "embeddings":
        return MOST_INPUTS
    limit = _limit(model)
    room = UNLIMITED if limit is None else max(limit - thinking_tokens(model), 0)
    return max(room // record_answer(options, model.output), 1)
