"""The extra columns on the whole way back: what the records cost adds up to what their batch cost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from shared import extras
from shared.definition import Column, Projected
from tests.rig import samples
from tests.rig.fixtures import MakeTopic
from tests.rig.results import SINK_TOPIC, Back, sink
from tests.rig.stage import Stage

PROCESSING_SECONDS = 0.1
RECORDS = 20
LONG = "Judge the sentiment of the review by these rules. " * 100
KEPT: dict[str, Any] = {"system_prompt": LONG, "parameters": {"batch.prompt-cache": "1h"}}
TYPES = {**extras.NAMES, extras.HTTP_STATUS: extras.METADATA["http-status-code"][1]}


@pytest.fixture(params=["openai", "anthropic"])
def back(
    request: pytest.FixtureRequest,
    server: ProviderServer,
    broker: LocalBroker,
    make_topic: MakeTopic,
    tmp_path: Path,
) -> Iterator[Back]:
    server.clear_faults()
    topic, plain = make_topic("extras", SINK_TOPIC), samples.definition()
    asked = tuple(Projected(name=name, source="extra", column=name, type=type_) for name, type_ in TYPES.items())
    columns = (*plain.sink.columns, *(Column(name=name, type=type_) for name, type_ in TYPES.items()))
    changes = {"projection": (*plain.projection, *asked)}
    model = KEPT if request.param == "anthropic" else {}
    stage = Stage(server, tmp_path, request.param, sink(broker, topic, columns=columns), changes=changes, model=model)
    yield Back(stage, broker, f"progress-{topic}")
    server.clear_faults()
    stage.close()


def test_what_records_used_and_cost_adds_up_to_their_batch(back: Back, server: ProviderServer) -> None:
    server.set_fault(
        "line_errored", numbers=[3], status=400, message="it is too long", code="too_long", type="invalid_request_error"
    )
    key = back.stage.submit(RECORDS)
    back.collect(key)
    published = back.publish(key)
    values = [record.json() for record in back.outputs(at_least=RECORDS)]
    (failed,) = [value for value in values if value["prediction_status"] == "failed"]
    assert failed["prediction_error"].startswith("rejected: ")
    assert "it is too long" in failed["prediction_raw"]
    assert (failed["label"], failed["prediction_cost"], failed["prediction_batch"]) == (None, None, key)
    assert failed["http-status-code"] == (400 if back.stage.provider == "openai" else None)
    answered = [value for value in values if value is not failed]
    assert {value["prediction_status"] for value in answered} == {"succeeded"}
    assert {value["prediction_model"] for value in answered} == {back.stage.definition().model.model}
    assert all(value["prediction_raw"].startswith("{") for value in answered)
    assert sum(value["prediction_input_tokens"] for value in answered) == published.input_tokens
    assert sum(value["prediction_output_tokens"] for value in answered) == published.output_tokens
    assert sum(value["prediction_cost"] for value in answered) == pytest.approx(published.cost_usd)
    costs = sorted(value["prediction_cost"] for value in answered)
    if back.stage.provider == "anthropic":
        assert costs[-1] > 5 * costs[-2], "one request wrote the prompt into the cache, the others read it there"
