"""What a model costs is one price, wherever money is counted: published, or stated with the model."""

from typing import Any

import pytest

from poller.collect.costs import costs
from poller.collect.decision import Decision
from shared.budget import cut_for
from shared.estimate import estimated_cost
from shared.manifest import Manifest
from shared.providers.port import Cached
from shared.providers.prices import cost, cost_of
from submitter.pipeline.faults import Faults
from submitter.pipeline.prices import check_prices
from submitter.pipeline.values import Input, Statement
from tests.rig.options import BASE, faults_of, model_of
from tests.rig.samples import EPOCH, definition

OWN = {"batch.profile.input-price": "3", "batch.profile.output-price": "12"}
PROFILE = {"input_price": 3.0, "output_price": 12.0}
MILLION = 1_000_000


def priced(**model: Any) -> Any:
    return definition(model={"model": "my-deployment", "profile": PROFILE, **model})


def test_a_model_may_state_its_prices() -> None:
    model, _ = model_of({**OWN, "model": "my-deployment", "batch.max-cost-per-day": "5"})
    assert model.profile == PROFILE
    assert cost_of(model, MILLION, MILLION) == (7.5, 15.0)
    cheaper, _ = model_of({**OWN, "batch.profile.price-factor": "0.25"})
    assert cost_of(cheaper, MILLION, 0) == (0.75, 3.0)
    free, _ = model_of({"batch.profile.input-price": "0", "batch.profile.output-price": "0"})
    assert cost_of(free, MILLION, MILLION) == (0.0, 0.0)


@pytest.mark.parametrize("name", OWN)
def test_one_price_alone_is_none(name: str) -> None:
    assert f"option '{name}': it holds with" in faults_of({**BASE, name: OWN[name]})
    assert "out of range" in faults_of({**BASE, **OWN, name: "-1"})


def test_the_brake_the_estimate_and_what_a_batch_cost_take_the_stated_price() -> None:
    stated = priced()
    manifest = Manifest(
        batch_key="abcdefghijklmnopqrstuvwxyz-0",
        pipeline="pipe",
        statement="sentiments",
        generation=0,
        definition=stated,
        sealed_file="pipe/sentiments/sealed/x/part",
        sealed_at=EPOCH,
        start=0,
        end=1,
        runs=((1, "request"),),
        requests=1,
        records=1,
        bytes=1,
        sha256="",
    )
    decision = Decision(results="0" * 32, refused=False, input_tokens=MILLION, output_tokens=MILLION)
    changes = costs(manifest, decision)
    assert (changes["cost_usd"], changes["sync_cost_usd"]) == (7.5, 15.0)
    assert estimated_cost(stated.model, 1, MILLION, answers=MILLION) == 7.5
    assert estimated_cost(stated.model, 1, MILLION, "sync", answers=MILLION) == 15.0
    assert cut_for(stated.model, 3.0, rate=1.0).max_bytes == MILLION, "half a day's money is for the prompts"


def test_what_a_cache_saves_is_in_proportion_to_the_published_prices() -> None:
    cached = Cached(read=MILLION)
    model = definition(model={"profile": {"input_price": 25.0, "output_price": 1.0}}).model
    published, plain = cost("openai", model.model, MILLION, 0, cached), cost("openai", model.model, MILLION, 0)
    found = cost_of(model, MILLION, 0, cached)
    assert published is not None
    assert plain is not None
    assert found is not None
    assert found.sync_usd == pytest.approx(25.0 * published.sync_usd / plain.sync_usd)
    assert cost_of(priced().model, MILLION, 0, cached) == (1.5, 3.0), "nobody knows what it saves"


def statement(name: str, **model: Any) -> Statement:
    return Statement(name, 1, definition(statement=name, model=model), Input("t", view=False, connector=None), name)


def test_each_statements_own_model_needs_a_price_where_a_day_is_limited() -> None:
    known, unknown = statement("one"), statement("two", model="my-deployment")
    faults = Faults()
    check_prices([known, unknown, statement("three", model="my-deployment", profile=PROFILE)], {}, faults)
    assert faults.errors == []
    check_prices([known, unknown, unknown], {"max-cost-per-day": 5.0}, faults)
    (fault,) = faults.errors
    assert fault.message.startswith(f"no price is known for 'my-deployment' of model {unknown.definition.model.name}")
