from datetime import timedelta
from typing import Any

import pytest

from shared.definition import BatchOptions, Column, Model, SqlType
from shared.providers.prices import cost, cost_of
from shared.providers.profiles import profile_for
from submitter.pipeline.endpoint import endpoint_of
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.options import Declared, ModelOptions
from submitter.pipeline.prompt import template_faults
from submitter.pipeline.settings import Given, check_target, read_settings
from submitter.pipeline.values import Settings

TEXT = SqlType(root="VARCHAR", length=2**31 - 1)
VECTOR = SqlType(root="ARRAY", element=SqlType(root="FLOAT"))
BASE = {"provider": "openai", "model": "gpt-5-mini", "api-key": "${OPENAI_API_KEY}"}
ENVIRON = {"OPENAI_API_KEY": "a-key"}


def read(
    options: dict[str, str], output: SqlType = TEXT, environ: dict[str, str] | None = None
) -> tuple[tuple[Model, BatchOptions] | None, Faults]:
    faults = Faults()
    declared = Declared(
        name="m",
        options=options,
        input=(Column(name="review", type=TEXT),),
        output=(Column(name="label", type=output),),
        lines={"api-key": 7},
        place=Place(5, "model m"),
    )
    return ModelOptions(declared, ENVIRON if environ is None else environ, faults).read(("review",)), faults


def model_of(options: dict[str, str], **how: Any) -> tuple[Model, BatchOptions]:
    made, faults = read({**BASE, **options}, **how)
    assert made is not None, faults.errors
    return made


def faults_of(options: dict[str, str], **how: Any) -> str:
    made, faults = read(options, **how)
    assert made is None
    return "\n".join(fault.text("f.sql") for fault in faults.errors)


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
        ({"temprature": "1"}, "option 'temprature': there is no such option; did you mean 'temperature'?"),
        ({"batch.max_age": "1 s"}, "did you mean 'batch.max-age'?"),
        ({"temperature": "hot"}, "option 'temperature': it can't be used: 'hot' is no number"),
        ({"temperature": "3"}, "out of range: 0 to 2"),
        ({"max-tokens": "0"}, "out of range: at least 1"),
        ({"batch.max-age": "900"}, "write '900 s'"),
        ({"batch.max-age": "0 s"}, "more than 0"),
        ({"batch.max-bytes": "10"}, "less than 1 kb"),
        ({"batch.size": "0"}, "at least 1"),
        ({"batch.size": "many"}, "'many' is no integer"),
        ({"batch.size": "20", "batch.prompt": "{{ review }}"}, "go over `records`"),
        ({"batch.size": "20", "batch.response.index-field": "label"}, "'label' is an entry's field already"),
        ({"batch.response.format": "regex"}, "needs 'batch.response.pattern'"),
        ({"batch.response.format": "regex", "batch.response.pattern": "(?=x)"}, "no pattern of RE2"),
        (
            {"batch.size": "2", "batch.response.format": "regex", "batch.response.pattern": r"(?P<index>\d)"},
            "it has no group for",
        ),
        ({"batch.response.path": "$.["}, "it is no JSONPath"),
        ({"batch.response.format": "xml", "batch.response.path": "//["}, "it is no XPath"),
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


def test_an_embedding_takes_one_array_of_floats() -> None:
    model, _ = model_of({"dimension": "3"}, output=VECTOR)
    assert (model.task, model.parameters) == ("embeddings", {"dimension": 3})
    endpoint = {"endpoint": "https://api.openai.com/v1/embeddings"}
    assert "ARRAY<FLOAT>" in faults_of({**BASE, **endpoint})


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


REQUIRED = {
    "batchline.pipeline": Given("p", "p", 1),
    "batchline.spool": Given("file:///spool/", "file:///spool/", 2),
    "batchline.state-store": Given("sqlite:////state.db", "sqlite:////state.db", 3),
}


def settings_of(given: dict[str, Given], environ: dict[str, str] | None = None) -> tuple[Settings | None, list[str]]:
    faults = Faults()
    made = read_settings(given, environ or {}, faults).settings
    return made, [fault.text("f.sql") for fault in faults.errors]


def test_settings_have_the_documented_defaults() -> None:
    made, faults = settings_of(REQUIRED)
    assert not faults
    assert made is not None
    assert (made.name, made.spool, made.batches_topic) == ("p", "file:///spool", "batchline.batches")
    assert (made.quarantine, made.retention, made.shared_spool) == (900, 7 * 86400, False)


def test_the_environment_speaks_where_the_file_is_silent() -> None:
    given = {"batchline.pipeline": Given("p", "p"), "batchline.spool": Given("file:///spool", "file:///spool")}
    environ = {
        "BATCHLINE_STATE_STORE": "postgresql://me:pw@h/d",
        "BATCHLINE_SPOOL": "s3://x",
        "BATCHLINE_PIPELINE": "q",
    }
    made, faults = settings_of(given, environ)
    assert not faults
    assert made is not None
    assert (made.name, made.spool) == ("p", "file:///spool")
    assert made.state_store_reference == "${BATCHLINE_STATE_STORE}"
    assert "pw" not in repr(made)


def test_what_is_wrong_with_settings_is_told_at_once() -> None:
    made, faults = settings_of(
        {
            "batchline.pipelin": Given("p", "p", 1),
            "batchline.create-quarantine": Given("soon", "soon", 2),
            "batchline.pipeline": Given("a/b", "a/b", 3),
            "batchline.state-store": Given("postgresql://me:pw@h/d", "postgresql://me:pw@h/d", 4),
        }
    )
    assert made is None
    said = "\n".join(faults)
    assert "f.sql:1: SET 'batchline.pipelin': there is no such setting; did you mean 'batchline.pipeline'?" in said
    assert "f.sql:2: SET 'batchline.create-quarantine': it can't be used" in said
    assert "'a/b' can't name a folder" in said
    assert "SET 'batchline.spool' is missing" in said
    assert "holds a password" in said
    assert "me:pw" not in said


def test_what_is_mistyped_or_not_read_is_not_missing_too() -> None:
    faults = Faults()
    given = {"batchline.pipeline": REQUIRED["batchline.pipeline"], "batchline.spol": Given("s3://x", "s3://x", 2)}
    found = read_settings(given, {}, faults, "SET 'batchline.state-store' 'no equals sign'")
    assert found.settings is None
    assert found.values == {"pipeline": "p"}
    (fault,) = faults.errors
    assert "did you mean 'batchline.spool'?" in fault.message


def test_what_serves_one_machine_is_refused_on_a_cluster_unless_the_spool_is_shared() -> None:
    faults = Faults()
    made = read_settings(REQUIRED, {}, faults).values
    shared = read_settings({**REQUIRED, "batchline.shared-spool": Given("true", "true")}, {}, faults).values
    check_target(made, None, faults)
    check_target(made, "local", faults)
    check_target(shared, "remote", faults)
    assert not faults.errors
    check_target(made, "remote", faults)
    assert len(faults.errors) == 2


def test_a_deadline_with_a_fallback_is_read() -> None:
    _, batch = model_of(
        {
            "batch.deadline": "4 h",
            "batch.fallback": "sync",
            "batch.fallback.max-cost": "2.5",
            "batch.fallback.max-concurrency": "8",
        }
    )
    assert (batch.mode, batch.deadline, batch.fallback) == ("batch", 4 * 3600, "sync")
    assert (batch.fallback_max_cost, batch.fallback_max_concurrency) == (2.5, 8)


def test_a_model_can_be_asked_record_by_record() -> None:
    assert model_of({"batch.mode": "sync", "batch.fallback.max-concurrency": "64"})[1].mode == "sync"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch.mode": "asynchronous"}, "'asynchronous' is not one of batch, sync"),
        ({"batch.deadline": "0 s"}, "more than 0"),
        ({"batch.fallback": "sync"}, "give 'batch.deadline' too"),
        ({"batch.deadline": "1 h", "batch.fallback": "async"}, "'async' is not one of sync"),
        ({"batch.deadline": "1 h", "batch.fallback": "sync", "batch.fallback.max-cost": "0"}, "more than 0"),
        ({"batch.deadline": "1 h", "batch.fallback": "sync", "batch.fallback.max-concurrency": "65"}, "1 to 64"),
        (
            {"batch.deadline": "1 h", "batch.fallback": "sync", "batch.fallback.max-cost": "1", "model": "my-own"},
            "no price is known for openai's model 'my-own'",
        ),
    ],
)
def test_a_road_that_can_not_be_taken_is_a_fault(options: dict[str, str], said: str) -> None:
    assert said in faults_of({**BASE, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"batch.mode": "sync", "batch.fallback": "sync"},
        {"batch.fallback.max-cost": "1"},
        {"batch.fallback.max-concurrency": "4"},
    ],
)
def test_an_option_of_a_road_that_is_not_taken_warns(options: dict[str, str]) -> None:
    made, faults = read({**BASE, **options})
    assert made is not None
    assert ["no meaning" in warning.text("f.sql") for warning in faults.warnings] == [True]


def test_a_definition_without_these_options_keeps_the_hash_that_it_had_before_them() -> None:
    names = {"mode", "deadline", "fallback", "fallback_max_cost", "fallback_max_concurrency"}
    assert not names & set(BatchOptions().model_dump(mode="json"))


def test_what_is_said_of_a_service_is_the_model_s_profile() -> None:
    said = {
        "batch.profile.max-requests": "1000",
        "batch.profile.max-bytes": "10 mb",
        "batch.profile.metadata": "false",
        "batch.profile.window": "7d",
        "batch.profile.file-lifetime": "none",
        "batch.profile.results-lifetime": "14 d",
        "batch.profile.price-factor": "0.4",
        "batch.profile.prices": "groq",
    }
    model, batch = model_of(said)
    profile = profile_for(model)
    assert (profile.max_requests, profile.max_bytes, profile.has_metadata, profile.window) == (
        1000,
        10 << 20,
        False,
        "7d",
    )
    assert (profile.files_kept, profile.results_kept) == (None, timedelta(days=14))
    assert (profile.price_factor, profile.prices) == (0.4, "groq")
    assert profile.is_identified, "its batches are known by their input files"
    assert batch == BatchOptions()
    assert "profile" not in model_of({})[0].model_dump(), "a model of before keeps its hash"
    assert profile_for(model_of({"batch.profile.file-lifetime": "14 d"})[0]).files_kept == timedelta(days=14)


def test_a_service_that_cannot_be_is_refused() -> None:
    wrong = {
        "batch.profile.metadata": "perhaps",
        "batch.profile.window": "soon",
        "batch.profile.price-factor": "2",
        "batch.profile.max-request": "1",
    }
    said = faults_of({**BASE, **wrong})
    assert "'perhaps' is neither true nor false" in said
    assert "'soon' is no window of time" in said
    assert "2 is out of range" in said
    assert "did you mean 'batch.profile.max-requests'?" in said


def test_the_price_is_that_of_the_service() -> None:
    model = model_of({"model": "gpt-4o-mini"})[0]
    plain, own = cost_of(model, 1_000_000, 0), cost("openai", "gpt-4o-mini", 1_000_000, 0)
    assert plain == own
    other = model_of({"model": "gpt-4o-mini", "batch.profile.prices": "azure", "batch.profile.price-factor": "1"})[0]
    found, azure = cost_of(other, 1_000_000, 0), cost("azure", "gpt-4o-mini", 1_000_000, 0, factor=1.0)
    assert found is not None
    assert found == azure
    assert found.batch_usd == found.sync_usd
    unknown = model_of({"batch.profile.prices": "a-cellar"})[0]
    assert cost_of(unknown, 1, 1) is None


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
    ({"batch.thinking": "adaptive", "top-p": "0.5"}, "a model that thinks takes 0.95 to 1"),
    ({"batch.thinking": "2048", "batch.structured-output": "tool"}, "can't be made to call a tool"),
    ({"batch.thinking": "2048", "model": "claude-opus-4-1"}, "can't be made to call a tool"),
    ({"batch.prompt-cache": "2h"}, "'2h' is not one of 5m, 1h"),
    ({"batch.prompt-cache": "1h", "system-prompt": ""}, "there is no 'system-prompt' that could be kept"),
]


@pytest.mark.parametrize(("options", "said"), UNTHINKABLE)
def test_what_claude_would_refuse_is_said_before(options: dict[str, str], said: str) -> None:
    assert said in faults_of({**CLAUDE, **options}, output=NUMBER)


def test_a_model_that_thinks() -> None:
    model, _ = model_of({**CLAUDE, "batch.thinking": "2048", "batch.effort": "Low", "batch.prompt-cache": "1h"})
    assert model.parameters == {"batch.thinking": 2048, "batch.effort": "low", "batch.prompt-cache": "1h"}
    _, faults = read({**BASE, "batch.thinking": "adaptive", "batch.structured-output": "none"})
    assert [warning.message for warning in faults.warnings] == [
        "it has no meaning at /v1/chat/completions, and is not sent",
        "it has no meaning for an answer that is one STRING",
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
