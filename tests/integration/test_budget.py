"""What a day may cost, with real processes and the fake provider: shared, kept through a SIGKILL, also call by call."""

import shutil
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.sandbox.provider.server import ProviderServer
from poller.ask.journal import FOLDER
from poller.operate.status import report
from shared.budget import cut_for, next_day
from shared.estimate import answer_tokens
from shared.failpoints import PLAN, STRUCK, VARIABLE, Failpoint
from shared.lifecycle import State
from shared.providers.prices import cost
from shared.store.budgets import PIPELINE, Limit, Spending
from tests.rig import samples
from tests.rig.asking import PASS, Road
from tests.rig.processes import Processes
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

ROOT = Path(__file__).parents[2]
FILES, FIT = 5, 2


@pytest.fixture
def stage(server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    server.clear_faults()
    made = Stage(server, tmp_path, review=f"{tmp_path} review {{}}".format)
    yield made
    made.close()


def limit(stage: Stage, usd: float | None) -> None:
    stage.store.budgets.state("pipe", [Limit(PIPELINE, None, usd)])


def today(stage: Stage) -> Spending:
    (known,) = stage.store.budgets.today()
    return known


def test_two_processes_share_a_day_and_one_that_is_killed_before_its_create_keeps_its_share(
    stage: Stage, processes: Processes, tmp_path: Path
) -> None:
    keys = [stage.plan() for _ in range(FILES)]
    each = max(stage.batch(key).estimated_cost_usd or 0.0 for key in keys)
    limit(stage, (FIT + 0.5) * each)
    plan = tmp_path / "plan"
    plan.mkdir()
    (plan / PLAN).write_text(f"{Failpoint.INTEND} 2\n")
    env = {**ENVIRON, VARIABLE: str(plan)}
    command: list[str | Path] = [sys.executable, "-m", "tests.rig.submitting", tmp_path]
    before = len(stage.server.witness().creates())
    children = [processes.start("submit", command, env=env, cwd=ROOT) for _ in range(2)]
    wait_until((plan / STRUCK).exists, 60, "a process to pass the failpoint")
    wait_until(lambda: (plan / STRUCK).read_text() and not all(child.running for child in children), 60, "its end")
    assert today(stage).reserved_usd <= today(stage).limit_usd

    def is_settled() -> bool:
        states = [stage.batch(key).state for key in keys]
        return states.count(State.SUBMITTED) == FIT and today(stage).held_batches == FILES - FIT

    wait_until(is_settled, 60, lambda: f"the day to be spent: {[stage.batch(key) for key in keys]}")
    assert len(stage.server.witness().creates()) - before == FIT
    shown = report(stage.store, stage.clock)
    assert (shown.budgets[0].held_batches, shown.attention[0].kind) == (FILES - FIT, "budget")
    limit(stage, None)
    wait_until(lambda: all(stage.batch(key).state is State.SUBMITTED for key in keys), 60, "the rest to be sent")
    assert len(stage.server.witness().creates()) - before == FILES


def test_calls_one_by_one_stop_where_the_days_money_ends_and_go_on_when_it_turns(stage: Stage) -> None:
    records = 12
    stage.batch_options = {"mode": "sync", "fallback_max_concurrency": 2}
    price = cost("openai", "gpt-5-mini", 150, answer_tokens(samples.definition().model))
    assert price is not None
    usd = 1.3 * price.sync_usd
    limit(stage, usd)
    key = stage.plan(records)
    road = Road(stage, PASS)

    def work(*states: State) -> None:
        asker = road.asker()

        def there() -> bool:
            asker.run_once()
            assert today(stage).spent_usd <= usd
            return stage.batch(key).state in states

        wait_until(there, 30, lambda: f"{key} to be {states}, it is {stage.batch(key)}")

    days = 0
    while stage.batch(key).state is not State.ENDED:
        work(State.HELD, State.ENDED)
        batch = stage.batch(key)
        if batch.state is State.HELD:
            days += 1
            assert (batch.held_reason or "").startswith("budget: ")
            assert batch.held_until == next_day(stage.clock())
            assert today(stage).reserved_usd == 0.0
            stage.ahead += timedelta(days=1)
    rows = [row for row in stage.store.status.daily() if row["spent_usd"]]
    assert len(rows) == days + 1 > 1
    assert sum(row["spent_usd"] for row in rows) == pytest.approx(stage.batch(key).cost_usd)
    assert max(row["spent_usd"] for row in rows) <= usd


def rested(stage: Stage, *nth: int) -> str:
    """A batch of whose calls the n-th ones are told to come again in a minute: there the stretch ends."""
    stage.batch_options = {"mode": "sync", "fallback_max_concurrency": 1}
    limit(stage, 1.0)
    stage.server.set_fault("http_429_retry_after", endpoint="openai.chat.completions", nth=nth, retry_after=60)
    return stage.plan(6)


def spent(stage: Stage) -> float:
    return float(sum(row["spent_usd"] for row in stage.store.status.daily()))


def test_a_poller_that_takes_a_batch_back_knows_what_another_has_spent_on_it(stage: Stage) -> None:
    key = rested(stage, 2, 4)
    first, other = Road(stage).asker(), Road(stage).asker()
    costs = [0.0]
    for asker in (first, other):
        asker.run_once()
        assert stage.batch(key).state is State.HELD
        costs.append(spent(stage))
        stage.ahead += timedelta(minutes=2)
    assert costs == sorted({*costs}), "each had an answer"
    assert first.run_once() == {"asked": 1}
    assert stage.batch(key).state is State.ENDED
    assert spent(stage) == pytest.approx(3 * costs[-1], rel=0.1)


def test_what_was_spent_stays_spent_where_the_spool_has_forgotten_the_answers(stage: Stage) -> None:
    key = rested(stage, 2, 3)
    Road(stage).asker().run_once()
    known = spent(stage)
    assert known > 0
    shutil.rmtree(stage.path(f"{stage.spool.batch('pipe', 'sentiments', key)}/{FOLDER}"))
    stage.ahead += timedelta(minutes=2)
    Road(stage).asker().run_once()
    assert stage.batch(key).state is State.HELD
    assert spent(stage) == known


@pytest.mark.parametrize(
    ("options", "empty"), [({}, 0), ({"size": 4}, 0), ({"size": 4}, 3)], ids=["single", "packed", "packed, with gaps"]
)
def test_files_are_cut_so_that_each_batch_fits_a_day_by_itself(
    stage: Stage, options: dict[str, int], empty: int
) -> None:
    stage.batch_options = options
    keys = stage.plan_rows(range(20))
    (whole,) = keys
    usd = (stage.batch(whole).estimated_cost_usd or 0.0) / 3
    limit(stage, usd)
    if empty:
        stage.review = lambda number: f"review {number}" if number % empty == 0 else None
    parts = [stage.batch(key) for key in stage.plan_rows(range(20, 80))]
    assert len(parts) > 3
    assert all((part.estimated_cost_usd or 0.0) <= usd for part in parts)
    assert sum(part.records for part in parts) == 60
    cut = cut_for(stage.definition().model, usd, 0.25)
    assert cut.max_bytes
    assert cut.max_requests
