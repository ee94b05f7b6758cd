"""A sample of the random schedules, the residual's own, and one whole road; `make chaos` runs the rest."""

from pathlib import Path

import pytest

from tests.chaos.faults import ACTIONS, strike
from tests.chaos.residual import RESIDUALS, run_residual
from tests.chaos.schedule import FEWEST, KINDS, schedule
from tests.chaos.slot import Slot
from tests.chaos.whole_road import road_case, run_road
from tests.chaos.world import run

SAMPLE = range(1, 7)
ROAD = 1


def test_a_seed_gives_one_schedule_for_ever() -> None:
    assert [schedule(seed) for seed in range(200)] == [schedule(seed) for seed in range(200)]


def test_every_kind_is_drawn_and_every_step_is_known() -> None:
    cases = [schedule(seed) for seed in range(500)]
    assert {step.do for case in cases for step in case.steps} == ACTIONS.keys()
    assert all(len(case.steps) + len(case.kills) >= FEWEST for case in cases)
    assert all(weight > 0 for weight, _ in KINDS.values())


@pytest.mark.parametrize("seed", SAMPLE)
def test_every_record_comes_out_once_whatever_goes_wrong(slot: Slot, seed: int) -> None:
    verdict = run(schedule(seed), slot, strike)
    assert verdict.violations == (), verdict


@pytest.mark.parametrize("name", list(RESIDUALS))
def test_a_create_that_is_hidden_beyond_the_quarantine_is_detected(slot: Slot, name: str) -> None:
    residual = RESIDUALS[name]
    seen = run_residual(residual, slot)
    assert seen.verdict.violations == ()
    assert [(stray.whose, stray.is_cancelled) for stray in seen.strays] == [("ours", residual.is_cancelled)]
    assert [stray.output_tokens > 0 for stray in seen.strays] == [residual.is_paid]
    assert seen.unexplained == (0, 0)


@pytest.mark.timeout(600)
def test_the_real_commands_lose_and_repeat_nothing(tmp_path: Path) -> None:
    run_road(road_case(ROAD, blows=2), tmp_path)
