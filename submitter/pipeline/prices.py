"""Whether it is known what a model costs, where its money is limited. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.estimate import estimated_cost
from shared.providers.prices import cost
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.values import Statement

STATED = ("batch.profile.input-price", "batch.profile.output-price")
_REMEDY = f"give '{STATED[0]}' and '{STATED[1]}', or leave the limit out"


def unpriced(values: Mapping[str, Any], provider: str, model: str) -> str | None:
    """What to say of a limit on money, by the given options, typed; None where the price is known."""
    prices = values.get("batch.profile.prices") or provider
    if not model or all(name in values for name in STATED) or cost(prices, model, 1, 1, factor=1.0) is not None:
        return None
    return f"no price is known for {prices}'s model '{model}', so that its cost can't be limited: {_REMEDY}"


def check_prices(statements: Iterable[Statement], settings: Mapping[str, Any], faults: Faults) -> None:
    """A pipeline's money is limited only where it is known what each of its statements' models costs."""
    if "max-cost-per-day" not in settings:
        return
    for each in statements:
        asked = each.definition.model
        if estimated_cost(asked, 1, 1) is None:
            message = (
                f"no price is known for '{asked.model}' of model {asked.name}, so that a day's cost can't be limited"
            )
            faults.add(f"{message}: {_REMEDY}", Place(statement="SET 'batchline.max-cost-per-day'"))
