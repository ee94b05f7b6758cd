"""Rows 10, 12 and 15: batches that stand still, calls that fail, one poisoned batch among others."""

from datetime import timedelta
from typing import Any

import pytest

from deploy.sandbox.provider.server import ProviderServer
from poller.alarms import Kind
from shared.lifecycle import State
from shared.store import Batch
from tests.faults.road import DAY, HOUR, RECORDS, MakeRoad, Road
from tests.rig.waiting import wait_until


def stuck(road: Road, fault: str) -> None:
    """Stand still until the deadline has been said; then go on."""
    road.fault(fault, seconds=2 * DAY.total_seconds())
    key = road.stage.submit(RECORDS)
    watcher, collector = road.stage.watcher(), road.back.collector()

    def stands() -> Batch | None:
        watcher.run_once()
        batch = road.stage.batch(key)
        return batch if batch.remote_status == fault.removeprefix("stuck_") else None

    running = wait_until(stands, 30, f"{key} to be seen where it is {fault}")
    assert road.status().healthy
    road.stage.ahead = timedelta(hours=27) if fault == "stuck_in_progress" else timedelta(hours=4)
    watcher.run_once()
    assert collector.run_once() == {}, "nothing is downloaded early"
    assert road.stage.batch(key).state is running.state
    (alarm,) = [alarm for alarm in road.status().attention if alarm.kind == Kind.OVERDUE]
    assert alarm.subject == key
    road.server.advance(2 * DAY.total_seconds())
    road.check(road.back.finish(key))


@pytest.mark.parametrize("fault", ["stuck_validating", "stuck_finalizing"])
def test_row_10_stuck_in_a_short_state(make_road: MakeRoad, own_server: ProviderServer, fault: str) -> None:
    """A deadline of our own, an alarm, no early download; it is waited for all the same."""
    stuck(make_road(own_server, "openai"), fault)


def test_row_10_all_is_done_and_it_does_not_end(make_road: MakeRoad, own_server: ProviderServer, provider: str) -> None:
    stuck(make_road(own_server, provider), "stuck_in_progress")


def test_row_10_an_unknown_status_is_running_with_a_warning(
    make_road: MakeRoad, own_server: ProviderServer, provider: str
) -> None:
    road = make_road(own_server, provider)
    road.fault("unknown_status", seconds=HOUR.total_seconds())
    key = road.stage.submit(RECORDS)
    running = road.stage.watch_until(key, State.RUNNING)
    assert (running.remote_status, running.error) == ("paused", "unknown status 'paused'")
    assert [alarm.kind for alarm in road.status().attention] == [Kind.UNREADABLE]
    road.server.advance(HOUR.total_seconds())
    road.check(road.back.finish(key))


CALLS = {
    "openai": ("files.create", "batches.create", "batches.retrieve", "files.content"),
    "anthropic": ("batches.create", "batches.retrieve", "batches.results"),
}


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("http_429_retry_after", {"retry_after": 1}),
        ("http_5xx", {"status": 503, "retry_after": 1}),
        ("http_5xx", {"status": 500}),
        ("http_5xx", {"status": 529}),
    ],
    ids=["429", "503", "500", "529"],
)
def test_row_12_every_call_fails_once(road: Road, fault: str, options: dict[str, Any]) -> None:
    """Whatever fails is tried again; a create of which nobody knows is looked up, and made once."""
    for call in CALLS[road.stage.provider]:
        road.fault(fault, endpoint=f"{road.stage.provider}.{call}", **options)
    family = road.bring()
    assert all(rule["struck"] == 1 for rule in road.server.faults()), road.server.faults()
    road.check(family)
    accepted = road.server.witness().custom_ids()
    assert accepted[f"{family[0].batch_key}-0"] == 1


def test_row_12_answers_that_come_slowly(road: Road) -> None:
    road.fault("slow_response", times=8, seconds=0.2)
    road.check(road.bring())


def test_row_12_a_long_retry_after_is_honoured(road: Road) -> None:
    """By a create, for its batch; by a look, for the whole account."""
    road.fault("http_429_retry_after", retry_after=7200, endpoint="*.batches.create")
    key = road.stage.plan(RECORDS)
    held = road.stage.submission().work(key)
    assert held is not None
    assert held.held_until is not None
    assert timedelta(hours=1.9) < held.held_until - road.stage.clock() <= timedelta(hours=2)
    assert road.stage.store.batches.due((State.HELD,), road.stage.clock(), 9) == []
    road.stage.ahead = timedelta(hours=2)
    road.check(road.back.finish(key))


def test_row_12_an_answer_that_comes_too_late(make_road: MakeRoad, server: ProviderServer, provider: str) -> None:
    """A create that outlasts its time-out may have been accepted: it is looked up."""
    road = make_road(server, provider, batch_options={"request_timeout": 3.0})
    road.fault("create_accepted_response_lost", hang=6.0)
    family = road.bring()
    road.check(family)
    assert "adopted" in {attempt.outcome for attempt in road.stage.store.attempts.of(family[0].batch_key)}


def test_row_15_one_poisoned_batch_is_isolated(road: Road) -> None:
    """The others' cycle goes on, to the topic; the poisoned one is shown, and follows when it is mended."""
    keys = [road.stage.submit(RECORDS) for _ in range(2)]
    road.fault("poisoned_batch", times=None, resource=road.stage.batch(keys[0]).provider_batch_id)
    assert [batch.state for batch in road.back.finish(keys[1])] == [State.PUBLISHED]
    assert len(road.outputs()) == RECORDS
    assert road.stage.batch(keys[0]).state is not State.PUBLISHED
    assert (Kind.UNREADABLE, keys[0]) in {(alarm.kind, alarm.subject) for alarm in road.status().attention}
    road.server.clear_faults()
    assert [batch.state for batch in road.back.finish(keys[0])] == [State.PUBLISHED]
    assert len(road.outputs(2 * RECORDS)) == 2 * RECORDS
    assert set(road.billed(2 * RECORDS).values()) == {1}
