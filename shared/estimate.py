"""What a batch may take and cost, before anything is sent: a guess from its size, at the price of its road. Pure."""

from math import ceil

from shared.definition import Mode, Model
from shared.providers.prices import cost_of

TOKENS_PER_BYTE = 0.25
"""Of request lines, bodies' own words included: a rule of thumb for English text, until batches that ended tell."""
_ANSWER = 200
"""Tokens of an answer whose length no option limits."""


def prompt_tokens(size: int, rate: float = TOKENS_PER_BYTE) -> int:
    """The prompt tokens of requests in `size` bytes, at so many tokens a byte; at least one."""
    return max(ceil(size * rate), 1)


def estimated_cost(model: Model, requests: int, tokens: int, mode: Mode = "batch") -> float | None:
    """US dollars for so many requests with so many prompt tokens, each answered as long as it may be.

    Where `max-tokens` is not set, answers count as short ones. None without a known price.
    """
    price = cost_of(model, tokens, requests * answer_tokens(model))
    if price is None:
        return None
    return price.sync_usd if mode == "sync" else price.batch_usd


def answer_tokens(model: Model) -> int:
    """What an answer is taken for beforehand."""
    limit = model.parameters.get("max-tokens")
    if model.task in ("embeddings", "moderations"):
        return 0
    return limit if isinstance(limit, int) else _ANSWER
