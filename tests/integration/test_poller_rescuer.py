"""Rescuing batches that nobody works on, at the strict fake provider."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.sandbox.provider.server import ProviderServer
from poller.accounts import Keyless
from poller.alarms import Kind
from poller.duty import FAULTS
from poller.health import Watchdog
from poller.operate.status import report
from poller.watch.rescuer import Rescuer
from shared.lease import Keeper, this_process
from shared.lessons import POLICY
from shared.lifecycle import Event, State
from shared.spool import REQUESTS
from shared.store import Batch
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

PROCESSING_SECONDS = 0.3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["openai", "anthropic"])
def stage(request: pytest.FixtureRequest, server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    server.clear_faults()
    made = Stage(server, tmp_path, request.param)
    yield made
    made.close()


def rescuer(stage: Stage) -> Rescuer:
    keyless = Keyless(Watchdog(stage.store, this_process()), stage.clock)
    return Rescuer(stage.store, stage.submission().work, stage.clock, keyless)


def creates_of(stage: Stage, *keys: str) -> int:
    """How many batches the provider holds for these keys, by their first request."""
    accepted = stage.server.witness().custom_ids()
    return sum(accepted[f"{key}-0"] for key in keys)


def rescued(stage: Stage, *keys: str) -> list[Batch]:
    duty = rescuer(stage)

    def all_submitted() -> list[Batch] | None:
        duty.run_once()
        batches = [stage.batch(key) for key in keys]
        return batches if all(batch.state is State.SUBMITTED for batch in batches) else None

    return wait_until(all_submitted, 60)


def test_planned_batches_are_submitted_once_without_flink(stage: Stage) -> None:
    keys = [stage.plan() for _ in range(5)]
    rescued(stage, *keys)
    assert creates_of(stage, *keys) == len(keys)
    assert rescuer(stage).run_once() == {}


def test_a_create_whose_answer_was_lost_is_found_and_not_repeated(stage: Stage) -> None:
    stage.server.set_fault("create_accepted_response_lost", times=1)
    key = stage.plan()
    rescued(stage, key)
    assert creates_of(stage, key) == 1


def test_what_a_look_up_ends_as_lost_is_no_rescue(stage: Stage) -> None:
    stage.plan()
    keyless = Keyless(Watchdog(stage.store, this_process()), stage.clock)
    duty = Rescuer(stage.store, lambda key: replace(stage.batch(key), state=State.LOST), stage.clock, keyless)
    assert duty.run_once() == {"lost": 1}


def test_a_provider_that_can_not_be_reached_is_told_as_away(stage: Stage) -> None:
    nowhere = replace(stage, model={**stage.model, "base_url": "http://127.0.0.1:9/v1"})
    watchdog, key = Watchdog(nowhere.store, this_process()), nowhere.plan()
    duty = Rescuer(nowhere.store, nowhere.submission().work, nowhere.clock, Keyless(watchdog, nowhere.clock))
    wait_until(lambda: duty.run_once() and nowhere.batch(key).state is State.HELD, 30, "the batch to be held")
    (absence,) = nowhere.store.health.all(EPOCH)
    assert absence.dependency == f"provider {nowhere.batch(key).account}"
    assert absence.message.startswith("no connection")
    assert watchdog.has_seen_away
    nowhere.close()


def test_a_provider_that_takes_a_batch_is_back(stage: Stage) -> None:
    watchdog, key = Watchdog(stage.store, this_process()), stage.plan()
    watchdog.away(f"provider {stage.batch(key).account}", "no connection")
    duty = Rescuer(stage.store, stage.submission().work, stage.clock, Keyless(watchdog, stage.clock))
    wait_until(lambda: duty.run_once() and stage.batch(key).state is State.SUBMITTED, 30, "the batch to be submitted")
    assert stage.store.health.all(EPOCH) == []


def test_a_batch_that_somebody_works_on_is_left_alone(stage: Stage) -> None:
    key = stage.plan()
    with Keeper(stage.store, "flink:1:x").hold(f"batch/{key}") as lease:
        assert lease is not None
        assert rescuer(stage).run_once() == {}
    assert stage.batch(key).state is State.SEALED


@pytest.mark.parametrize(("put", "state"), [(None, State.HELD), (Path.mkdir, State.SEALED)])
def test_one_poisoned_batch_is_set_aside_and_shown(
    stage: Stage, put: Callable[[Path], None] | None, state: State
) -> None:
    """Its requests are gone, for which an operator is asked; or can't be read, in a way that nobody foresaw."""
    bad, good = stage.plan(), stage.plan()
    for requests in stage.path("").rglob(f"{bad}/{REQUESTS}"):
        requests.unlink()
        if put:
            put(requests)
    rescued(stage, good)
    assert stage.batch(bad).state is state
    assert creates_of(stage, bad) == 0
    assert [alarm.subject for alarm in report(stage.store, stage.clock).attention] == [bad]


def test_one_that_is_poisoned_while_it_waits_for_room_is_shown_and_keeps_nobody_waiting(
    server: ProviderServer, tmp_path: Path
) -> None:
    server.clear_faults()
    stage = Stage(server, tmp_path)
    first = stage.plan()
    stage.batch_options = {"max_enqueued_tokens": (stage.batch(first).estimated_tokens or 0) * 3 // 2}
    bad, good = sorted(stage.plan() for _ in range(2))
    submission, duty = stage.submission(), rescuer(stage)
    for key in (first, bad, good):
        submission.work(key)
    assert [stage.batch(key).state for key in (first, bad, good)] == [State.SUBMITTED, State.HELD, State.HELD]
    (requests,) = stage.path("").rglob(f"{bad}/{REQUESTS}")
    requests.write_bytes(requests.read_bytes()[:-5])
    stage.store.batches.apply(first, Event.END)
    assert duty.run_once() == {FAULTS: 1}
    shown = report(stage.store, stage.clock).attention
    assert [alarm.kind for alarm in shown if alarm.subject == bad] == [Kind.UNREADABLE]
    stage.ahead += POLICY.look - timedelta(seconds=30)
    assert duty.run_once() == {FAULTS: 1}
    stage.ahead += timedelta(seconds=40)
    assert duty.run_once() == {"rescued": 1}
    assert stage.batch(good).state is State.SUBMITTED
    stage.close()
