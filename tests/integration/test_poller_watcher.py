"""Watching batches at the strict fake provider, through both SDKs, on a real store."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.sandbox.provider.server import ProviderServer
from poller.alarms import Kind
from poller.operate.status import report
from shared.lease import TTL, Keeper
from shared.lifecycle import State
from shared.spool import MANIFEST
from shared.store import Lease
from shared.telemetry import REDACTED, SECRETS
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

PROCESSING_SECONDS = 0.3
HOUR = timedelta(hours=1)


@pytest.fixture(params=["openai", "anthropic"])
def stage(request: pytest.FixtureRequest, server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    server.clear_faults()
    made = Stage(server, tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def openai_stage(server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    server.clear_faults()
    made = Stage(server, tmp_path)
    yield made
    made.close()


def test_a_batch_is_watched_to_its_end(stage: Stage) -> None:
    stage.server.set_fault("stuck_in_progress", seconds=600)
    key = stage.submit()
    running = stage.watch_until(key, State.RUNNING)
    assert running.next_check_at is not None
    stage.server.advance(600)
    ended = stage.watch_until(key, State.ENDED)
    assert ended.ended_at is not None
    assert ended.submitted_at is not None
    assert ended.ended_at >= ended.submitted_at - timedelta(seconds=1)
    assert ended.expires_at is not None
    assert ended.results_expire_at is not None
    assert timedelta(days=28) < ended.results_expire_at - ended.submitted_at < timedelta(days=31)
    assert ended.error is None


def test_nothing_is_asked_before_it_is_due(stage: Stage) -> None:
    stage.server.set_fault("stuck_in_progress")
    key = stage.submit()
    stage.watch_until(key, State.RUNNING)
    stage.store.batches.record(key, next_check_at=stage.clock() + HOUR)
    assert stage.watcher().run_once() == {}
    stage.ahead = 2 * HOUR
    assert sum(stage.watcher().run_once().values()) == 1


def test_many_due_batches_cost_one_list_call(stage: Stage) -> None:
    keys = [stage.submit() for _ in range(6)]
    for key in keys:
        stage.store.batches.record(key, next_check_at=None)
    listing = f"{stage.provider}.batches.list"
    one = f"{stage.provider}.batches.retrieve"
    stage.count_calls(listing, one)
    counts = stage.watcher().run_once()
    assert sum(counts.values()) == len(keys)
    assert stage.calls(listing) == 1
    assert stage.calls(one) == 0


def test_few_due_batches_are_retrieved(stage: Stage) -> None:
    stage.submit()
    listing = f"{stage.provider}.batches.list"
    one = f"{stage.provider}.batches.retrieve"
    stage.count_calls(listing, one)
    stage.watcher().run_once()
    assert (stage.calls(listing), stage.calls(one)) == (0, 1)


def test_row_02_a_404_that_outlives_its_deadline_is_a_loss(stage: Stage) -> None:
    stage.server.set_fault("retrieve_404_after_create", seconds=3600)
    key = stage.submit()
    stage.watcher(missing=HOUR).run_once()
    stage.ahead = HOUR + timedelta(minutes=1)
    stage.watcher(missing=HOUR).run_once()
    assert stage.batch(key).state is State.LOST
    assert [alarm.kind for alarm in report(stage.store, stage.clock).attention] == [Kind.LOST]


def test_row_12_retry_after_is_honoured_for_the_whole_account(stage: Stage) -> None:
    keys = [stage.submit(), stage.submit()]
    stage.server.set_fault("http_429_retry_after", retry_after=600, endpoint="*.batches.retrieve", times=1)
    counts = stage.watcher().run_once()
    assert counts["waiting"] == len(keys)
    for key in keys:
        again = stage.batch(key).next_check_at
        assert again is not None
        assert timedelta(seconds=590) < again - stage.clock() <= timedelta(seconds=661)
    state = report(stage.store, stage.clock)
    assert [away.dependency for away in state.dependencies] == [f"provider {stage.batch(keys[0]).account}"]
    stage.ahead = timedelta(minutes=12)
    stage.watch_until(keys[0], State.ENDED)


def test_row_11_a_key_that_one_process_lacks_is_said_and_stops_no_other(stage: Stage) -> None:
    key = stage.submit()
    environ, stage.environ = stage.environ, {}
    keyless = stage.watcher()
    assert keyless.run_once() == {"waiting": 1}
    assert keyless.run_once() == {}, "what it can do nothing for is no more due to it"
    (missing,) = report(stage.store, stage.clock).dependencies
    assert missing.dependency == f"key of {stage.batch(key).account}"
    assert "_API_KEY is not set in this process" in missing.message
    assert stage.store.accounts.all_paused() == {}
    stage.environ = environ
    assert sum(stage.watcher().run_once().values()) == 1, "a process that has the key goes on at once"


def test_a_provider_that_is_away_is_waited_for(stage: Stage) -> None:
    key = stage.submit()
    stage.server.set_fault("http_5xx", endpoint="*.batches.*")
    watcher = stage.watcher()

    def is_away() -> bool:
        watcher.run_once()
        return stage.batch(key).error is not None

    wait_until(is_away)
    assert stage.batch(key).state is State.SUBMITTED
    stage.server.clear_faults()
    stage.watch_until(key, State.ENDED, watcher=watcher)


def test_a_batch_of_somebody_else_is_disowned_and_found_again(openai_stage: Stage) -> None:
    mine, other = openai_stage.submit(), openai_stage.submit()
    right = openai_stage.batch(mine).provider_batch_id
    openai_stage.store.batches.record(mine, provider_batch_id=openai_stage.batch(other).provider_batch_id)
    openai_stage.watcher().run_once()
    assert openai_stage.batch(mine).state is State.AMBIGUOUS
    submission = openai_stage.submission()
    wait_until(lambda: submission.work(mine) and openai_stage.batch(mine).state is State.SUBMITTED)
    assert openai_stage.batch(mine).provider_batch_id == right


def test_row_16_two_watchers_share_the_work(stage: Stage) -> None:
    key = stage.submit()
    account = stage.batch(key).account
    with Keeper(stage.store, "another:1:x").hold(f"watch/{account}") as lease:
        assert lease is not None
        assert stage.watcher().run_once() == {"busy": 1}
    assert stage.batch(key).remote_status is None
    assert sum(stage.watcher().run_once().values()) == 1


class Late(Keeper):
    """Takes its leases late: after what happens meanwhile."""

    meanwhile: Callable[[], None]

    @contextmanager
    def hold(self, name: str, ttl: timedelta = TTL, *, wait: timedelta = timedelta()) -> Iterator[Lease | None]:
        self.meanwhile()
        with super().hold(name, ttl, wait=wait) as lease:
            yield lease


def test_a_word_on_an_older_create_does_not_undo_the_new_one(openai_stage: Stage) -> None:
    """A batch that was sent again while a watcher was stopped would be sent, and paid for, once more."""
    openai_stage.server.set_fault("token_limit_exceeded", times=1)
    key = openai_stage.submit()

    def meanwhile() -> None:
        openai_stage.watch_until(key, State.HELD)
        openai_stage.ahead = timedelta(minutes=1)
        openai_stage.submission().work(key)
        assert openai_stage.batch(key).state is State.SUBMITTED

    late = Late(openai_stage.store, "late:1:x")
    late.meanwhile = meanwhile
    openai_stage.watcher(keeper=late).run_once()
    assert openai_stage.batch(key).state in (State.SUBMITTED, State.RUNNING, State.ENDED)
    openai_stage.watch_until(key, State.ENDED)
    assert len(openai_stage.store.attempts.of(key)) == 2


def test_a_batch_whose_definition_is_gone_does_not_hide_the_others(stage: Stage) -> None:
    bad = stage.submit()
    stage.batch_options = {"max_age": 1.0}
    good = stage.submit()
    folder = stage.path(stage.spool.batch("pipe", "sentiments", bad))
    with closing(sqlite3.connect(stage.folder / "state.db")) as store, store:
        store.execute("PRAGMA foreign_keys = OFF")
        store.execute("DELETE FROM definitions WHERE hash = ?", (stage.batch(bad).definition,))
    (folder / MANIFEST).rename(folder / "mislaid")
    stage.watch_until(good, State.ENDED)
    assert "is not there" in (stage.batch(bad).error or "")
    (folder / "mislaid").rename(folder / MANIFEST)
    stage.watch_until(bad, State.ENDED)


def test_row_16_a_zombie_changes_nothing(stage: Stage) -> None:
    key = stage.submit()
    account = stage.batch(key).account
    looks = stage.watcher()._looks
    provider = stage.models().provider_of(stage.batch(key))
    remote = provider.retrieve(stage.batch(key).provider_batch_id or "")
    with Keeper(stage.store, "another:1:x").hold(f"watch/{account}") as lease:
        assert lease is not None
        with pytest.raises(Exception, match="no longer held"):
            looks.seen(stage.batch(key), remote, provider.profile, replace(lease, epoch=lease.epoch - 1))
    assert stage.batch(key).remote_status is None


def test_a_key_that_a_provider_says_in_a_status_is_not_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{stage.provider.upper()}_API_KEY"
    monkeypatch.setenv(name, ENVIRON[name])
    SECRETS.name(name)
    stage.server.set_fault("unknown_status", seconds=3600.0, status=f"paused: {ENVIRON[name]}", times=1)
    batch = stage.watch_until(stage.submit(), State.RUNNING)
    assert batch.remote_status == f"paused: {REDACTED}"
    assert batch.error == f"unknown status 'paused: {REDACTED}'"
