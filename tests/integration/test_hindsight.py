"""A store restored from an older copy takes batches for unsent; the spool knows better, even without their data."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.operate.resolving import Resolving
from poller.operate.status import report
from poller.upkeep.janitor import Janitor
from shared.lease import Keeper, this_process
from shared.lifecycle import State
from shared.spool import REQUESTS
from shared.store import Batch
from tests.rig.fixtures import MakeTopic
from tests.rig.older import copied, restore
from tests.rig.results import SINK_TOPIC, Back, sink
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

WEEK = timedelta(days=7)
PROVIDERS = ("openai", "anthropic")
MakeBack = Callable[..., Back]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path / "provider", processing_seconds=0.1) as running:
        yield running


@pytest.fixture(params=PROVIDERS)
def stage(request: pytest.FixtureRequest, server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def make_back(server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Iterator[MakeBack]:
    made: list[Stage] = []

    def make(provider: str = "openai", **values: Any) -> Back:
        topic = make_topic("sentiments", SINK_TOPIC)
        made.append(Stage(server, tmp_path, provider, sink(broker, topic), **values))
        return Back(made[-1], broker, f"progress-{topic}")

    yield make
    for stage in made:
        stage.close()


def folder_of(stage: Stage, key: str) -> str:
    return stage.spool.batch("pipe", "sentiments", key)


def delete_requests(stage: Stage, key: str) -> None:
    stage.spool.files.delete(f"{folder_of(stage, key)}/{REQUESTS}")


def work_until(stage: Stage, key: str, state: State) -> Batch:
    submission = stage.submission()

    def there() -> Batch | None:
        submission.work(key)
        batch = stage.batch(key)
        return batch if batch.state is state else None

    return wait_until(there, 30, lambda: f"{key} to be {state}, it is {stage.batch(key)}")


def test_what_was_accepted_is_adopted_without_its_requests(stage: Stage) -> None:
    key = stage.plan()
    older = copied(stage)
    accepted = work_until(stage, key, State.SUBMITTED)
    delete_requests(stage, key)
    restore(stage, older)
    assert stage.batch(key).state is State.SEALED
    stage.submission().work(key)
    batch = stage.batch(key)
    assert (batch.state, batch.provider_batch_id) == (State.SUBMITTED, accepted.provider_batch_id)
    assert batch.submitted_at == accepted.submitted_at
    (attempt,) = stage.store.attempts.of(key)
    assert (attempt.outcome, attempt.attempt) == ("accepted", 1)
    assert stage.server.witness().custom_ids()[f"{key}-0"] == 1
    assert len(stage.server.witness().events("upload")) == (1 if stage.provider == "openai" else 0)


def test_what_nobody_knows_to_be_sent_waits_for_an_operator_when_its_requests_are_gone(stage: Stage) -> None:
    key = stage.plan()
    stage.spool.settle(stage.batch(key).attempt_folder or "", "pipe", "sentiments", key)
    delete_requests(stage, key)
    stage.submission().work(key)
    batch = stage.batch(key)
    assert (batch.state, batch.error) == (State.HELD, None)
    assert (batch.held_reason or "").startswith("an operator must decide: ")
    assert f"{key}/{REQUESTS} is gone" in (batch.held_reason or "")
    assert [each.kind for each in report(stage.store, stage.clock).attention] == ["decision"]
    assert stage.store.batches.due((State.HELD,), stage.clock(), 10) == []
    Resolving(stage.store, Keeper(stage.store, this_process()), stage.clock).fail(key)
    assert Back(stage, None, "progress").collector().run_once() == {"collected": 1}  # type: ignore[arg-type]  # no broker is needed


def test_what_may_have_been_sent_is_looked_up_without_its_requests(stage: Stage) -> None:
    stage.server.set_fault("create_accepted_response_lost", times=1)
    key = stage.plan()
    older = copied(stage)
    work_until(stage, key, State.AMBIGUOUS)
    delete_requests(stage, key)
    restore(stage, older)
    batch = work_until(stage, key, State.SUBMITTED)
    assert [event["batch"] for event in stage.server.witness().creates()] == [batch.provider_batch_id]


def test_what_is_out_and_deleted_is_neither_sent_nor_published_again(make_back: MakeBack) -> None:
    back = make_back()
    stage = back.stage
    key = stage.plan()
    older = copied(stage)
    back.finish(key)
    stage.ahead = WEEK + timedelta(hours=1)
    keeper = Keeper(stage.store, this_process())
    janitor = Janitor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock, retention=WEEK)
    assert janitor.run_once() == {"deleted": 1}
    restore(stage, older)
    (batch,) = back.finish(key)
    assert (batch.state, batch.succeeded) == (State.PUBLISHED, 3)
    assert len(back.outputs()) == 3
    assert stage.server.witness().custom_ids()[f"{key}-0"] == 1


@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_was_refused_as_such_is_not_sent_again(make_back: MakeBack, is_deleted: bool) -> None:
    back = make_back()
    stage = back.stage
    stage.server.set_fault("bad_line_fails_batch", numbers=[1], code="model_not_found", times=1)
    key = stage.plan()
    older = copied(stage)
    (batch,) = back.finish(key)
    assert (batch.state, batch.failed) == (State.FAILED, 3)
    if is_deleted:
        delete_requests(stage, key)
    for receipt in stage.spool.files.entries(folder_of(stage, key), "receipt-"):
        stage.spool.files.delete(receipt.address)
    restore(stage, older)
    (batch,) = back.finish(key)
    assert (batch.state, batch.failed) == (State.FAILED, 3)
    assert len(stage.server.witness().creates()) == 1
    assert len(back.outputs(at_least=3)) == 3
