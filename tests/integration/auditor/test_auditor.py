"""A create that shows after its quarantine, the residual of every look-up: found, and nothing else taken for one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.provider import ProviderServer
from poller.operate.status import report
from shared.definition import Model
from shared.errors import LeaseLost
from shared.lifecycle import State
from shared.providers.port import Outgoing, Provider, RemoteBatch
from shared.store import Whose
from shared.submission import Submission
from tests.rig.auditing import (
    HIDDEN,
    auditor,
    bill,
    cancelled,
    collected,
    creates,
    follow_to_its_end,
    strays,
    submitted,
    told,
    twice,
)
from tests.rig.results import Back
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until


def test_a_create_whose_look_up_found_the_former_one_instead_is_followed(stage: Stage) -> None:
    """Both answers were lost. The first create shows while the second is looked up, and the second much later."""
    stage.server.set_fault("create_accepted_response_lost", times=2)
    stage.server.set_fault("list_lag", times=1, seconds=HIDDEN)
    stage.server.set_fault("list_lag", times=1, seconds=3 * HIDDEN)
    key, submission, audit = stage.plan(), stage.submission(), auditor(stage)

    def is_in_doubt_again() -> bool:
        submission.work(key)
        return len(creates(stage)) == 2

    wait_until(is_in_doubt_again, 30, "a second create")
    stage.server.advance(HIDDEN)
    first, second = creates(stage)
    submitted(stage, key)
    assert stage.batch(key).provider_batch_id == first
    stage.server.advance(2 * HIDDEN)
    audit.run_once()
    assert [stray.provider_batch_id for stray in strays(stage)] == [second]
    collected(stage, key)
    follow_to_its_end(stage, audit)
    (stray,) = strays(stage)
    assert (stray.whose, stray.batch_key) == (Whose.OURS, key)
    assert (stray.input_tokens, stray.output_tokens) == bill(stage, second)


def test_a_later_create_that_is_not_recorded_yet_is_left_alone(stage: Stage) -> None:
    """The first one was counted as absent; of the second the answer was lost as well, and it is still looked up."""
    stage.server.set_fault("create_accepted_response_lost", times=2)
    stage.server.set_fault("list_lag", times=1, seconds=HIDDEN)
    key, submission, audit = stage.plan(), stage.submission(), auditor(stage)

    def is_in_doubt_again() -> bool:
        submission.work(key)
        return len(creates(stage)) == 2

    wait_until(is_in_doubt_again, 30, "a second create")
    assert stage.batch(key).state is State.AMBIGUOUS
    audit.run_once()
    assert (strays(stage), cancelled(stage)) == ([], [])
    submitted(stage, key)
    assert stage.batch(key).provider_batch_id == creates(stage)[1]


def test_a_create_that_showed_late_is_found_told_and_counted_with_its_cost(stage: Stage) -> None:
    key, audit = twice(stage), auditor(stage)
    first, second = creates(stage)
    assert audit.run_once() == {"checked": 1}, "what is hidden can't be found yet"
    stage.server.advance(HIDDEN)
    assert audit.run_once()["strays"] == 1
    (stray,) = strays(stage)
    assert (stray.provider_batch_id, stray.batch_key) == (first, key)
    assert stage.batch(key).provider_batch_id == second, "the recorded one is kept"
    # Without metadata nothing of a batch that has not ended says whose it is.
    assert (cancelled(stage), stray.whose) == (
        ([first], Whose.OURS) if stage.provider == "openai" else ([], Whose.UNKNOWN)
    )
    assert len(told(stage)) == 1
    follow_to_its_end(stage, audit)
    (stray,) = strays(stage)
    tokens = bill(stage, first)
    assert (stray.whose, (stray.input_tokens, stray.output_tokens)) == (Whose.OURS, tokens)
    if stage.provider == "anthropic":
        assert min(tokens) > 0, "it ran to its end"
    (row,) = report(stage.store, stage.clock).duplicates
    assert (row["provider_batch_id"], row["cost_usd"] is not None) == (first, True)
    assert stage.store.status.pipelines()[0]["duplicate_cost_usd"] == row["cost_usd"]
    assert "it cost $" in told(stage)[0]
    assert audit.run_once() == {"checked": 1}, "there is nothing more to learn"


def test_a_clock_that_is_far_ahead_hides_no_stray(server: ProviderServer, tmp_path: Path) -> None:
    """By that clock it came into being long before its create was sent."""
    stage = Stage(server, tmp_path, ahead=timedelta(hours=1))
    twice(stage)
    stage.server.advance(HIDDEN)
    auditor(stage).run_once()
    assert [stray.provider_batch_id for stray in strays(stage)] == creates(stage)[:1]
    stage.close()


def test_the_only_create_of_another_key_in_the_same_workspace_is_left_alone(anthropic: Stage) -> None:
    anthropic.environ["OTHER_KEY"] = ENVIRON["ANTHROPIC_API_KEY"]
    # By the provider's clock it came into being within the quarantine of the first one.
    anthropic.ahead = timedelta(minutes=1)
    anthropic.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    key, submission = anthropic.plan(), anthropic.submission()

    def is_given_up() -> bool:
        submission.work(key)
        return anthropic.batch(key).state is State.HELD

    wait_until(is_given_up, 30, "the quarantine to be over")
    anthropic.model = {"api_key": "OTHER_KEY"}
    anthropic.submit()
    audit = auditor(anthropic, "ANTHROPIC_API_KEY", "OTHER_KEY")
    assert (audit.run_once(), strays(anthropic), cancelled(anthropic)) == ({"checked": 1}, [], [])


@dataclass
class Slow:
    """A provider to which a create takes long: something happens before its last byte is out."""

    real: Provider
    meanwhile: Callable[[], object]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def create(self, batch: Outgoing, input_file_id: str | None) -> RemoteBatch:
        self.meanwhile()
        return self.real.create(batch, input_file_id)


def test_a_create_that_was_accepted_after_another_had_given_it_up_is_known_by_its_receipt(anthropic: Stage) -> None:
    """Its process was cut off from the store, while its body went out."""
    key, other, models = anthropic.plan(), anthropic.submission(), anthropic.models()

    def is_made_again() -> bool:
        anthropic.ahead += timedelta(minutes=1)
        anthropic.server.advance(60)
        other.work(key)
        return anthropic.batch(key).state is State.SUBMITTED

    def provider_for(model: Model) -> Any:
        return Slow(models.provider_for(model), lambda: wait_until(is_made_again, 30, "another create"))

    slow = Submission(
        anthropic.store, anthropic.spool, provider_for, anthropic.clock, "slow", quarantine=timedelta(seconds=1)
    )
    with pytest.raises(LeaseLost):
        slow.work(key)
    second, first = creates(anthropic)
    assert anthropic.batch(key).provider_batch_id == second
    audit = auditor(anthropic)
    assert audit.run_once()["strays"] == 1
    collected(anthropic, key)
    follow_to_its_end(anthropic, audit)
    (row,) = report(anthropic.store, anthropic.clock).duplicates
    assert (row["provider_batch_id"], row["batch_key"]) == (first, key)
    assert row["cost_usd"], "it ran to its end"


def test_what_was_disowned_because_it_was_gone_is_counted_when_it_comes_back(anthropic: Stage) -> None:
    """A provider denied a batch of ours for hours; when it did not run any more, its requests went on in a child."""
    anthropic.server.set_fault("create_accepted_response_lost", times=1)
    key, audit = submitted(anthropic, anthropic.plan()), auditor(anthropic)
    anthropic.server.set_fault("known_batch_404", endpoint="anthropic.batches.retrieve")
    anthropic.watcher().run_once()
    anthropic.ahead = timedelta(hours=2)
    anthropic.watcher().run_once()
    assert anthropic.batch(key).state is State.AMBIGUOUS
    submission, began = anthropic.submission(), anthropic.clock()

    def is_past_the_quarantine() -> bool:
        submission.work(key)
        return anthropic.clock() - began > timedelta(seconds=3)

    wait_until(is_past_the_quarantine, 30, "three quarantines")
    assert anthropic.batch(key).state is State.AMBIGUOUS, "it is listed, and runs"
    anthropic.server.advance(3 * HIDDEN)
    submitted(anthropic, key, State.LOST)
    anthropic.server.clear_faults()
    assert Back(anthropic, None, "progress").collector().run_once() == {"collected": 1}  # type: ignore[arg-type]  # it asks no broker
    assert audit.run_once()["strays"] == 1
    follow_to_its_end(anthropic, audit)
    (row,) = report(anthropic.store, anthropic.clock).duplicates
    assert [(row["provider_batch_id"], row["batch_key"])] == [(created, key) for created in creates(anthropic)]
