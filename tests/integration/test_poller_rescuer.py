"""Rescuing batches that nobody works on, at the strict fake provider."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.sandbox.provider.server import ProviderServer
from poller.accounts import Keyless
from poller.health import Watchdog
from poller.operate.status import report
from poller.watch.rescuer import Rescuer
from shared.lease import Keeper, this_process
from shared.lifecycle import State
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
