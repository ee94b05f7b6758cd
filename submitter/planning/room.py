"""How many records one request may hold: by the model's context, and by the answer that they all share. Pure."""

from shared.definition import BatchOptions, Definition, Model
from shared.estimate import record_answer
from shared.packed import fixed_bytes
from shared.packing import MOST_RECORDS
from shared.providers.bodies import DEFAULT_MAX_TOKENS, thinking_tokens
from shared.providers.prices import context_window
from submitter.planning.packer import Room

UNKNOWN_WINDOW = 8_192
"""Tokens of a model whose context nobody knows."""
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
    if model.task == "embeddings":
        most = min(wanted or MOST_RECORDS, MOST_INPUTS)
        return Room(most, int(MOST_INPUT_TOKENS / per_byte), wanted if wanted and wanted > most else None)
    room, each = answer_room(model), record_answer(options, model.output)
    most = min(wanted or MOST_RECORDS, max(room // each, 1))
    window = options.context_window or context_window(model) or UNKNOWN_WINDOW
    text = (window - thinking_tokens(model) - min(room, most * each)) / per_byte - fixed_bytes(definition)
    return Room(most, max(int(text), 0), wanted)


def answer_room(model: Model) -> int:
    """The tokens that a request's whole answer may have: as the option says, else what is sent without it.

    What the model may think with is a part of the one, and comes on top of the other.
    """
    said = model.parameters.get("max-tokens")
    if isinstance(said, int):
        return max(said - thinking_tokens(model), 0)
    return DEFAULT_MAX_TOKENS if model.task == "messages" else UNLIMITED


def too_many(model: Model, options: BatchOptions) -> int | None:
    """How many records' answers have room in one, where the user wants more; None where there is enough."""
    if options.size == "auto" or model.task == "embeddings":
        return None
    most = max(answer_room(model) // record_answer(options, model.output), 1)
    return most if options.size > most else None
