"""A model's options: typed, in range, each fault named with its option and line, all of them at once."""

import pytest

from shared.definition import BatchOptions, SqlType
from submitter.pipeline.endpoint import endpoint_of
from submitter.pipeline.prompt import template_faults
from tests.rig.options import BASE, faults_of, model_of, read


def test_a_mistyped_option_is_not_missing_too() -> None:
    said = faults_of({**{name: BASE[name] for name in ("provider", "api-key")}, "modl": "gpt-5-mini"})
    assert said.endswith("option 'modl': there is no such option; did you mean 'model'?")
    assert said.count("option") == 2


def test_the_least_that_a_model_needs() -> None:
    model, batch = model_of({})
    assert (model.task, model.base_url, model.path) == ("chat", "https://api.openai.com/v1", "/v1/chat/completions")
    assert model.api_key == "OPENAI_API_KEY"
    assert batch == BatchOptions()


def test_options_are_typed_under_flinks_names() -> None:
    model, _ = model_of(
        {
            "temperature": "0.5",
            "topP": "0.9",
            "max-tokens": "10",
            "stop": "a,b",
            "seed": "7",
            "system-prompt": "Be brief.",
        }
    )
    assert model.parameters == {"temperature": 0.5, "top-p": 0.9, "max-tokens": 10, "stop": ["a", "b"], "seed": 7}
    assert model.system_prompt == "Be brief."


def test_batch_options_are_typed() -> None:
    model, batch = model_of(
        {
            "batch.max-requests": "4000",
            "batch.max-bytes": "64 mb",
            "batch.max-age": "5 s",
            "batch.request-timeout": "1 min",
            "batch.max-retries": "0",
            "batch.on-ambiguous": "hold",
            "batch.error-topic": "errors",
            "batch.prompt": "Say {{ review }}",
            "batch.extra-body": '{"reasoning": {"effort": "low"}}',
        }
    )
    assert batch == BatchOptions(
        max_requests=4000,
        max_bytes=64 << 20,
        max_age=5,
        request_timeout=60,
        max_retries=0,
        on_ambiguous="hold",
        error_topic="errors",
        prompt="Say {{ review }}",
    )
    assert model.extra_body == {"reasoning": {"effort": "low"}}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"endpoint": "https://me.openai.azure.com/openai/deployments/mini/chat/completions?api-version=2024-10-21"},
            "give https://me.openai.azure.com/openai/v1/chat/completions, and the deployment's name as 'model'",
        ),
        ({"temprature": "1"}, "option 'temprature': there is no such option; did you mean 'temperature'?"),
        ({"batch.max_age": "1 s"}, "did you mean 'batch.max-age'?"),
        ({"temperature": "hot"}, "option 'temperature': it can't be used: 'hot' is no number"),
        ({"temperature": "3"}, "out of range: 0 to 2"),
        ({"max-tokens": "0"}, "out of range: at least 1"),
        ({"batch.max-age": "900"}, "write '900 s'"),
        ({"batch.max-age": "0 s"}, "more than 0"),
        ({"batch.max-bytes": "10"}, "less than 1 kb"),
        ({"batch.size": "0"}, "at least 1"),
        ({"batch.size": "many"}, "'many' is neither auto nor a number of records"),
        ({"batch.size": "20", "batch.prompt": "{{ review }}"}, "go over `records`"),
        ({"batch.size": "20", "batch.response.index-field": "label"}, "'label' is an entry's field already"),
        ({"batch.response.format": "regex"}, "needs 'batch.response.pattern'"),
        ({"batch.response.format": "regex", "batch.response.pattern": "(?=x)"}, "no pattern of RE2"),
        (
            {"batch.size": "2", "batch.response.format": "regex", "batch.response.pattern": r"(?P<index>\d)"},
            "it has no group for",
        ),
        (
            {"batch.size": "2", "batch.response.format": "xml", "batch.response.index-field": "record no"},
            "'record no' can't be a field's name in 'xml'",
        ),
        (
            {"batch.response.format": "xml", "batch.response.value-field": "1st"},
            "'1st' can't be a field's name in 'xml'",
        ),
        (
            {"batch.response.format": "regex", "batch.response.pattern": "x", "batch.response.value-field": "a b"},
            "'a b' can't be a field's name in 'regex'",
        ),
        ({"batch.response.path": "$.["}, "it is no JSONPath"),
        ({"batch.response.format": "xml", "batch.response.path": "//["}, "it is no XPath"),
        ({"batch.response.format": "xml", "batch.response.path": "count(//x)"}, "it finds a number or a boolean"),
        ({"batch.response.format": "xml", "batch.response.path": "//a:x"}, "the path can't be applied"),
        (
            {"batch.size": "2", "batch.response.format": "xml", "batch.response.path": "//result/label/text()"},
            "it finds texts, and never an element",
        ),
        (
            {"batch.size": "2", "batch.response.format": "delimited", "batch.response.value-field": "answer"},
            "an answer in 'delimited' has nothing in which",
        ),
        ({"batch.on-ambiguous": "wait"}, "not one of quarantine, hold"),
        ({"batch.error-topic": "a b"}, "can't name a topic"),
        ({"batch.prompt": "{{ revew }}"}, "'revew' is no INPUT column of the model; did you mean 'review'?"),
        ({"batch.prompt": "{% if %}"}, "line 1 of the template"),
        ({"batch.extra-body": "[1]"}, "no JSON object"),
        ({"batch.extra-body": "{"}, "no JSON"),
        ({"batch.extra-body": '{"model": "x"}'}, "may not set model"),
        ({"provider": "openia"}, "did you mean 'openai'?"),
        ({"endpoint": "https://api.openai.com/v1"}, "names no task"),
        ({"endpoint": "https://me:pw@api.openai.com/v1/chat/completions"}, "holds a user or a password"),
        ({"endpoint": "api.openai.com/v1/chat/completions"}, "no http(s) address"),
        ({"response-format": "xml"}, "not one of text, json_object"),
    ],
)
def test_what_is_wrong_is_said_with_its_option(wrong: dict[str, str], said: str) -> None:
    assert said in faults_of({**BASE, **wrong})


def test_every_fault_is_told_at_once() -> None:
    said = faults_of({"temperature": "hot", "n": "0", "nonsense": "1"})
    for option in ("provider", "api-key", "model", "temperature", "n", "nonsense"):
        assert f"option '{option}'" in said


def test_a_literal_key_is_refused_at_its_line_and_not_repeated() -> None:
    said = faults_of({**BASE, "api-key": "my-own-key-1234"})
    assert "f.sql:7: model m: option 'api-key': a key may not stand in the file" in said
    assert "my-own-key-1234" not in said


def test_an_unset_key_is_named() -> None:
    assert "OPENAI_API_KEY is not set" in faults_of(BASE, environ={})


def test_what_has_no_meaning_warns() -> None:
    _, faults = read({**BASE, "retry-num": "5", "dimension": "3", "n": "2"})
    assert [fault.place.option for fault in faults.warnings] == ["retry-num", "dimension", "n"]
    model, _ = model_of({"dimension": "3"})
    assert model.parameters == {}


def test_an_answer_that_json_cannot_carry_is_refused() -> None:
    assert "the type RAW, which a model's JSON answer can't carry" in faults_of(BASE, output=SqlType(root="RAW"))


def test_addresses_follow_the_sdks_variables_and_the_endpoint_wins() -> None:
    proxy = {"OPENAI_BASE_URL": "http://127.0.0.1:8080/v1/", "ANTHROPIC_BASE_URL": "http://127.0.0.1:8081"}
    assert endpoint_of("openai", None, (), proxy).base_url == "http://127.0.0.1:8080/v1"
    declared = endpoint_of("openai", "https://eu.example/v1/responses/", (), proxy)
    assert (declared.task, declared.base_url, declared.path) == ("responses", "https://eu.example/v1", "/v1/responses")
    anthropic = endpoint_of("anthropic", None, (), proxy)
    assert (anthropic.base_url, anthropic.path) == ("http://127.0.0.1:8081", "/v1/messages")
    declared = endpoint_of("anthropic", "https://api.anthropic.com/v1/messages", (), {})
    assert (declared.task, declared.base_url) == ("messages", "https://api.anthropic.com")


def test_a_template_may_use_loops_and_its_own_names() -> None:
    assert (
        template_faults("{% for x in range(3) %}{% set y = x %}{{ y }} {{ review|upper }}{% endfor %}", ["review"])
        == []
    )
    assert template_faults("{{ review | nope }}", ["review"]) != []
