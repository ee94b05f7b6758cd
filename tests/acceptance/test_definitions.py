"""One file, several statements; and a file that changes while its records are on the road."""

import signal

import pytest

from tests.acceptance.conftest import MakeRoad
from tests.acceptance.road import START_SECONDS, Road, sha256


def test_two_models_of_two_providers_over_one_table(make_road: MakeRoad) -> None:
    road: Road = make_road()
    road.produce([f"review {number}" for number in range(100)])
    age = {"batch.max-age": "2 s"}
    sql = road.write(
        road.model("of_openai", "openai", **age),
        road.model("of_anthropic", "anthropic", **age),
        "EXECUTE STATEMENT SET BEGIN",
        road.insert("answers", "of_openai"),
        road.insert("others", "of_anthropic"),
        "END;",
    )
    submitter, poller = road.submitter(sql), road.poller()
    assert submitter.wait(START_SECONDS) == 0, submitter.tail()
    road.wait_for(100, "answers")
    road.wait_for(100, "others")
    assert poller.terminate() == 0
    for sink in ("answers", "others"):
        road.check(sink, paid=2)


def test_two_statements_into_one_sink(make_road: MakeRoad) -> None:
    road: Road = make_road()
    road.produce([f"review {number}" for number in range(60)])
    sql = road.write(road.model(**{"batch.max-age": "2 s"}), road.insert(), road.insert())
    submitter, poller = road.submitter(sql), road.poller()
    assert submitter.wait(START_SECONDS) == 0, submitter.tail()
    outputs = road.wait_for(120)
    assert poller.terminate() == 0
    assert len(outputs) == len(road.outputs()) == 120
    assert sorted(record.json()["id"] for record in outputs) == sorted([*range(60), *range(60)])


@pytest.mark.parametrize("change", ["fresh", "prompt"])
def test_row_23_a_start_without_state_loses_nothing_and_pays_for_nothing_twice(
    make_road: MakeRoad, change: str
) -> None:
    """--fresh, or an edited prompt, in mid-stream."""
    road: Road = make_road(bounded=False)
    age = {"batch.max-age": "1 s"}
    poller = road.poller()
    submitter = road.submitter(road.write(road.model(**age), road.insert()))
    road.produce([f"early {number}" for number in range(150)])
    road.wait_for(40)
    road.produce([f"middle {number}" for number in range(150)])
    submitter.signal(signal.SIGTERM)
    assert submitter.wait(60) == 0, submitter.tail()
    changed = {**age, "system-prompt": "Answer in French."} if change == "prompt" else age
    sql = road.write(road.model(**changed), road.insert())
    submitter = road.submitter(sql, *(["--fresh"] if change == "fresh" else []))
    road.produce([f"late {number}" for number in range(100)])
    road.wait_for(len(road.produced))
    submitter.signal(signal.SIGTERM)
    assert submitter.wait(60) == 0, submitter.tail()
    assert poller.terminate() == 0
    why = "--fresh" if change == "fresh" else "the definition has changed"
    assert f"starts without Flink state: {why}" in submitter.log.read_text()
    road.check()
    accepted = road.server.witness().billed_prompts()
    assert accepted[sha256("late 99")] == 1
