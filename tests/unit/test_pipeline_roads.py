"""Which road a model's records take, and what is said of the service that is asked: deadlines, profiles, prices."""

from datetime import timedelta

import pytest

from shared.definition import BatchOptions
from shared.providers.prices import cost, cost_of
from shared.providers.profiles import profile_for
from tests.rig.options import BASE, faults_of, model_of, read


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
