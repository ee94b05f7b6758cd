"""What tokens cost: the published prices that genai-prices carries, and each provider's discount on batches.

The package and its table (22 MB) are loaded at the first question only; nothing is fetched.
"""

from decimal import Decimal
from functools import cache
from typing import NamedTuple

from shared.providers.profiles import profile_of

_SAMPLE = 1_000
"""Tokens priced at once: few enough to lie in the lowest tier, as the requests of a batch do."""


class Cost(NamedTuple):
    """US dollars."""

    batch_usd: float
    sync_usd: float


def cost(provider: str, model: str, input_tokens: int, output_tokens: int) -> Cost | None:
    """What tokens cost in batches, and what they would have cost without; None for a model without a known price."""
    rates = _rates(provider, model)
    if rates is None:
        return None
    synchronous = float(rates[0] * input_tokens + rates[1] * output_tokens)
    return Cost(synchronous * profile_of(provider).price_factor, synchronous)


@cache
def _rates(provider: str, model: str) -> tuple[Decimal, Decimal] | None:
    from genai_prices import Usage, calc_price

    try:
        price = calc_price(Usage(input_tokens=_SAMPLE, output_tokens=_SAMPLE), model, provider_id=provider)
    except LookupError:
        return None
    return price.input_price / _SAMPLE, price.output_price / _SAMPLE
