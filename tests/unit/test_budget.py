"""A day's money, purely: who may take what, where batches are cut, and how a file says it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.budget import Budget, cut_for, granted, next_day, wait
from shared.definition import BatchOptions
from shared.estimate import TOKENS_PER_BYTE, all_answers, estimated_cost, prompt_tokens
from submitter.pipeline.faults import Faults
from submitter.pipeline.road import road_remarks
from submitter.pipeline.settings import Given, read_settings
from tests.rig.samples import definition

NOON = datetime(2026, 12, 31, 12, tzinfo=UTC)
money = st.floats(0, 10)


@given(money, money, st.lists(money, max_size=5), money)
def test_what_is_left_is_never_more_than_the_limit_less_what_is_used(
    limit: float, used: float, line: list[float], need: float
) -> None:
    budget = Budget("pipeline p", limit, used, line)
    assert 0 <= budget.left <= max(limit - used, 0.0)
    fits = wait([budget], need, NOON) is None
    assert fits == (need <= budget.left + 1e-9)
    share = granted([budget], need, need / 2)
    assert share is None or share <= budget.left + 1e-9


def test_those_before_that_fit_are_served_first_and_those_that_do_not_stop_nobody() -> None:
    assert Budget("p", 3.0, 1.0, [1.5]).left == 0.5
    assert Budget("p", 3.0, 1.0, [2.5]).left == 2.0
    assert Budget("p", 3.0, 1.0, [2.5, 1.0]).left == 1.0


def test_the_day_turns_at_midnight_in_utc() -> None:
    assert next_day(NOON) == datetime(2027, 1, 1, tzinfo=UTC)


@given(st.floats(0.01, 5), st.integers(20, 4000))
def test_a_batch_that_is_cut_by_a_days_money_fits_a_day(limit: float, line: int) -> None:
    model = definition().model
    cut = cut_for(model, limit, TOKENS_PER_BYTE)
    assert cut.max_bytes
    assert cut.max_requests
    requests = min(cut.max_requests, cut.max_bytes // line)
    if requests > 1:
        cost = estimated_cost(model, requests, prompt_tokens(requests * line))
        assert cost is not None
        assert cost <= limit * 1.01


def test_packs_are_cut_by_what_the_answers_of_all_their_records_cost() -> None:
    stated = definition(batch=BatchOptions(size=20))
    answer = all_answers(stated, 1, 20)
    cut = cut_for(stated.model, 1.0, TOKENS_PER_BYTE, answer)
    assert cut.max_requests
    cost = estimated_cost(
        stated.model, cut.max_requests, 1, answers=all_answers(stated, cut.max_requests, 20 * cut.max_requests)
    )
    assert cost is not None
    assert 0.45 < cost < 0.51, "half of it is the answers'"


def test_a_price_of_another_service_is_asked_for_by_its_name() -> None:
    azure: dict[str, object] = {"batch.profile.prices": "azure", "batch.max-cost-per-day": 5.0}
    assert not list(road_remarks(azure, "openai", "gpt-5-mini"))
    (remark,) = road_remarks(azure, "openai", "my-deployment")
    assert remark.is_fault


def test_a_ceiling_has_no_effect_where_everything_is_asked_synchronously() -> None:
    given_ = {"batch.mode": "sync", "batch.response.on-error": "individual", "batch.fallback.max-cost": 1.0}
    (remark,) = road_remarks(given_, "openai", "gpt-5-mini")
    assert (remark.option, remark.is_fault) == ("batch.fallback.max-cost", False)


def test_a_limit_is_no_part_of_a_definition() -> None:
    stated = definition(batch=BatchOptions(max_cost_per_day=5.0))
    assert stated.hash == definition().hash
    assert b"cost_per_day" not in stated.canonical()


def test_a_model_without_a_price_can_have_no_limit() -> None:
    (remark,) = road_remarks({"batch.max-cost-per-day": 5.0}, "openai", "nobody-knows-it")
    assert remark.is_fault
    assert not list(road_remarks({"batch.max-cost-per-day": 5.0}, "openai", "gpt-5-mini"))


@pytest.mark.parametrize(
    ("text", "told"), [("5.5", ""), ("-1", "out of range"), ("0", "more than 0"), ("much", "no number")]
)
def test_a_pipelines_limit_is_dollars(text: str, told: str) -> None:
    faults = Faults()
    given_ = {"pipeline": "p", "spool": "file:///s", "state-store": "sqlite:////s.db", "max-cost-per-day": text}
    found = read_settings({f"batchline.{name}": Given(value, value) for name, value in given_.items()}, {}, faults)
    assert [told in each.message for each in faults.errors] == [True] * bool(told)
    if not told:
        assert found.settings is not None
        assert found.settings.max_cost_per_day == 5.5
