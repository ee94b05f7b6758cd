"""What a batch may cost, before anything is sent: a guess from its size, at the price of batches. Pure."""

from shared.definition import Model
from shared.providers.prices import cost

_BYTES_PER_TOKEN = 4
"""Of request lines, bodies' own words included: a rule of thumb for English text."""
_ANSWER = 200
"""Tokens of an answer whose length no option limits."""


def estimated_cost(model: Model, requests: int, size: int) -> float | None:
    """US dollars for so many requests in `size` bytes, each answered as long as it may be; None without a known price.

    Where `max-tokens` is not set, answers count as short ones.
    """
    limit = model.parameters.get("max-tokens")
    answer = limit if isinstance(limit, int) else _ANSWER
    output = 0 if model.task == "embeddings" else requests * answer
    price = cost(model.provider, model.model, size // _BYTES_PER_TOKEN, output)
    return None if price is None else price.batch_usd
