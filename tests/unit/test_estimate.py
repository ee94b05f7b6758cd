"""Estimates of what a batch costs."""

from dataclasses import dataclass

import pytest

from shared.definition import BatchOptions, Mode, Model
from shared.estimate import Estimate, all_answers, asked_tokens, estimate, estimated_cost, prompt_tokens
from shared.packing import MOST_RECORDS
from shared.providers.prices import cost
from tests.rig.samples import definition


def model(**changes: object) -> Model:
    return definition(model=changes).model


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ({}, 116),
        ({"parameters": {"max-tokens": 50}}, 50),
        ({"task": "embeddings", "parameters": {"dimension": 8}}, 0),
        ({"task": "moderations"}, 0),
        ({"parameters": {"batch.thinking": 2048}}, 2164),
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


@pytest.mark.parametrize(
    ("parameters", "tokens"),
    [
        ({}, 40 * 25),
        ({"batch.thinking": 2048}, 40 * 25 + 2 * 2048),
        ({"batch.thinking": 2048, "max-tokens": 2500}, 2 * 2500),
        ({"batch.thinking": "adaptive"}, 40 * 25),
    ],
)
def test_whoever_thinks_before_an_answer_for_several_records_thinks_once(
    parameters: dict[str, object], tokens: int
) -> None:
    packed = definition(
        model={"task": "messages", "provider": "anthropic", "model": "claude-haiku-4-5", "parameters": parameters},
        batch=BatchOptions(size=20, response_tokens=25),
    )
    assert all_answers(packed, 2, 40) == tokens


def test_rows_that_were_set_aside_have_no_answer() -> None:
    packed = definition(batch=BatchOptions(size=20, response_tokens=25))
    assert all_answers(packed, 2, 4_000) == 2 * 20 * 25, "no more than its requests can hold"
    auto = definition(batch=BatchOptions(size="auto", response_tokens=25))
    assert all_answers(auto, 2, 4_000) == 2 * MOST_RECORDS * 25


def test_packing_never_saves_answers() -> None:
    single, packed = definition(), definition(batch=BatchOptions(size=20))
    assert all_answers(packed, 2, 40) > all_answers(single, 40, 40), "each record's entry has a frame"


@dataclass(frozen=True)
class Planned:
    requests: int = 2
    records: int = 50
    deduplicated: int = 10
    bytes: int = 4_000
    mode: Mode = "batch"
    estimated_tokens: int | None = None


def test_a_batch_is_estimated_by_what_it_asks_on_its_road() -> None:
    packed = definition(batch=BatchOptions(size=20, response_tokens=25))
    price = cost("openai", "gpt-5-mini", 1_200, 40 * 25)
    assert price is not None
    assert estimate(packed, Planned(), rate=0.3) == Estimate(1_200, price.batch_usd)
    assert estimate(packed, Planned(mode="sync"), rate=0.3) == Estimate(1_200, price.sync_usd)
    assert estimate(packed, Planned(estimated_tokens=1_200)) == Estimate(1_200, price.batch_usd), "what is known stands"
    assert estimate(packed, Planned(requests=0)) == Estimate(None, None)
