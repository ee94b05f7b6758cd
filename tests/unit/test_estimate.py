"""Estimates of what a batch costs."""

import pytest

from shared.definition import BatchOptions, Model
from shared.estimate import asked_tokens, estimated_cost, prompt_tokens
from shared.providers.prices import cost
from tests.rig.samples import definition


def model(**changes: object) -> Model:
    return definition(model=changes).model


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ({}, 200),
        ({"parameters": {"max-tokens": 50}}, 50),
        ({"task": "embeddings", "parameters": {"dimension": 8}}, 0),
        ({"task": "moderations"}, 0),
        ({"parameters": {"batch.thinking": 2048}}, 2248),
        ({"parameters": {"batch.thinking": 2048, "max-tokens": 3000}}, 3000),
    ],
)
def test_an_estimate_is_the_price_of_its_bytes_and_of_its_longest_answers(
    changes: dict[str, object], output: int
) -> None:
    price = cost("openai", "gpt-5-mini", 1_000, 10 * output)
    assert price is not None
    assert estimated_cost(model(**changes), 10, prompt_tokens(4_000)) == pytest.approx(price.batch_usd)


def test_what_an_image_costs_does_not_grow_with_its_bytes() -> None:
    plain = definition()
    media = definition(batch=BatchOptions(media_columns=("review",)))
    assert asked_tokens(plain, 2, 4_000_000) == 1_000_000
    assert asked_tokens(media, 2, 4_000_000) == 2 * 6_000
    assert asked_tokens(media, 2, 800) == 200, "addresses are short, until batches that ended tell"


def test_a_model_without_a_known_price_has_no_estimate() -> None:
    assert estimated_cost(model(model="nobody-knows-it"), 10, 4_000) is None
