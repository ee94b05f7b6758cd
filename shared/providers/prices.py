"""What tokens cost: the prices that a model states, or the published ones of genai-prices; and the discount on batches.

The package and its table (22 MB) are loaded at the first question only; nothing is fetched.
"""

from decimal import Decimal
from functools import cache
from typing import NamedTuple

from shared.definition import Model
from shared.providers.port import UNCACHED, Cached, Profile
from shared.providers.profiles import profile_for, profile_of

_MILLION = 1_000_000
_SAMPLE = 1_000
"""Tokens priced at once: few enough to lie in the lowest tier, as the requests of a batch do."""


class Cost(NamedTuple):
    """US dollars."""

    batch_usd: float
    sync_usd: float


class _Rates(NamedTuple):
    """US dollars a token; those of a cache in the order of `Cached`."""

    input: Decimal
    output: Decimal
    cached: tuple[Decimal, ...]


def cost_of(model: Model, input_tokens: int, output_tokens: int, cached: Cached = UNCACHED) -> Cost | None:
    """What tokens cost a model, by the prices and the discount that its own profile names."""
    return cost_at(profile_for(model), model.provider, model.model, input_tokens, output_tokens, cached)


def cost_at(
    profile: Profile, provider: str, model: str, input_tokens: int, output_tokens: int, cached: Cached = UNCACHED
) -> Cost | None:
    """As `cost`, at a service with such a profile."""
    prices = profile.prices or provider
    if profile.input_price is None or profile.output_price is None:
        return cost(prices, model, input_tokens, output_tokens, cached, factor=profile.price_factor)
    published = None if cached == UNCACHED else _rates(prices, model)
    rates = _stated(profile.input_price, profile.output_price, published)
    return _cost(rates, profile.price_factor, input_tokens, output_tokens, cached)


def cost(
    provider: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    cached: Cached = UNCACHED,
    *,
    factor: float | None = None,
) -> Cost | None:
    """What tokens cost in batches, and what they would have cost without; None for a model without a known price.

    `cached` says which of the input tokens have a price of their own; `factor` is the batches' share of the price.
    """
    rates = _rates(provider, model)
    if rates is None:
        return None
    share = profile_of(provider).price_factor if factor is None else factor
    return _cost(rates, share, input_tokens, output_tokens, cached)


def _cost(rates: _Rates, share: float, input_tokens: int, output_tokens: int, cached: Cached) -> Cost:
    total = rates.input * input_tokens + rates.output * output_tokens
    if cached != UNCACHED:
        total += sum((rate - rates.input) * count for rate, count in zip(rates.cached, cached, strict=True))
    synchronous = float(total)
    return Cost(synchronous * share, synchronous)


@cache
def _stated(input_price: float, output_price: float, published: _Rates | None) -> _Rates:
    """Rates as a model's options state them: a cache's are to them as the published ones are to theirs."""
    rate, output = (Decimal(str(price)) / _MILLION for price in (input_price, output_price))
    if published is None or not published.input:
        return _Rates(rate, output, (rate,) * len(UNCACHED))
    return _Rates(rate, output, tuple(rate * each / published.input for each in published.cached))


@cache
def _rates(provider: str, model: str) -> _Rates | None:
    from genai_prices import Usage, calc_price

    def price(**usage: int) -> Decimal:
        return calc_price(Usage(**usage), model, provider_id=provider).total_price / _SAMPLE

    try:
        return _Rates(
            price(input_tokens=_SAMPLE),
            price(output_tokens=_SAMPLE),
            tuple(
                price(input_tokens=_SAMPLE, **usage)
                for usage in (
                    {"cache_read_tokens": _SAMPLE},
                    {"cache_write_tokens": _SAMPLE},
                    {"cache_write_tokens": _SAMPLE, "cache_write_1h_tokens": _SAMPLE},
                )
            ),
        )
    except LookupError:
        return None


def context_window(model: Model) -> int | None:
    """The tokens that a model takes, prompt and answer together; None where nobody knows."""
    provider = profile_for(model).prices or model.provider
    return _window(provider, model.model)


@cache
def _window(provider: str, model: str) -> int | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, found = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    return found.context_window
