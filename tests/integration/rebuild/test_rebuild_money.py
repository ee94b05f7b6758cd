"""What has been paid is known to a rebuilt store: days and their limits, single calls, duplicates."""

from datetime import timedelta
from functools import partial

import pytest

from shared.lifecycle import State
from shared.store import Whose
from shared.store.budgets import PIPELINE, Limit
from shared.store.terms import Stated
from tests.rig.asking import PASS, Road
from tests.rig.rebuilding import (
    DAY,
    PROVIDERS,
    RECORDS,
    MakeBack,
    begin,
    charged,
    check_once,
    drop,
    finish,
    has_sent,
    rebuild,
)
from tests.rig.waiting import wait_until


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_a_day_has_cost_is_remembered_and_the_brake_still_holds(
    make_back: MakeBack, batches_topic: str, provider: str
) -> None:
    back = make_back(provider)
    stage = back.stage
    published, collected, sent, doubtful, waiting = (stage.plan(RECORDS) for _ in range(5))
    each = stage.batch(waiting).estimated_cost_usd or 0.0
    stage.store.budgets.state("pipe", [Limit(PIPELINE, None, 4.5 * each), Limit("sentiments", "sentiment", 9 * each)])
    begin(stage)
    back.finish(published)
    submission = stage.submission()
    wait_until(partial(has_sent, stage, submission, collected), 30, "a batch to be sent")
    back.collect(collected)
    wait_until(partial(has_sent, stage, submission, sent), 30, "another to be sent")
    stage.server.set_fault("create_accepted_response_lost", times=1)
    submission.work(doubtful)
    assert stage.batch(doubtful).state is State.AMBIGUOUS
    costs = [stage.batch(key).cost_usd or 0.0 for key in (published, collected)]
    used = sum(costs) + sum(stage.batch(key).estimated_cost_usd or 0.0 for key in (sent, doubtful))
    # What the answers did not cost is given back: less than another batch needs is to be left.
    limits = [Limit(PIPELINE, None, used + each / 2), Limit("sentiments", "sentiment", 9 * each)]
    stage.store.budgets.state("pipe", limits)
    terms = Stated(retention=30 * DAY, quarantine=timedelta(seconds=1.5), checkpoints="file:///elsewhere")
    stage.store.terms.state("pipe", terms)
    begin(stage)
    days = charged(stage)
    assert sum(days.values()) == pytest.approx(used)
    drop(stage)
    rebuild(back, batches_topic)
    assert charged(stage) == days
    assert stage.store.budgets.stated("pipe") == limits
    assert stage.store.terms.of("pipe") == terms
    submission = stage.submission()
    submission.work(waiting)
    assert (stage.batch(waiting).held_reason or "").startswith("budget: ")
    for key in (published, collected):
        back.collect(key)
        back.publish(key)
    spent = sum(batch.cost_usd or 0.0 for batch in stage.store.batches.rows())
    assert {one.model: one.spent_usd for one in stage.store.budgets.today()} == {
        None: pytest.approx(spent),
        "sentiment": pytest.approx(spent),
    }
    stage.ahead = DAY
    finish(back, batches_topic)
    check_once(back, stage.files * RECORDS)


def test_what_single_calls_have_cost_is_remembered(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back(batch_options={"mode": "sync"})
    stage = back.stage
    key = stage.plan(RECORDS)
    begin(stage)
    asker = Road(stage, PASS).asker()
    wait_until(lambda: asker.run_once() and stage.batch(key).state is State.ENDED, 30, "every record to be asked")
    days, before = charged(stage), stage.batch(key)
    drop(stage)
    rebuild(back, batches_topic)
    assert charged(stage) == days
    known = stage.batch(key)
    assert known.cost_usd == pytest.approx(before.cost_usd)
    assert known.input_tokens == before.input_tokens
    asker = Road(stage, PASS).asker()
    wait_until(lambda: asker.run_once() and stage.batch(key).state is State.ENDED, 30, "it to end once more")
    back.collect(key)
    back.publish(key)
    assert charged(stage) == days
    check_once(back, RECORDS)


def test_duplicates_that_only_the_lost_store_knew_are_counted_again(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", times=1, seconds=3600)
    key = stage.submit(RECORDS)
    first, second = [str(event["batch"]) for event in stage.server.witness().creates("openai")]
    drop(stage)
    stage.server.advance(3600)
    said = rebuild(back, batches_topic)
    assert any(line.startswith(f"{first}: counted") for line in said), said
    (stray,) = stage.store.strays.open()
    assert (stray.provider_batch_id, stray.whose) == (first, Whose.OURS)
    assert stage.batch(key).provider_batch_id == second
