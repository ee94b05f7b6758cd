"""Request lines: golden files for each provider and task, and what holds for every prompt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from shared.definition import Column, Model, SqlType
from shared.errors import SettingsError
from shared.providers import provider_for
from tests.rig.samples import DOUBLE, STRING, definition

GOLDEN = Path(__file__).parent / "golden"
PROMPTS = ("a plain prompt", 'quotes " and \\ and\nnewlines', "emoji \U0001f600 é and \u2028 \u2029 \u0085")
KEY = "abcdefghijklmnopqrstuvwxyz-0"
EVERY_OPTION: dict[str, JsonValue] = {
    "temperature": 0.2,
    "top-p": 0.9,
    "stop": "END,STOP",
    "max-tokens": 300,
    "presence-penalty": 0.5,
    "n": 1,
    "seed": 7,
    "dimension": 256,
}
LABEL = Column(name="label", type=SqlType(root="VARCHAR", nullable=False), comment="positive or negative")
SCORE = Column(name="score", type=DOUBLE)
TEXT = (Column(name="answer", type=STRING),)
VECTOR = (Column(name="vector", type=SqlType(root="ARRAY", element=SqlType(root="FLOAT"))),)
FLAGGED = (Column(name="flagged", type=SqlType(root="BOOLEAN")),)
ANTHROPIC = {"provider": "anthropic", "task": "messages", "model": "claude-haiku-4-5"}


def a_model(**changes: Any) -> Model:
    return definition(model=changes).model


CASES: dict[str, Mapping[str, Any]] = {
    "openai-chat-text": {"output": TEXT},
    "openai-chat-columns": {"output": (LABEL, SCORE), "parameters": EVERY_OPTION},
    "openai-responses-text": {"task": "responses", "output": TEXT},
    "openai-responses-columns": {"task": "responses", "output": (LABEL, SCORE), "parameters": EVERY_OPTION},
    "openai-embeddings": {
        "task": "embeddings",
        "model": "text-embedding-3-small",
        "output": VECTOR,
        "parameters": EVERY_OPTION,
    },
    "openai-moderations": {"task": "moderations", "model": "omni-moderation-latest", "output": FLAGGED},
    "anthropic-messages-text": {**ANTHROPIC, "output": TEXT, "system_prompt": None},
    "anthropic-messages-thinking": {
        **ANTHROPIC,
        "output": (LABEL, SCORE),
        "parameters": {"batch.thinking": 2048, "batch.effort": "low", "batch.prompt-cache": "1h"},
    },
    "anthropic-messages-tool": {**ANTHROPIC, "model": "claude-3-haiku-20240307", "output": (LABEL, SCORE)},
    "openai-chat-tool": {"output": (LABEL, SCORE), "parameters": {"batch.structured-output": "tool"}},
    "openai-chat-plain": {"output": (LABEL, SCORE), "parameters": {"batch.structured-output": "none"}},
    "anthropic-messages-columns": {**ANTHROPIC, "output": (LABEL, SCORE), "parameters": EVERY_OPTION},
}


def lines_of(model: Model) -> bytes:
    write = provider_for(model, {}).requests(model).line
    return b"".join(write(f"{KEY}-{number}", prompt) for number, prompt in enumerate(PROMPTS))


@pytest.mark.parametrize("case", CASES)
def test_request_lines_are_those_of_the_golden_file(case: str) -> None:
    assert lines_of(a_model(**CASES[case])) == (GOLDEN / f"{case}.jsonl").read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_the_same_model_writes_the_same_bytes_after_a_trip_through_the_store(case: str) -> None:
    model = a_model(**CASES[case], extra_body={"z": 1, "a": {"y": 2, "b": 3}})
    stored = Model.model_validate_json(orjson.dumps(model.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS))
    assert lines_of(stored) == lines_of(model)


@pytest.mark.parametrize("case", CASES)
@given(prompt=st.text())
def test_every_prompt_arrives_as_it_is_on_one_line(case: str, prompt: str) -> None:
    model = a_model(**CASES[case])
    line = provider_for(model, {}).requests(model).line(f"{KEY}-1", prompt)
    sent = orjson.loads(line)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    body = sent.get("body") or sent["params"]
    assert (body.get("input") if "input" in body else body["messages"][-1]["content"]) == prompt


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    model = a_model(output=TEXT)
    sent = orjson.loads(provider_for(model, {}).requests(model).line(f"{KEY}-0", "a\ud800b"))
    assert sent["body"]["messages"][-1]["content"] == "a?b"


@pytest.mark.parametrize("case", CASES)
def test_a_renamed_line_keeps_its_body_byte_for_byte(case: str) -> None:
    model = a_model(**CASES[case])
    provider = provider_for(model, {})
    write = provider.requests(model).line
    assert provider.rename(write(f"{KEY}-17", PROMPTS[1]), f"{KEY}a-3") == write(f"{KEY}a-3", PROMPTS[1])


def test_the_extra_body_is_merged_last_and_at_every_depth() -> None:
    extra: dict[str, JsonValue] = {"temperature": 1, "response_format": {"json_schema": {"name": "mine"}}, "user": "u"}
    model = a_model(parameters={"temperature": 0}, extra_body=extra)
    body = orjson.loads(provider_for(model, {}).requests(model).line(f"{KEY}-0", "p"))["body"]
    assert (body["temperature"], body["user"]) == (1, "u")
    assert body["response_format"]["json_schema"]["name"] == "mine"
    assert body["response_format"]["json_schema"]["strict"] is True


def test_an_extra_body_in_the_place_of_the_prompt_is_refused() -> None:
    model = a_model(extra_body={"messages": []})
    with pytest.raises(SettingsError, match=r"batch\.extra-body"):
        provider_for(model, {}).requests(model)


def test_response_format_wins_over_the_columns() -> None:
    model = a_model(parameters={"response-format": "JSON_OBJECT"})
    body = orjson.loads(provider_for(model, {}).requests(model).line(f"{KEY}-0", "p"))["body"]
    assert body["response_format"] == {"type": "json_object"}


def test_anthropic_is_not_asked_for_more_unions_than_it_takes() -> None:
    columns = tuple(Column(name=f"c{number}", type=STRING) for number in range(17))
    body = orjson.loads(
        provider_for(a_model(**ANTHROPIC, output=columns), {})
        .requests(a_model(**ANTHROPIC, output=columns))
        .line(f"{KEY}-0", "p")
    )["params"]
    schema = body["output_config"]["format"]["schema"]
    assert {part["type"] for part in schema["properties"].values()} == {"string"}
