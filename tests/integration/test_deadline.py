"""Batches whose deadline nears: what is finished is taken, the rest is asked record by record; none is paid twice."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.answers import prompt_hash
from deploy.sandbox.provider.server import ProviderServer
from poller.duty import moved
from poller.operate.status import report
from poller.watch.looks import bounced
from shared.estimate import answer_tokens
from shared.lifecycle import Event, State
from shared.providers.prices import cost
from shared.store import Batch
from tests.rig import samples
from tests.rig.asking import Road, deadline_in
from tests.rig.fixtures import MakeTopic
from tests.rig.older import copied, restore
from tests.rig.results import SINK_TOPIC, Back, requests_of, sink
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

RECORDS = 10
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
PROVIDERS = ("openai", "anthropic")
SYNC = {"openai": "openai.chat.completions", "anthropic": "anthropic.messages"}
MakeBack = Callable[..., Back]


@pytest.fixture
def make_back(server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Iterator[MakeBack]:
    server.clear_faults()
    made: list[Stage] = []

    def make(provider: str = "openai", deadline: timedelta | None = HOUR, **options: Any) -> Back:
        topic = make_topic("sentiments", SINK_TOPIC)
        stage = Stage(server, tmp_path, provider, sink(broker, topic), review=f"{topic} review {{}}".format)
        ends = {} if deadline is None else {"deadline": deadline_in(stage, deadline)}
        stage.batch_options = {"max_retries": 0, **ends, **options}
        made.append(stage)
        return Back(stage, broker, f"progress-{topic}")

    yield make
    for stage in made:
        stage.close()


def submit_and_begin(back: Back) -> str:
    """A batch of which the provider is working off the requests, and never comes to an end."""
    back.stage.server.set_fault("stuck_in_progress", times=1)
    back.stage.server.set_fault("cancel_partially", done=0.4, times=1)
    key = back.stage.submit(RECORDS)
    record = back.stage.server.directory / "batches" / f"{back.stage.batch(key).provider_batch_id}.json"
    wait_until(lambda: orjson.loads(record.read_bytes())["phase"] == "in_progress", 30, "the batch to be worked on")
    back.stage.watch_until(key, State.RUNNING)
    return key


def billed(back: Back) -> dict[str, int]:
    """How often the answer to each of this stage's prompts was paid for."""
    counts = back.stage.server.witness().billed_prompts()
    return {str(n): counts[prompt_hash(back.stage.review(n) or "")] for n in range(RECORDS)}


def check_all_out_once(back: Back, family: list[Batch]) -> None:
    """Every record is out with an answer, once, and paid for once."""
    assert sum(batch.succeeded for batch in family) == RECORDS
    assert sum(batch.failed for batch in family) == 0
    out = requests_of(back.outputs(at_least=RECORDS))
    assert sorted(out.values()) == [1] * RECORDS
    assert set(billed(back).values()) == {1}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_of_a_stuck_batch_the_finished_part_is_taken_and_the_rest_asked(make_back: MakeBack, provider: str) -> None:
    back = make_back(provider, fallback="sync")
    key = submit_and_begin(back)
    road = Road(back.stage)
    assert moved(road.harvester().run_once()) == 0, "the deadline is far"
    back.stage.ahead = 50 * MINUTE
    parent, child = road.finish(back, key)
    assert (parent.succeeded, parent.carried, parent.state) == (4, 6, State.PUBLISHED)
    assert (child.mode, child.succeeded, child.state, child.retries) == ("sync", 6, State.PUBLISHED, 0)
    assert (child.provider_batch_id, child.unknown_calls) == (None, 0)
    assert child.cost_usd == child.sync_cost_usd
    assert parent.cost_usd == pytest.approx((parent.sync_cost_usd or 0) / 2)
    check_all_out_once(back, [parent, child])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_without_a_fallback_the_rest_goes_into_another_batch_once(make_back: MakeBack, provider: str) -> None:
    back = make_back(provider)
    key = submit_and_begin(back)
    back.stage.ahead = 50 * MINUTE
    parent, child = Road(back.stage).finish(back, key)
    assert (parent.carried, child.mode, child.harvested_at) == (6, "batch", None)
    assert len(back.stage.server.witness().events("cancel")) >= 1
    check_all_out_once(back, [parent, child])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_was_never_sent_is_asked(make_back: MakeBack, provider: str) -> None:
    back = make_back(provider, deadline=MINUTE, fallback="sync")
    key = back.stage.plan(RECORDS)
    creates = len(back.stage.server.witness().creates())
    assert Road(back.stage).harvester().run_once() == {"diverted": 1}
    parent, child = Road(back.stage).finish(back, key)
    assert (parent.carried, parent.succeeded, child.mode) == (RECORDS, 0, "sync")
    assert len(back.stage.server.witness().creates()) == creates
    check_all_out_once(back, [parent, child])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_create_in_doubt_is_not_asked_until_its_outcome_is_known(make_back: MakeBack, provider: str) -> None:
    back = make_back(provider, deadline=MINUTE, fallback="sync")
    key = back.stage.plan(RECORDS)
    back.stage.server.set_fault("create_accepted_response_lost", times=1)
    back.stage.server.set_fault("list_lag", seconds=0.5, times=1)
    # Sent before the harvester came by.
    assert (back.stage.submission().work(key) or back.stage.batch(key)).state is State.AMBIGUOUS
    back.stage.ahead = 2 * MINUTE
    road = Road(back.stage)
    asked = len(back.stage.server.witness().events("sync"))
    assert moved(road.harvester().run_once()) == 0
    assert road.asker().run_once() == {}
    assert back.stage.batch(key).state is State.AMBIGUOUS
    (alarm,) = [each for each in report(back.stage.store, back.stage.clock).attention if each.kind == "past-deadline"]
    assert alarm.subject == key
    assert "outcome is unknown" in alarm.message
    assert len(back.stage.server.witness().events("sync")) == asked
    family = road.finish(back, key)
    check_all_out_once(back, family)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_an_older_store_takes_for_never_sent_is_not_asked(make_back: MakeBack, provider: str) -> None:
    back = make_back(provider, deadline=MINUTE, fallback="sync")
    stage = back.stage
    key = stage.plan(RECORDS)
    older = copied(stage)
    stage.submission().work(key)
    assert stage.batch(key).state is State.SUBMITTED
    restore(stage, older)
    assert stage.batch(key).state is State.SEALED
    stage.ahead = 2 * MINUTE
    assert moved(Road(stage).harvester().run_once()) == 0
    check_all_out_once(back, Road(stage).finish(back, key))


def test_what_is_only_taken_for_ours_is_not_cancelled(make_back: MakeBack) -> None:
    back = make_back("anthropic", fallback="sync")
    back.stage.server.set_fault("stuck_in_progress", times=1, seconds=3600)
    back.stage.server.set_fault("create_accepted_response_lost", times=1)
    key = back.stage.submit(RECORDS)
    (attempt,) = back.stage.store.attempts.of(key)
    assert attempt.outcome == "adopted"
    cancelled = len(back.stage.server.witness().events("cancel"))
    back.stage.ahead = 50 * MINUTE
    assert moved(Road(back.stage).harvester().run_once()) == 0
    assert len(back.stage.server.witness().events("cancel")) == cancelled


def test_what_a_look_up_had_found_and_its_provider_gave_back_is_asked(make_back: MakeBack) -> None:
    back = make_back("anthropic", fallback="sync")
    stage = back.stage
    stage.server.set_fault("create_accepted_response_lost", times=1)
    key = stage.submit(RECORDS)
    given_back = bounced("no credit", stage.clock() + 2 * HOUR)
    stage.store.batches.apply(key, Event.BOUNCE, **given_back)
    stage.ahead = 59 * MINUTE
    assert Road(stage).harvester().run_once() == {"diverted": 1}


def test_what_there_is_no_money_for_goes_into_a_batch_and_nothing_is_lost(make_back: MakeBack) -> None:
    each = cost("openai", "gpt-5-mini", 150, answer_tokens(samples.definition().model))
    assert each is not None
    back = make_back(deadline=MINUTE, fallback="sync", fallback_max_cost=1.3 * each.sync_usd)
    key = back.stage.plan(RECORDS)
    assert Road(back.stage).harvester().run_once() == {"diverted": 1}
    family = Road(back.stage).finish(back, key)
    assert [batch.mode for batch in family] == ["batch", "sync", "batch"]
    assert family[1].carried == family[2].records > 0
    assert 0 < (family[1].cost_usd or 0) <= 1.3 * each.sync_usd
    check_all_out_once(back, family)


def test_a_batch_past_its_deadline_is_an_alarm_until_it_is_out(make_back: MakeBack) -> None:
    back = make_back(deadline=MINUTE)
    key = back.stage.submit(RECORDS)
    back.stage.ahead = 2 * MINUTE
    kinds = [alarm.kind for alarm in report(back.stage.store, back.stage.clock).attention]
    assert kinds == ["past-deadline"]
    Road(back.stage).finish(back, key)
    assert report(back.stage.store, back.stage.clock).attention == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_batch_of_mode_sync_is_asked_and_never_sent(make_back: MakeBack, provider: str) -> None:
    back = make_back(provider, deadline=None, mode="sync")
    key = back.stage.plan(RECORDS)
    assert back.stage.submission().work(key) is None
    (batch,) = Road(back.stage).finish(back, key)
    assert (batch.mode, batch.cost_usd) == ("sync", batch.sync_cost_usd)
    check_all_out_once(back, [batch])
