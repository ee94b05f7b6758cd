"""A create that showed after its quarantine, the residual of every look-up: found, proved, cancelled, and its cost."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.provider import ProviderServer
from poller.operate.status import report
from poller.upkeep.auditor import Auditor
from shared.definition import Model
from shared.errors import LeaseLost, NotFound
from shared.lease import Keeper, this_process
from shared.lifecycle import Event, State
from shared.providers.port import Outgoing, Provider, RemoteBatch
from shared.store import Batch, Stray, Whose
from shared.submission import Submission
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

HIDDEN = 3600
MONTH = timedelta(days=30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path / "provider", processing_seconds=2 * HIDDEN) as running:
        yield running


@pytest.fixture(params=["openai", "anthropic"])
def stage(request: pytest.FixtureRequest, server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def anthropic(server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, "anthropic")
    yield made
    made.close()


def twice(stage: Stage) -> str:
    """A batch whose first create was accepted, lost, and hidden for longer than its quarantine; its key."""
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", times=1, seconds=HIDDEN)
    return submitted(stage, stage.plan())


def submitted(stage: Stage, key: str) -> str:
    submission = stage.submission()

    def is_there() -> bool:
        submission.work(key)
        return stage.batch(key).state is State.SUBMITTED

    wait_until(is_there, 30, lambda: f"{key} to be submitted, it is {stage.batch(key)}")
    return key


def collected(stage: Stage, key: str) -> None:
    """Let the provider finish everything, and the results be collected: they prove whose they are."""
    stage.server.advance(2 * HIDDEN)
    stage.watch_until(key, State.ENDED)
    stage.store.batches.apply(key, Event.COLLECT, succeeded=stage.batch(key).records)


def auditor(stage: Stage, *exclusive: str) -> Auditor:
    keeper = Keeper(stage.store, this_process())
    return Auditor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock, exclusive=exclusive)


def strays(stage: Stage) -> list[Stray]:
    return stage.store.strays.since(stage.clock() - timedelta(hours=1))


def creates(stage: Stage) -> list[str]:
    return [str(event["batch"]) for event in stage.server.witness().creates(stage.provider)]


def cancelled(stage: Stage) -> list[str]:
    return [str(event["batch"]) for event in stage.server.witness().events("cancel")]


def told(stage: Stage) -> list[str]:
    return [each.message for each in report(stage.store, stage.clock).attention if each.kind == "stray"]


def follow_to_its_end(stage: Stage, audit: Auditor) -> None:
    """Let the provider finish everything, and the auditor see it."""
    stage.server.advance(3 * HIDDEN)

    def is_settled() -> bool:
        audit.run_once()
        return not stage.store.strays.open()

    wait_until(is_settled, 30, lambda: f"the strays to be settled: {stage.store.strays.open()}")


def bill(stage: Stage, provider_batch: str) -> tuple[int, int]:
    billed = [entry for entry in stage.server.witness().billed() if entry.batch == provider_batch]
    return sum(entry.input_tokens for entry in billed), sum(entry.output_tokens for entry in billed)


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


def test_a_clock_that_is_far_ahead_hides_no_stray(server: ProviderServer, tmp_path: Path) -> None:
    """By that clock it came into being long before its create was sent."""
    stage = Stage(server, tmp_path, ahead=timedelta(hours=1))
    twice(stage)
    stage.server.advance(HIDDEN)
    auditor(stage).run_once()
    assert [stray.provider_batch_id for stray in strays(stage)] == creates(stage)[:1]
    stage.close()


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
    """A provider denied a batch of ours for hours, and it was made again."""
    anthropic.server.set_fault("create_accepted_response_lost", times=1)
    key, audit = submitted(anthropic, anthropic.plan()), auditor(anthropic)
    anthropic.server.set_fault("known_batch_404", endpoint="anthropic.batches.retrieve")
    anthropic.watcher().run_once()
    anthropic.ahead = timedelta(hours=2)
    anthropic.watcher().run_once()
    assert anthropic.batch(key).state is State.AMBIGUOUS
    submitted(anthropic, key)
    anthropic.server.clear_faults()
    first, second = creates(anthropic)
    assert anthropic.batch(key).provider_batch_id == second
    assert audit.run_once()["strays"] == 1
    collected(anthropic, key)
    follow_to_its_end(anthropic, audit)
    (row,) = report(anthropic.store, anthropic.clock).duplicates
    assert (row["provider_batch_id"], row["batch_key"]) == (first, key)


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
