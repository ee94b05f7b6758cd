"""What a query may say in its model's place, what it may not, and what then holds."""

import re

import pytest

from shared.definition import BatchOptions, Column, Model, SqlType
from submitter.pipeline.effective import effective
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.option_table import OPTIONS
from submitter.pipeline.options import Declared, ModelOptions
from submitter.pipeline.overrides import Part, read_overrides

TEXT = SqlType(root="VARCHAR", length=2**31 - 1)
QUERY = Place(20, "results")
ENVIRON = {"OPENAI_API_KEY": "a-key"}
MODEL = {
    "provider": "openai",
    "model": "gpt-5-mini",
    "api-key": "${OPENAI_API_KEY}",
    "temperature": "1",
    "maxTokens": "50",
    "batch.max-age": "1 h",
}


def parts(*texts: str | None, line: int = 21) -> list[Part]:
    """As a MAP has them, two in each line."""
    return [Part(text, line + index // 2) for index, text in enumerate(texts)]


def declared(*texts: str | None) -> tuple[Declared, Faults]:
    faults = Faults()
    query = read_overrides(parts(*texts), faults, QUERY)
    made = Declared(
        name="m",
        options=MODEL,
        input=(Column(name="review", type=TEXT),),
        output=(Column(name="label", type=TEXT),),
        lines={name: number for number, name in enumerate(MODEL, 5)},
        place=Place(5, "model m"),
        query=query,
        asked=QUERY,
    )
    return made, faults


def made_of(*texts: str) -> tuple[Model, BatchOptions]:
    model, faults = declared(*texts)
    made = ModelOptions(model, ENVIRON, faults).read(("review",))
    assert made is not None, faults.errors
    return made


def faults_of(*texts: str | None) -> list[str]:
    model, faults = declared(*texts)
    ModelOptions(model, ENVIRON, faults).read(("review",))
    return [fault.text("f.sql") for fault in faults.errors]


def test_a_query_s_options_hold_and_the_model_s_others_stay() -> None:
    model, batch = made_of("temperature", "0", "batch.max-age", "5 s", "model", "gpt-5-nano", "topP", "0.5")
    assert model.parameters == {"temperature": 0.0, "top-p": 0.5, "max-tokens": 50}
    assert (model.model, batch.max_age) == ("gpt-5-nano", 5.0)
    assert model.api_key == "OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("temperature", "hot"), "f.sql:21: results: option 'temperature': it can't be used: 'hot' is no number"),
        (("n", "1", "temperature", "3"), "f.sql:22: results: option 'temperature': it can't be used: 3 is out of"),
        (("temprature", "0"), "f.sql:21: results: option 'temprature': there is no such option; did you mean 'temper"),
        (("seed", "1", "seed", "2"), "f.sql:22: results: option 'seed': it is given twice, first in line 21"),
        (("top-p", "1", "topP", "1"), "f.sql:22: results: option 'topP': it is given twice, first in line 21"),
        (("n", "1", "seed"), "f.sql:22: results: option 'seed': MAP[…] has no value for it: write pairs"),
        (("seed", None), "f.sql:21: results: option 'seed': its value in MAP[…] must be a string literal, numbers too"),
        ((None, "1"), "f.sql:21: results: an option's name in MAP[…] must be a string literal"),
        (("batch.fallback", "sync"), "f.sql:21: results: option 'batch.fallback': it begins when the deadline nears"),
        (("batch.prompt", "{{ revew }}"), "f.sql:21: results: option 'batch.prompt': 'revew' is no INPUT column"),
    ],
)
def test_what_is_wrong_is_said_with_statement_option_and_line(texts: tuple[str | None, ...], said: str) -> None:
    (found,) = faults_of(*texts)
    assert found.startswith(said)


@pytest.mark.parametrize("name", ["provider", "endpoint", "api-key"])
def test_a_query_cannot_send_a_key_elsewhere(name: str) -> None:
    (found,) = faults_of(name, "anthropic-or-an-address")
    assert found.startswith(f"f.sql:21: results: option '{name}': a query can't give it, as it decides where a key is")
    assert "anthropic-or-an-address" not in found
    assert not OPTIONS[name].in_query


def test_every_other_option_may_be_given() -> None:
    names = [name for name, option in OPTIONS.items() if option.in_query]
    faults = Faults()
    assert [*read_overrides(parts(*(text for name in names for text in (name, "x"))), faults, QUERY)] == names
    assert not faults.errors


def test_every_fault_of_a_map_is_told_at_once() -> None:
    found = faults_of("temperature", "hot", "endpoint", "x", "sed", "1", None, "x", "batch.max-age", None, "seed")
    assert [re.findall(r"^f\.sql:(\d+): results", each) for each in found] == [
        ["22"],
        ["23"],
        ["24"],
        ["25"],
        ["26"],
        ["21"],
    ]


def test_flink_s_own_runtime_options_warn() -> None:
    _, faults = declared("async", "true", "timeout", "100s", "retry-num", "3")
    assert not faults.errors
    assert [fault.place.option for fault in faults.warnings] == ["async", "timeout", "retry-num"]


def test_each_option_says_where_it_comes_from() -> None:
    model, faults = declared("temperature", "0", "batch.max-age", "5 s")
    made = ModelOptions(model, ENVIRON, faults).read(("review",))
    assert made is not None
    found = {each.name: (each.value, each.origin) for each in effective(model, made[0], {"gpt-5-mini": "${NAMED}"})}
    assert found["temperature"] == ("0", "query, line 21")
    assert found["batch.max-age"] == ("5 s", "query, line 22")
    assert found["max-tokens"] == ("50", "model, line 9")
    assert found["model"] == ("${NAMED}", "model, line 6")
    assert found["batch.request-timeout"] == ("30 s", "default")
    assert found["api-key"] == ("${OPENAI_API_KEY}", "model, line 7")
    assert not {"dimension", "batch.max-queued-requests", "seed"} & found.keys()
