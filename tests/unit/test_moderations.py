"""A moderation's way from its line of results to the OUTPUT columns that take it."""

from typing import Any

import orjson
import pytest

from deploy.sandbox.provider.asks import ask_of
from deploy.sandbox.provider.bodies import check_moderations
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.moderation import moderation
from poller.collect.values import Unfit, reader_of
from shared.causes import Cause
from shared.definition import Column, SqlType
from shared.moderations import moderation_faults
from shared.providers import openai_answers
from tests.rig.samples import DOUBLE, STRING, definition

BOOLEAN = SqlType(root="BOOLEAN")
TYPES = SqlType(root="ARRAY", element=STRING)


def a_map(value: SqlType) -> SqlType:
    return SqlType(root="MAP", key=STRING, element=value)


def a_row(**fields: SqlType) -> SqlType:
    return SqlType(root="ROW", fields=tuple(Column(name=name, type=type_) for name, type_ in fields.items()))


def line(text: str) -> bytes:
    """The line that OpenAI's output file has for a moderation: no name of an object, no usage."""
    body = {"model": "omni-moderation-latest", "input": text}
    answered = moderation(body, ask_of("/v1/moderations", body), "1")
    return orjson.dumps({"custom_id": "k-0", "response": {"status_code": 200, "body": answered}, "error": None})


def read(text: str, **columns: SqlType) -> dict[str, Any]:
    output = tuple(Column(name=name, type=type_) for name, type_ in columns.items())
    answer = openai_answers.judge(line(text))
    assert answer is not None
    assert (answer.status, answer.input_tokens, answer.output_tokens) == ("succeeded", 0, 0)
    assert answer.model == "omni-moderation-2024-09-26"
    return dict(
        reader_of(definition(model={"task": "moderations", "output": output}).model)((answer.text or "").encode())
    )


def test_all_that_a_moderation_says_comes_out() -> None:
    found = read(
        "I will kill it",
        flagged=BOOLEAN,
        categories=a_map(BOOLEAN),
        category_scores=a_map(DOUBLE),
        category_applied_input_types=a_map(TYPES),
    )
    assert found["flagged"] is True
    assert found["categories"]["violence"] is True
    assert found["categories"]["self-harm/intent"] is False
    assert len(found["category_scores"]) == 13
    assert found["category_scores"]["violence"] > 0.9
    assert found["category_applied_input_types"]["hate"] == ["text"]


def test_a_row_s_fields_may_have_names_without_punctuation() -> None:
    found = read(
        "nice",
        categories=a_row(violence=BOOLEAN, self_harm_intent=BOOLEAN, **{"self-harm/intent": BOOLEAN}),
        category_scores=a_row(harassment_threatening=DOUBLE, unheard_of=DOUBLE),
    )
    assert found["categories"] == {"violence": False, "self_harm_intent": False, "self-harm/intent": False}
    assert 0 <= found["category_scores"]["harassment_threatening"] < 0.2
    assert found["category_scores"]["unheard_of"] is None


def test_one_string_takes_it_whole() -> None:
    found = orjson.loads(read("nice", moderation=STRING)["moderation"])
    assert found["flagged"] is False


def test_columns_that_no_moderation_fills_are_named() -> None:
    columns = {
        "flagged": STRING,
        "verdict": BOOLEAN,
        "categories": a_map(STRING),
        "category_scores": a_row(violence=BOOLEAN),
        "category_applied_input_types": DOUBLE,
    }
    said = list(moderation_faults(tuple(Column(name=name, type=type_) for name, type_ in columns.items())))
    assert len(said) == len(columns)
    assert "there is no" not in said[1]
    assert "a moderation has no 'verdict'" in said[1]
    assert "MAP<STRING, BOOLEAN>" in said[2]
    assert "MAP<STRING, ARRAY<STRING>>" in said[4]


@pytest.mark.parametrize("body", [{}, {"id": "m", "results": []}, {"id": "m", "results": [7]}])
def test_another_shape_is_the_records_own_fault(body: dict[str, Any]) -> None:
    answer = openai_answers.judge(
        orjson.dumps({"custom_id": "k-0", "response": {"status_code": 200, "body": body}, "error": None})
    )
    assert answer is not None
    assert (answer.status, answer.cause) == ("failed", Cause.MALFORMED)


def test_a_result_of_other_types_is_unfit() -> None:
    model = definition(model={"task": "moderations", "output": (Column(name="flagged", type=BOOLEAN),)}).model
    with pytest.raises(Unfit):
        reader_of(model)(b'{"flagged": {"x": 1}}')


@pytest.mark.parametrize(
    "body",
    [
        {"input": ""},
        {"input": [{"type": "video"}]},
        {"input": "x", "user": "u"},
        {"input": [{"type": "image_url", "image_url": {"url": "u"}}] * 2},
    ],
)
def test_the_fake_provider_refuses_what_openai_refuses(body: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        check_moderations(body)
