"""Options of one kind of model: embeddings, moderations, Claude's thinking, columns with media."""

from typing import Any

import pytest

from shared.definition import Column, SqlType
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.options import Declared, ModelOptions
from tests.rig.options import BASE, ENVIRON, TEXT, faults_of, model_of, read

VECTOR = SqlType(root="ARRAY", element=SqlType(root="FLOAT"))


def test_an_embedding_takes_one_array_of_floats() -> None:
    model, _ = model_of({"dimension": "3"}, output=VECTOR)
    assert (model.task, model.parameters) == ("embeddings", {"dimension": 3})
    endpoint = {"endpoint": "https://api.openai.com/v1/embeddings"}
    assert "ARRAY<FLOAT>" in faults_of({**BASE, **endpoint})


def test_a_moderation_is_asked_at_its_own_endpoint() -> None:
    endpoint = {"endpoint": "https://api.openai.com/v1/moderations", "model": "omni-moderation-latest"}
    scores = SqlType(root="MAP", key=TEXT, element=SqlType(root="DOUBLE"))
    model, _ = model_of(endpoint, output=TEXT)
    assert (model.task, model.path, model.base_url) == ("moderations", "/v1/moderations", "https://api.openai.com/v1")
    assert "a moderation has no 'label'" in faults_of({**BASE, **endpoint}, output=scores)
    _, faults = read({**BASE, **endpoint, "system-prompt": "Judge."})
    assert "it has no meaning at /v1/moderations" in faults.warnings[0].message


CLAUDE = {
    "provider": "anthropic",
    "model": "claude-haiku-4-5",
    "api-key": "${OPENAI_API_KEY}",
    "system-prompt": "Judge.",
}
NUMBER = SqlType(root="DOUBLE")
UNTHINKABLE: list[tuple[dict[str, str], str]] = [
    ({"batch.thinking": "500"}, "500 is out of range"),
    ({"batch.thinking": "hard"}, "'hard' is neither adaptive nor disabled"),
    ({"batch.thinking": "2048", "max-tokens": "2048"}, "give the answer more room"),
    ({"batch.thinking": "2048", "temperature": "0"}, "a model that thinks has the temperature 1"),
    ({"batch.thinking": "adaptive", "top-p": "0.5", "model": "claude-opus-4-6"}, "a model that thinks takes 0.95 to 1"),
    ({"batch.thinking": "2048", "batch.structured-output": "tool"}, "can't be made to call a tool"),
    ({"batch.thinking": "2048", "model": "claude-opus-4-1"}, "can't be made to call a tool"),
    ({"temperature": "1.5"}, "1.5 is out of range: Anthropic takes 0 to 1"),
    ({"temperature": "0.2", "top-p": "0.9"}, "'claude-haiku-4-5' refuses it beside 'temperature': give one"),
    ({"temperature": "1", "top-p": "1", "model": "claude-opus-4-1-20250805"}, "refuses it beside 'temperature'"),
    ({"temperature": "0", "model": "claude-opus-4-7"}, "'claude-opus-4-7' draws as it likes, and refuses any but 1"),
    ({"temperature": "0", "model": "claude-mythos-preview"}, "draws as it likes, and refuses any but 1"),
    ({"top-p": "1", "model": "claude-haiku-5-5"}, "refuses any but 0.99"),
    ({"batch.thinking": "2048", "model": "claude-sonnet-5"}, "takes no number of tokens to think with: say 'adaptive'"),
    ({"batch.thinking": "adaptive"}, "takes a number of tokens to think with, such as '2048', and not 'adaptive'"),
    ({"batch.thinking": "disabled", "model": "claude-sonnet-5-5"}, "'claude-sonnet-5-5' always thinks: leave it out"),
    (
        {"batch.thinking": "disabled", "batch.effort": "max", "model": "claude-opus-5"},
        "'claude-opus-5' always thinks with such a 'batch.effort'",
    ),
    ({"batch.structured-output": "tool", "model": "claude-opus-5-5"}, "can't be made to call a tool: leave it out"),
    ({"batch.prompt-cache": "2h"}, "'2h' is not one of 5m, 1h"),
    ({"batch.prompt-cache": "1h", "system-prompt": ""}, "there is no 'system-prompt' that could be kept"),
]


@pytest.mark.parametrize(("options", "said"), UNTHINKABLE)
def test_what_claude_would_refuse_is_said_before(options: dict[str, str], said: str) -> None:
    assert said in faults_of({**CLAUDE, **options}, output=NUMBER)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {**CLAUDE, "model": "our-claude", "temperature": "0.2", "top-p": "0.9"},
            {"top-p": "newer Claude models refuse it beside"},
        ),
        ({**CLAUDE, "model": "claude-3-haiku-20240307", "temperature": "0.2", "top-p": "0.9"}, {}),
        ({**CLAUDE, "model": "claude-sonnet-4-20250514", "temperature": "0.2", "top-p": "0.9"}, {}),
        ({**CLAUDE, "model": "claude-opus-4-6", "top-p": "0.9"}, {}),
        ({**CLAUDE, "model": "claude-opus-5-5"}, {"max-tokens": "thinks before it answers"}),
        ({**CLAUDE, "model": "claude-opus-5", "batch.thinking": "disabled"}, {}),
        (
            {**CLAUDE, "model": "claude-opus-4-8", "batch.thinking": "adaptive", "batch.structured-output": "tool"},
            {},
        ),
        ({**CLAUDE, "temperature": "0.2"}, {}),
        (
            {**BASE, "temperature": "0", "top-p": "0.9"},
            {"temperature": "reasoning models", "top-p": "reasoning models"},
        ),
        ({**BASE, "temperature": "1"}, {}),
        ({**BASE, "model": "gpt-4o-mini", "temperature": "0", "top-p": "0.9"}, {}),
    ],
)
def test_what_a_model_may_refuse_of_its_drawing_is_warned_about(options: dict[str, str], told: dict[str, str]) -> None:
    made, faults = read(options, output=NUMBER)
    assert made is not None, faults.errors
    said = {each.place.option: each.message for each in faults.warnings}
    assert said.keys() == told.keys()
    assert all(part in said[name] for name, part in told.items())


@pytest.mark.parametrize(
    ("options", "is_told"),
    [
        ({"system-prompt": "Judge."}, True),
        ({"system-prompt": "Judge it by these rules. " * 21}, False),
        ({"system-prompt": "Judge.", "batch.structured-output": "tool"}, False),
    ],
)
def test_a_prompt_that_is_too_short_to_be_kept_is_told(options: dict[str, str], is_told: bool) -> None:
    made, faults = read({**CLAUDE, "batch.prompt-cache": "1h", **options}, output=NUMBER)
    assert made is not None, faults.errors
    assert [each.place.option for each in faults.warnings] == (["batch.prompt-cache"] if is_told else [])


def test_a_model_that_thinks() -> None:
    model, _ = model_of({**CLAUDE, "batch.thinking": "2048", "batch.effort": "Low", "batch.prompt-cache": "1h"})
    assert model.parameters == {"batch.thinking": 2048, "batch.effort": "low", "batch.prompt-cache": "1h"}
    _, faults = read({**BASE, "batch.thinking": "adaptive", "batch.structured-output": "none"})
    assert [warning.message for warning in faults.warnings] == [
        "it has no meaning at /v1/chat/completions, and is not sent",
        "it has no meaning for an answer that is one STRING",
    ]


@pytest.mark.parametrize("form", ["xml", "delimited", "regex"])
def test_a_provider_is_not_made_to_answer_in_json_where_something_else_is_read(form: str) -> None:
    options = {"batch.response.format": form, "batch.response.pattern": "(?P<label>.*)"}
    said = faults_of({**BASE, **options, "response-format": "json_object"})
    assert f"option 'response-format': the provider would be made to answer in JSON, and '{form}' is read" in said
    for told in ({}, {"response-format": "text"}):
        assert read({**BASE, **options, **told})[0] is not None
    assert read({**BASE, "batch.response.format": "json", "response-format": "json_object"})[0] is not None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch.response.format": "xml"}, ["it has no meaning with 'batch.response.format' = 'xml'"]),
        ({"batch.response.format": "delimited"}, ["it has no meaning with 'batch.response.format' = 'delimited'"]),
        ({"batch.response.path": "$.a"}, ["it has no meaning with 'batch.response.path'"]),
        ({"response-format": "json_object"}, ["it has no meaning beside 'response-format'"]),
        ({"batch.response.format": "json"}, []),
    ],
)
def test_a_schema_that_is_not_sent_is_said(options: dict[str, str], told: list[str]) -> None:
    made, faults = read({**BASE, **options, "batch.structured-output": "schema"}, output=NUMBER)
    assert made is not None, faults.errors
    said = [each.message for each in faults.warnings if each.place.option == "batch.structured-output"]
    assert len(said) == len(told)
    assert all(each.startswith(start) for each, start in zip(said, told, strict=True))


def test_several_texts_are_asked_for_as_columns_are() -> None:
    thinks = {**CLAUDE, "batch.thinking": "2048", "batch.structured-output": "tool", "batch.size": "5"}
    assert "can't be made to call a tool" in faults_of(thinks)
    _, faults = read({**BASE, "batch.structured-output": "tool", "batch.size": "5"})
    assert [each for each in faults.warnings if each.place.option == "batch.structured-output"] == []


def test_a_model_that_thinks_may_say_its_columns_in_another_form() -> None:
    options = {**CLAUDE, "model": "claude-opus-4-1", "batch.thinking": "2048", "batch.response.format": "xml"}
    assert read(options, output=NUMBER)[0] is not None, "no tool is asked for"


@pytest.mark.parametrize("way", ["split", "individual", "retry", "null"])
def test_one_record_can_not_be_cut_smaller(way: str) -> None:
    options = {**BASE, "batch.response.format": "json", "batch.response.on-error": way}
    _, faults = read(options, output=NUMBER)
    said = [each.message for each in faults.warnings if each.place.option == "batch.response.on-error"]
    expected = "each request holds one record, which can't be cut smaller: it is asked again, as by 'retry'"
    assert said == ([expected] if way in ("split", "individual") else [])
    assert not [
        each for each in read({**options, "batch.size": "5"}, output=NUMBER)[1].warnings if "cut" in each.message
    ]


def test_columns_with_media() -> None:
    picture = SqlType(root="VARBINARY", length=2**31 - 1)
    columns = (Column(name="note", type=TEXT), Column(name="photo", type=picture), Column(name="stars", type=NUMBER))

    def told(options: dict[str, str]) -> tuple[Any, str]:
        faults = Faults()
        declared = Declared("m", {**BASE, **options}, columns, (Column(name="x", type=TEXT),), {}, Place(5, "model m"))
        made = ModelOptions(declared, ENVIRON, faults).read(("a", "b", "c"))
        return made, "\n".join(fault.message for fault in faults.errors)

    made, _ = told({"batch.media-columns": "photo, note", "batch.prompt": "{{ stars }}"})
    assert made[1].media_columns == ("photo", "note")
    assert "'photo' is no INPUT column" in told({"batch.media-columns": "photo", "batch.prompt": "{{ photo }}"})[1]
    assert "did you mean 'photo'?" in told({"batch.media-columns": "foto"})[1]
    assert "INPUT column 'stars' is DOUBLE" in told({"batch.media-columns": "stars"})[1]
    assert "it names nothing" in told({"batch.media-columns": ","})[1]
    assert "go one record a request" in told({"batch.media-columns": "photo", "batch.size": "5"})[1]
    moderation = {"endpoint": "https://api.openai.com/v1/moderations", "batch.media-columns": "photo,note"}
    assert "a moderation takes one image" in told(moderation)[1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch.response.path": "$.all[*]"}, ["batch.response.path"]),
        (
            {"batch.response.format": "regex", "batch.response.pattern": "(?P<index>[0-9]+)=(?P<label>.*)"},
            ["batch.response.format"],
        ),
        ({"batch.response.path": "$.all[*]", "batch.prompt": "{{ records | tojson }}"}, []),
        ({"batch.response.format": "xml"}, []),
    ],
)
def test_who_reads_a_shape_of_their_own_is_told_that_nothing_asks_for_it(
    options: dict[str, str], told: list[str]
) -> None:
    made, faults = read({**BASE, "batch.size": "5", **options}, output=NUMBER)
    assert made is not None, faults.errors
    assert [each.place.option for each in faults.warnings if "what an answer looks like" in each.message] == told


@pytest.mark.parametrize(
    ("form", "names", "said"),
    [
        ("xml", ("my label", "score"), "OUTPUT column 'my label' can't be a field's name in 'xml': rename it"),
        ("xml", ("my label",), None),
        ("xml", ("größe", "a.b-c"), None),
        ("delimited", ("my label", "score"), None),
        ("json", ("my label", "score"), None),
        ("regex", ("my label", "score"), "OUTPUT column 'my label' can't be a field's name in 'regex': rename it"),
    ],
)
def test_a_column_is_called_as_the_format_can_call_it(form: str, names: tuple[str, ...], said: str | None) -> None:
    options = {**BASE, "batch.response.format": form, "batch.response.pattern": "(?P<score>.*)"}
    output, faults = tuple(Column(name=name, type=TEXT) for name in names), Faults()
    declared = Declared("m", options, (Column(name="a", type=TEXT),), output, {}, Place(5, "model m"))
    ModelOptions(declared, ENVIRON, faults).read(("a",))
    messages = [fault.message for fault in faults.errors]
    assert len(messages) == (said is not None), messages
    assert all((said or "") in each for each in messages)
