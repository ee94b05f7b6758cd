"""What the fake model says, and what the fake provider accepts: decided without any server."""

from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from jsonschema import Draft202012Validator
from openai.types import EmbeddingCreateParams
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from deploy.sandbox.provider import bodies
from deploy.sandbox.provider.answers import answer, embedding, prompt_hash, sentiment
from deploy.sandbox.provider.asks import Ask
from deploy.sandbox.provider.faults import Faults
from deploy.sandbox.provider.limits import Limits
from deploy.sandbox.provider.structured import Filler

ADDRESS = {
    "type": "object",
    "properties": {"street": {"type": "string", "maxLength": 9}, "number": {"type": "integer", "minimum": 1}},
    "required": ["street", "number"],
    "additionalProperties": False,
}
SCHEMAS: list[dict[str, Any]] = [
    ADDRESS,
    {"type": "object", "properties": {"a": {"anyOf": [ADDRESS, {"type": "null"}]}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": ["string", "null"], "enum": ["x", "y", None]}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": "array", "items": ADDRESS, "minItems": 2, "maxItems": 3}}},
    {"type": "object", "properties": {"a": {"type": "number", "minimum": 5, "maximum": 6}, "b": {"type": "boolean"}}},
    {"type": "object", "properties": {"a": {"type": "integer", "multipleOf": 5, "minimum": 7, "maximum": 90}}},
    {"type": "object", "properties": {"a": {"const": 3}, "d": {"type": "string", "format": "date"}}},
    {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/node"}},
        "required": ["tree"],
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                "required": ["next"],
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_structured_output_obeys_any_schema_and_depends_on_the_prompt_alone(schema: dict[str, Any]) -> None:
    for number in range(40):
        digest = prompt_hash(f"prompt {number}")
        value = Filler(schema, digest, None, None).value(schema)
        Draft202012Validator(schema).validate(value)
        assert value == Filler(schema, digest, None, None).value(schema)


def test_sentiment_fills_label_and_score() -> None:
    properties = {"label": {"type": "string"}, "score": {"type": "number"}}
    ask = Ask("m", "What a terrible, boring film", "", 10, {"type": "object", "properties": properties})
    told = answer(ask).text
    label, score = sentiment(ask.prompt)
    assert told == f'{{"label":"{label}","score":{score}}}'
    assert label == "negative"


def test_the_sentiment_of_a_huge_text_takes_no_longer_than_that_of_a_review() -> None:
    text = "a lovely film with awful music and great acting " * 1_000
    assert sentiment(text) == sentiment(text[:200])


@pytest.mark.parametrize("dimensions", [4, 256, 1536])
def test_embeddings_differ_and_have_length_one(dimensions: int) -> None:
    vectors = {tuple(embedding(f"text {number}", dimensions)) for number in range(200)}
    assert len(vectors) == 200
    for vector in vectors:
        assert sum(part * part for part in vector) == pytest.approx(1)


@pytest.mark.parametrize(
    ("known", "sdk", "more"),
    [
        (bodies.CHAT_KEYS, CompletionCreateParamsBase, {"stream"}),
        (bodies.RESPONSES_KEYS, ResponseCreateParamsBase, {"stream"}),
        (bodies.EMBEDDING_KEYS, EmbeddingCreateParams, set()),
        # The older place of the format, and what Messages takes beside the SDK's type.
        (bodies.MESSAGES_KEYS, MessageCreateParamsBase, {"stream", "output_format", "temperature", "top_k", "top_p"}),
    ],
)
def test_the_known_parameters_are_the_sdks(known: frozenset[str], sdk: Any, more: set[str]) -> None:
    assert known == set(sdk.__annotations__) | more


def test_faults_strike_by_schedule_and_by_probability_from_their_seed() -> None:
    def strikes(seed: int, **rule: Any) -> list[int]:
        faults = Faults(seed, [{"fault": "http_5xx", **rule}])
        return [number for number in range(1, 1_001) if faults.draw("http_5xx", "openai.batches.list") is not None]

    assert strikes(0, nth=[2, 5]) == [2, 5]
    assert strikes(0, after=3, times=2) == [4, 5]
    assert strikes(0, endpoint="anthropic.*") == []
    assert strikes(0, probability=0.1) == strikes(0, probability=0.1) != strikes(1, probability=0.1)
    assert 60 < len(strikes(0, probability=0.1)) < 140


@pytest.mark.parametrize("rule", [{"fault": "no_such"}, {"fault": "http_5xx", "no_such": 1}])
def test_an_unknown_fault_or_option_is_named(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no_such"):
        Faults(0, [rule])


def test_an_unknown_limit_is_named() -> None:
    with pytest.raises(ValueError, match="no_such"):
        Limits.of({"no_such": 1})
