"""A batch that is asked record by record, on bad days: throttled, failing, without money or key, killed, overtaken."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.provider.answers import prompt_hash
from deploy.sandbox.provider.server import ProviderServer
from poller.ask.journal import Head, Journal
from poller.ask.pacing import PacePolicy
from poller.duty import BUSY, moved
from poller.operate.status import report
from poller.schedule import Backoff
from poller.upkeep.janitor import Janitor
from shared.definition import BatchOptions
from shared.errors import LeaseLost
from shared.estimate import answer_tokens
from shared.lease import Keeper, this_process
from shared.lifecycle import Event, State
from shared.providers.prices import cost
from shared.spool import DECISION, REQUESTS
from shared.store import Batch
from submitter.run.tally import Counter
from tests.rig import samples
from tests.rig.asking import PACE, PASS, Road, deadline_in
from tests.rig.older import copied, restore
from tests.rig.processes import Processes
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

ROOT = Path(__file__).parents[2]
RECORDS = 12
PROVIDERS = ("openai", "anthropic")
SYNC = {"openai": "openai.chat.completions", "anthropic": "anthropic.messages"}
MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage(server: ProviderServer, tmp_path: Path) -> Iterator[MakeStage]:
    server.clear_faults()
    made: list[Stage] = []

    def make(provider: str = "openai", **options: Any) -> Stage:
        stage = Stage(server, tmp_path, provider, review=f"{tmp_path} review {{}}".format)
        stage.batch_options = {"max_retries": 0, "mode": "sync", **options}
        made.append(stage)
        return stage

    yield make
    server.clear_faults()
    for stage in made:
        stage.close()


def billed(stage: Stage) -> list[int]:
    """How often the answer to each of the stage's prompts was paid for."""
    counts = stage.server.witness().billed_prompts()
    return [counts[prompt_hash(stage.review(n) or "")] for n in range(RECORDS)]


def ask_until(road: Road, key: str, *states: State) -> Batch:
    asker = road.asker()

    def there() -> Batch | None:
        asker.run_once()
        batch = road.stage.batch(key)
        return batch if batch.state in states else None

    return wait_until(there, 60, lambda: f"{key} to be {states}, it is {road.stage.batch(key)}")


def answered(stage: Stage, key: str) -> int:
    return sum(journal_of(stage, key).tally.answered)


def journal_of(stage: Stage, key: str) -> Journal:
    return Journal(stage.spool.files, stage.spool.batch("pipe", "sentiments", key), RECORDS)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_throttled_calls_are_made_again_and_nothing_is_paid_twice(make_stage: MakeStage, provider: str) -> None:
    stage = make_stage(provider)
    stage.server.set_fault("http_429_retry_after", endpoint=SYNC[provider], times=3, retry_after=1)
    key = stage.plan(RECORDS)
    batch = ask_until(Road(stage), key, State.ENDED)
    assert (batch.unknown_calls, answered(stage, key)) == (0, RECORDS)
    assert billed(stage) == [1] * RECORDS


@pytest.mark.parametrize("provider", PROVIDERS)
def test_calls_that_an_overloaded_server_refuses_are_made_again_at_a_lower_pace(
    make_stage: MakeStage, provider: str
) -> None:
    """However often: one at a time, the same request is refused more often than a request may fail."""
    stage = make_stage(provider, fallback_max_concurrency=1)
    again = [1, *range(RECORDS + 1, RECORDS + 1 + 2 * PASS.asking.tries)]
    stage.server.set_fault("http_5xx", endpoint=SYNC[provider], status=503, nth=again, retry_after=0.1)
    key = stage.plan(RECORDS)
    batch = ask_until(Road(stage), key, State.ENDED)
    assert (batch.unknown_calls, answered(stage, key)) == (0, RECORDS)
    assert billed(stage) == [1] * RECORDS


@pytest.mark.parametrize(
    ("fault", "status"), [("http_429_retry_after", {}), ("http_5xx", {"status": 503})], ids=["429", "503"]
)
def test_a_long_retry_after_holds_the_batch_till_then(
    make_stage: MakeStage, fault: str, status: dict[str, int]
) -> None:
    stage = make_stage()
    stage.server.set_fault(fault, endpoint=SYNC["openai"], retry_after=7200, **status)
    key, road = stage.plan(RECORDS), Road(stage)
    held = ask_until(road, key, State.HELD)
    assert str(status.get("status", 429)) in (held.held_reason or "")
    assert held.held_until is not None
    assert held.held_until - stage.clock() > timedelta(minutes=110)
    assert road.paces.of(held.account, held.model).limit < PACE.first, "fewer at once"
    assert not any(billed(stage))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_circuit_opens_while_the_provider_fails_and_closes_again(make_stage: MakeStage, provider: str) -> None:
    stage = make_stage(provider)
    stage.server.set_fault("http_5xx", endpoint=SYNC[provider], status=500)
    road = Road(stage, pace=PacePolicy(first=2, trip=3, rest=Backoff(timedelta(hours=1), timedelta(hours=1))))
    key = stage.plan(RECORDS)
    held = ask_until(road, key, State.HELD)
    assert "500" in (held.held_reason or "")
    seen = stage.server.faults()[0]["seen"]
    assert 3 <= seen <= 4, "no call is made that was not under way when the circuit opened"
    road.asker().run_once()
    assert stage.server.faults()[0]["seen"] == seen, "it rests"
    stage.ahead += timedelta(hours=2)
    road.asker().run_once()
    assert stage.server.faults()[0]["seen"] == seen + 1, "one call tries"
    assert stage.batch(key).state is State.HELD
    stage.server.clear_faults()
    stage.ahead += timedelta(hours=2)
    batch = ask_until(road, key, State.ENDED)
    assert not road.paces.of(batch.account, batch.model).is_open
    assert (batch.unknown_calls, billed(stage)) == (0, [1] * RECORDS)


def test_a_request_that_fails_again_and_again_is_given_up_and_the_others_are_not(make_stage: MakeStage) -> None:
    stage = make_stage(fallback_max_concurrency=1)
    key = stage.plan(RECORDS)
    # It comes last each time: first in the queue of one, then behind all others.
    stage.server.set_fault("line_errored", endpoint=SYNC["openai"], nth=[1, RECORDS + 1, RECORDS + 2])
    batch = ask_until(Road(stage), key, State.ENDED)
    assert (batch.unknown_calls, answered(stage, key)) == (0, RECORDS)
    assert sorted(billed(stage)) == [0] + [1] * (RECORDS - 1)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_accounts_fault_holds_the_batch_and_no_record_is_lost(make_stage: MakeStage, provider: str) -> None:
    stage = make_stage(provider)
    stage.server.set_fault("bad_key", endpoint=SYNC[provider])
    key = stage.plan(RECORDS)
    held = ask_until(Road(stage), key, State.HELD)
    assert (held.held_reason or "").startswith("account: ")
    assert report(stage.store, stage.clock).attention[0].kind == "account-paused"
    stage.server.clear_faults()
    stage.ahead += timedelta(hours=1)
    ask_until(Road(stage), key, State.ENDED)
    assert billed(stage) == [1] * RECORDS


@pytest.mark.parametrize("provider", PROVIDERS)
def test_row_01_answers_that_nobody_saw_are_counted_and_told(make_stage: MakeStage, provider: str) -> None:
    stage = make_stage(provider)
    stage.server.set_fault("sync_answer_lost", times=2)
    key = stage.plan(RECORDS)
    batch = ask_until(Road(stage), key, State.ENDED)
    assert (batch.unknown_calls, answered(stage, key)) == (2, RECORDS)
    assert sorted(billed(stage)) == [1] * (RECORDS - 2) + [2, 2]
    (alarm,) = report(stage.store, stage.clock).attention
    assert (alarm.kind, alarm.subject) == ("calls-unknown", key)


def test_money_for_some_requests_asks_for_those_and_sends_the_rest_as_a_batch(make_stage: MakeStage) -> None:
    # Beforehand an answer is taken for a long one; what it really used makes room for a few more.
    each = cost("openai", "gpt-5-mini", 150, answer_tokens(samples.definition().model))
    assert each is not None
    ceiling = 1.3 * each.sync_usd
    stage = make_stage(mode="batch", fallback="sync", fallback_max_cost=ceiling)
    stage.batch_options = {**stage.batch_options, "deadline": deadline_in(stage, timedelta(minutes=1))}
    key = stage.plan(RECORDS)
    road = Road(stage)
    assert moved(road.harvester().run_once()) == 1
    child = ask_until_collected(road, key)
    batch = ask_until(road, child.batch_key, State.ENDED)
    asked = sum(journal_of(stage, batch.batch_key).tally.answered)
    assert 0 < asked < RECORDS
    assert (batch.cost_usd or 0) <= ceiling
    grandchild = ask_until_collected(road, batch.batch_key)
    assert (grandchild.mode, grandchild.records, grandchild.retries) == ("batch", RECORDS - asked, 0)
    assert moved(road.harvester().run_once()) == 0, "what came back for want of money stays a batch"
    richer = stage.definition().model_copy(update={"batch": BatchOptions(deadline=1.0, fallback="sync")})
    assert not stage.roads().may_ask(grandchild, richer), "whatever there is to spend"
    assert (stage.submission().work(grandchild.batch_key) or grandchild).state is State.SUBMITTED
    assert moved(road.harvester().run_once()) == 0, "and is left to run"


def test_two_pollers_do_not_spend_a_familys_money_side_by_side(make_stage: MakeStage) -> None:
    each = cost("openai", "gpt-5-mini", 150, answer_tokens(samples.definition().model))
    assert each is not None
    ceiling = 1.3 * each.sync_usd
    stage = make_stage(mode="batch", fallback="sync", fallback_max_cost=ceiling)
    stage.review = "review {:03}".format
    # A child's keys are longer than its parent's: what just fits becomes two.
    options = {
        "max_bytes": stage.batch(stage.plan(RECORDS)).bytes,
        "deadline": deadline_in(stage, timedelta(minutes=1)),
    }
    stage.batch_options = {**stage.batch_options, **options}
    key, road = stage.plan(RECORDS), Road(stage)
    road.harvester().run_once()
    road.collector().run_once()
    children = [batch.batch_key for batch in stage.store.batches.rows(parent=key, mode="sync")]
    assert len(children) == 2
    stage.server.set_fault("slow_response", endpoint=SYNC["openai"], nth=[1], seconds=4.0)
    running = threading.Thread(target=road.asker().run_once)
    running.start()
    wait_until(lambda: any(journal_of(stage, child).tally.under_way for child in children), 30, "a call under way")
    assert Road(stage).asker().run_once() == {BUSY: 1}
    running.join(30)
    asked = [ask_until(road, child, State.ENDED) for child in children]
    assert 0 < sum(batch.cost_usd or 0 for batch in asked) <= ceiling


def ask_until_collected(road: Road, key: str) -> Batch:
    """Collect a batch; the one child that it has then."""
    road.collector().run_once()
    assert road.stage.batch(key).state is State.COLLECTED
    (child,) = road.stage.store.batches.rows(parent=key)
    return child


def test_a_stretch_ends_in_time_and_the_next_one_goes_on(make_stage: MakeStage) -> None:
    stage = make_stage(fallback_max_concurrency=2)
    stage.server.set_fault("slow_response", endpoint=SYNC["openai"], seconds=0.2)
    key = stage.plan(RECORDS)
    how = PASS.__class__(stretch=0.3, budget=0.3, asking=PASS.asking)
    road = Road(stage, how)

    def one_pass() -> int:
        # A whole pass has so much time, and the first one may spend it on loading the SDK.
        assert moved(road.asker().run_once()) == 0, "a single pass would not come back for it"
        return answered(stage, key)

    assert wait_until(one_pass, 30, "the first answers") < RECORDS
    assert stage.batch(key).state is State.RUNNING
    ask_until(Road(stage), key, State.ENDED)
    assert billed(stage) == [1] * RECORDS


def test_a_stop_waits_for_what_is_under_way(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.server.set_fault("slow_response", endpoint=SYNC["openai"], seconds=3.0)
    key, stop = stage.plan(RECORDS), threading.Event()
    asker = Road(stage).asker(stop)
    running = threading.Thread(target=asker.run_once)
    running.start()
    wait_until(lambda: journal_of(stage, key).tally.under_way, 30, "calls to be under way")
    stop.set()
    running.join(30)
    tally = journal_of(stage, key).tally
    assert (tally.under_way, tally.unknown) == (set(), [])
    assert 0 < sum(tally.answered) < RECORDS


def test_a_bounded_job_does_not_wait_for_what_the_poller_asks(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.plan(RECORDS)
    tally = Counter(stage.store, stage.spool, "pipe", ("sentiments",)).tally()
    assert (tally.files, tally.open, tally.settled) == (1, 0, True)


def test_a_batch_that_can_not_be_asked_is_held_and_says_why(make_stage: MakeStage) -> None:
    stage = make_stage()
    key = stage.plan(RECORDS)
    requests = stage.folder / "spool" / stage.spool.batch("pipe", "sentiments", key) / REQUESTS
    kept = requests.read_bytes()
    requests.unlink()
    held = ask_until(Road(stage), key, State.HELD)
    assert "it can't be asked" in (held.held_reason or "")
    requests.write_bytes(kept)
    stage.ahead += timedelta(minutes=2)
    ask_until(Road(stage), key, State.ENDED)
    assert billed(stage) == [1] * RECORDS


def collected(road: Road, key: str) -> None:
    wait_until(lambda: road.collector().run_once() and road.stage.batch(key).state is State.COLLECTED, 30)


def delete(stage: Stage, key: str) -> None:
    """Take all of it as published, and delete its data when they are old enough."""
    stage.store.batches.tally(key, succeeded=RECORDS, failed=0)
    stage.store.batches.apply(key, Event.PUBLISH)
    stage.ahead = timedelta(days=8)
    keeper, provider_of = Keeper(stage.store, this_process()), stage.models().provider_of
    janitor = Janitor(stage.store, stage.spool, provider_of, keeper, stage.clock, retention=timedelta(days=7))
    assert janitor.run_once() == {"deleted": 1}


@pytest.mark.parametrize("known", [State.SEALED, State.RUNNING])
def test_what_is_out_and_deleted_is_not_asked_by_an_older_copy_of_the_store(
    make_stage: MakeStage, known: State
) -> None:
    stage = make_stage()
    key = stage.plan(RECORDS)
    if known is State.RUNNING:
        stage.store.batches.apply(key, Event.ASK)
    older = copied(stage)
    road = Road(stage)
    ask_until(road, key, State.ENDED)
    collected(road, key)
    delete(stage, key)
    restore(stage, older)
    assert stage.batch(key).state is known
    ask_until(road, key, State.ENDED)
    collected(road, key)
    assert billed(stage) == [1] * RECORDS


@pytest.mark.parametrize("is_deleted", [False, True], ids=["collected", "out and deleted"])
def test_an_older_copy_of_the_store_learns_again_of_answers_that_nobody_saw(
    make_stage: MakeStage, is_deleted: bool
) -> None:
    stage = make_stage()
    stage.server.set_fault("sync_answer_lost", times=2)
    key = stage.plan(RECORDS)
    older, road = copied(stage), Road(stage)
    ask_until(road, key, State.ENDED)
    collected(road, key)
    if is_deleted:
        delete(stage, key)
    restore(stage, older)
    assert stage.batch(key).unknown_calls == 0
    ask_until(road, key, State.ENDED)
    collected(road, key)
    assert stage.batch(key).unknown_calls == 2
    assert sorted(billed(stage)) == [1] * (RECORDS - 2) + [2, 2]


def test_a_decision_of_an_earlier_version_does_not_set_back_how_many_answers_nobody_saw(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.server.set_fault("sync_answer_lost", times=2)
    key, road = stage.plan(RECORDS), Road(stage)
    ask_until(road, key, State.ENDED)
    older = copied(stage)
    collected(road, key)
    decision = stage.path(f"{stage.spool.batch('pipe', 'sentiments', key)}/{DECISION}")
    known = json.loads(decision.read_bytes())
    assert known.pop("unknown_calls") == 2
    decision.write_text(json.dumps(known))
    restore(stage, older)
    collected(road, key)
    assert stage.batch(key).unknown_calls == 2


def test_whoever_was_overtaken_makes_no_call_more(make_stage: MakeStage) -> None:
    stage = make_stage()
    key = stage.plan(RECORDS)
    slow, quick = journal_of(stage, key), journal_of(stage, key)
    quick.write(Head())
    with pytest.raises(LeaseLost, match="somebody else"):
        slow.write(Head(intended=(0,)))
    assert journal_of(stage, key).tally.under_way == set()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_after_a_kill_only_what_was_under_way_may_be_paid_twice(
    make_stage: MakeStage, processes: Processes, provider: str
) -> None:
    """The killed process has paid for calls whose answers it never saw: they are counted, and no more are."""
    most = 3
    stage = make_stage(provider, fallback_max_concurrency=most)
    stage.server.set_fault("sync_answer_lost", endpoint=SYNC[provider], after=4, hang=60.0)
    key = stage.plan(RECORDS)
    before = len(stage.server.witness().events("sync"))
    child = processes.start(
        "asker", [sys.executable, "-m", "tests.rig.asking", str(stage.folder)], env=dict(ENVIRON), cwd=ROOT
    )
    wait_until(
        lambda: len(stage.server.witness().events("sync")) - before == 4 + most and answered(stage, key) == 4,
        60,
        "four answers to be kept, and as many calls as may be to hang",
    )
    child.kill()
    child.wait(10)
    stage.server.clear_faults()
    batch = ask_until(Road(stage), key, State.ENDED)
    assert (batch.unknown_calls, answered(stage, key)) == (most, RECORDS)
    assert sorted(billed(stage)) == [1] * (RECORDS - most) + [2] * most
    assert [alarm.kind for alarm in report(stage.store, stage.clock).attention] == ["calls-unknown"]
