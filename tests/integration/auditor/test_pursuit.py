"""Whose a stray is, its end and its cost; and what is another's, or may be wanted still, is left alone."""

import errno
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from poller.operate.status import report
from poller.upkeep.auditor import Auditor
from shared.errors import NotFound
from shared.lease import Keeper, this_process
from shared.lifecycle import Event, State
from shared.providers.port import Provider, RemoteBatch
from shared.store import Batch, Whose
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
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

MONTH = timedelta(days=30)


@dataclass
class Overfull:
    """A provider of whose batches one has results for which the disk has no room."""

    real: Provider
    batch: str

    def download(self, batch: RemoteBatch, into: Path) -> list[Path]:
        if batch.id == self.batch:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.real.download(batch, into)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_a_stray_whose_results_the_disk_has_no_room_for_keeps_no_other(stage: Stage) -> None:
    twice(stage), twice(stage)
    first, _, second, _ = creates(stage)
    models = stage.models()

    def provider_of(batch: Batch) -> Any:
        return Overfull(models.provider_of(batch), first)

    audit = Auditor(stage.store, stage.spool, provider_of, Keeper(stage.store, this_process()), stage.clock)
    stage.server.advance(HIDDEN)
    audit.run_once()
    assert {stray.provider_batch_id for stray in strays(stage)} == {first, second}
    stage.server.advance(3 * HIDDEN)

    def is_settled() -> bool:
        audit.run_once()
        return [stray.provider_batch_id for stray in stage.store.strays.open()] == [first]

    wait_until(is_settled, 30, lambda: f"the other one to be settled: {stage.store.strays.open()}")


@dataclass
class Noting:
    """A provider that notes where downloads go."""

    real: Provider
    folders: list[Path]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def download(self, batch: RemoteBatch, into: Path) -> list[Path]:
        self.folders.append(into)
        return self.real.download(batch, into)


def test_what_it_downloads_is_deleted_and_found_by_others_where_it_is_killed(stage: Stage) -> None:
    twice(stage)
    models, folders = stage.models(), list[Path]()
    keeper = Keeper(stage.store, this_process())
    audit = Auditor(
        stage.store, stage.spool, lambda batch: Noting(models.provider_of(batch), folders), keeper, stage.clock
    )
    stage.server.advance(HIDDEN)
    audit.run_once()
    follow_to_its_end(stage, audit)
    assert folders
    for folder in folders:
        assert not folder.exists()
        assert (folder.parents[1] / "lock").exists(), "whoever finds it unlocked removes it"


def test_another_user_s_batch_of_the_same_size_is_left_alone_and_forgotten(anthropic: Stage) -> None:
    anthropic.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    key = anthropic.plan()
    anthropic.submission().work(key)
    anthropic.server.set_fault("list_lag", times=1, seconds=HIDDEN)
    stranger = Stage(anthropic.server, anthropic.folder / "stranger", "anthropic")
    foreign = stranger.batch(stranger.submit()).provider_batch_id
    stranger.close()
    submitted(anthropic, key)
    anthropic.server.advance(HIDDEN)
    audit = auditor(anthropic)
    assert audit.run_once()["strays"] == 1
    assert [stray.provider_batch_id for stray in strays(anthropic)] == [foreign]
    follow_to_its_end(anthropic, audit)
    assert cancelled(anthropic) == []
    assert (strays(anthropic), told(anthropic)) == ([], [])
    assert report(anthropic.store, anthropic.clock).duplicates == []


def test_in_a_workspace_of_its_own_it_is_cancelled_at_once(anthropic: Stage) -> None:
    twice(anthropic)
    first, _ = creates(anthropic)
    anthropic.server.advance(HIDDEN)
    assert auditor(anthropic, "ANOTHER_KEY").run_once() == {"strays": 1, "checked": 1}
    assert cancelled(anthropic) == []
    audit = auditor(anthropic, "ANTHROPIC_API_KEY")
    assert audit.run_once() == {"checked": 1, "followed": 1}
    assert cancelled(anthropic) == [first]
    follow_to_its_end(anthropic, audit)
    (stray,) = strays(anthropic)
    assert (stray.whose, stray.batch_key) == (Whose.OURS, anthropic.store.batches.rows()[0].batch_key)
    assert (stray.input_tokens, stray.output_tokens) == bill(anthropic, first)


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "OTHER_KEY"])
def test_what_an_open_look_up_may_want_is_not_cancelled(anthropic: Stage, name: str) -> None:
    """A batch of this size is being looked up: what the auditor found may be what that look-up waits for."""
    key = twice(anthropic)
    first, _ = creates(anthropic)
    anthropic.environ["OTHER_KEY"] = ENVIRON["ANTHROPIC_API_KEY"]
    anthropic.model = {"api_key": name}
    anthropic.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    other = anthropic.plan()
    anthropic.submission().work(other)
    assert anthropic.batch(other).state is State.AMBIGUOUS
    anthropic.server.advance(HIDDEN)
    audit = auditor(anthropic, "ANTHROPIC_API_KEY")
    audit.run_once()
    assert [stray.provider_batch_id for stray in strays(anthropic)] == [first]
    assert cancelled(anthropic) == []
    submitted(anthropic, other)
    assert anthropic.batch(other).provider_batch_id == first, "as far as anybody knows"
    audit.run_once()
    assert cancelled(anthropic) == [], "a look-up has adopted it, and its results will tell"
    assert anthropic.batch(key).provider_batch_id != first


def taken_for_another_s(stage: Stage) -> tuple[str, str, str]:
    """Two creates that were noted as one batch's, by its size and the time of its quarantine, and have both ended.

    The first one is; the second is the only create of a batch that is still being looked up. That batch's key, both.
    """
    twice(stage)
    first, _ = creates(stage)
    other = stage.store.batches.rows()[0]
    stage.server.set_fault("create_accepted_response_lost", times=1)
    key = stage.plan()
    stage.submission().work(key)
    assert stage.batch(key).state is State.AMBIGUOUS
    only = creates(stage)[-1]
    for remote in (first, only):
        stage.store.strays.note(other.batch_key, other.account, remote, whose=Whose.UNKNOWN)
    return key, first, only


def follow_but(stage: Stage, audit: Auditor, left: str) -> None:
    """Let the provider finish everything, and the auditor settle all strays but one."""
    stage.server.advance(3 * HIDDEN)

    def are_settled() -> bool:
        audit.run_once()
        return [stray.provider_batch_id for stray in stage.store.strays.open()] == [left]

    wait_until(are_settled, 30, lambda: f"all but {left} to be settled: {stage.store.strays.open()}")


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["followed", "cancelled, as the workspace is ours"])
def test_a_batch_s_only_create_is_no_duplicate_while_its_own_look_up_seeks_it(
    anthropic: Stage, is_cancelled: bool
) -> None:
    key, first, only = taken_for_another_s(anthropic)
    if is_cancelled:
        anthropic.models().provider_of(anthropic.batch(key)).cancel(only)
        anthropic.store.strays.cancelled(only)
    audit = auditor(anthropic)
    follow_but(anthropic, audit, only)
    submitted(anthropic, key)
    assert anthropic.batch(key).provider_batch_id == only, "the former one was proved to be another's"
    audit.run_once()
    assert [stray.provider_batch_id for stray in anthropic.store.strays.open()] == [only]
    collected(anthropic, key)
    follow_to_its_end(anthropic, audit)
    assert len(creates(anthropic)) == 3, "and nothing was sent again"
    duplicates = report(anthropic.store, anthropic.clock).duplicates
    assert [row["provider_batch_id"] for row in duplicates] == [first]


def test_results_of_a_create_whose_batch_is_held_are_read_once(anthropic: Stage) -> None:
    key, _, only = taken_for_another_s(anthropic)
    attempt = anthropic.store.attempts.of(key)[0].attempt
    lease = anthropic.store.leases.acquire(f"batch/{key}", this_process(), timedelta(hours=1))
    anthropic.store.attempts.resolve(key, attempt, lease, Event.HOLD, held_reason="an operator must decide")
    models, folders = anthropic.models(), list[Path]()
    keeper = Keeper(anthropic.store, this_process())
    audit = Auditor(
        anthropic.store,
        anthropic.spool,
        lambda batch: Noting(models.provider_of(batch), folders),
        keeper,
        anthropic.clock,
    )
    follow_but(anthropic, audit, only)
    read = len(folders)
    assert audit.run_once() == audit.run_once() == {"checked": 2}
    assert len(folders) == read
    assert [stray.batch_key for stray in anthropic.store.strays.open()] == [key]


@dataclass
class Emptied:
    """A provider whose batches stay when the files of their results are deleted."""

    real: Provider

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def download(self, *_: object) -> list[Path]:
        raise NotFound("No such File object")


def test_what_never_shows_its_results_is_given_up_when_they_are_deleted(stage: Stage) -> None:
    key, models = twice(stage), stage.models()
    first, _ = creates(stage)
    keeper = Keeper(stage.store, this_process())
    audit = Auditor(stage.store, stage.spool, lambda batch: Emptied(models.provider_of(batch)), keeper, stage.clock)
    stage.server.advance(HIDDEN)
    audit.run_once()
    provider = models.provider_of(stage.batch(key))
    stage.server.advance(3 * HIDDEN)
    wait_until(lambda: provider.retrieve(first).phase == "ended", 30, "the first create to end")
    if stage.provider == "anthropic":
        provider.delete(first)
    assert audit.run_once()["checked"] == 2
    assert len(told(stage)) == 1
    stage.ahead = MONTH
    audit.run_once()
    assert stage.store.strays.open() == []
    (stray,) = strays(stage)
    if stage.provider == "anthropic":
        assert (stray.whose, stray.cost_usd) == (Whose.UNKNOWN, None)
    else:
        assert (stray.whose, stray.cost_usd, stray.is_estimate) == (
            Whose.OURS,
            stage.batch(key).estimated_cost_usd,
            True,
        )
