"""What a batch may cost, before anything is sent: a guess from its size, at the price of its road. Pure."""

from shared.definition import Mode, Model
from shared.providers.prices import cost

_BYTES_PER_TOKEN = 4
"""Of request lines, bodies' own words included: a rule of thumb for English text."""
_ANSWER = 200
"""Tokens of an answer whose length no option limits."""


def estimated_cost(model: Model, requests: int, size: int, mode: Mode = "batch") -> float | None:
    """US dollars for so many requests in `size` bytes, each answered as long as it may be; None without a known price.

    Where `max-tokens` is not set, answers count as short ones.
    """
    price = cost(model.provider, model.model, size // _BYTES_PER_TOKEN, requests * answer_tokens(model))
    if price is None:
        return None
    return price.sync_usd if mode == "sync" else price.batch_usd


def answer_tokens(model: Model) -> int:
    """What an answer is taken for beforehand."""
    limit = model.parameters.get("max-tokens")
    if model.task == "embeddings":
        return 0
    return limit if isinstance(limit, int) else _ANSWER
