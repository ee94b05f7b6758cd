"""Creates with an unknown outcome where memory is incomplete: an older store, an earlier attempt, another's batch."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic

from deploy.sandbox.provider.server import ProviderServer
from poller.collect.collector import Collector
from shared.errors import SpoolError
from shared.intents import newest_receipt
from shared.lease import Keeper
from shared.lifecycle import State
from shared.store import Batch
from shared.store.terms import Stated
from shared.submission import Submission
from submitter.planning.planner import Planner
from tests.contracts.sandbox_user import message_request
from tests.rig import samples
from tests.rig.results import Back
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    """A provider for each test: one store for a workspace is the condition of every look-up without metadata."""
    with ProviderServer(tmp_path / "provider", processing_seconds=0.2) as running:
        yield running


@pytest.fixture(params=["openai", "anthropic"])
def stage(request: pytest.FixtureRequest, server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def openai(server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path)
    yield made
    made.close()


@pytest.fixture
def anthropic(server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, "anthropic")
    yield made
    made.close()


def work_until(stage: Stage, key: str, *states: State) -> Batch:
    submission = stage.submission()

    def there() -> Batch | None:
        submission.work(key)
        batch = stage.batch(key)
        return batch if batch.state in states else None

    return wait_until(there, 30, lambda: f"{key} to be {states}, it is {stage.batch(key)}")


def creates(stage: Stage) -> list[str]:
    """The provider's batches, in the order of their creation."""
    return [str(event["batch"]) for event in stage.server.witness().creates(stage.provider)]


def collector(stage: Stage) -> Collector:
    return Back(stage, None, "progress").collector()  # type: ignore[arg-type]  # it asks no broker


def test_an_older_copy_of_the_store_does_not_make_a_create_again_hours_later(stage: Stage) -> None:
    key = stage.plan()
    stage.store.close()
    copy = shutil.copyfile(stage.folder / "state.db", stage.folder / "older.db")
    stage.store = stage.store.open(stage.store_url, stage.clock)
    stage.server.set_fault("create_accepted_response_lost", times=1)
    work_until(stage, key, State.AMBIGUOUS)
    stage.close()
    for name in ("state.db-wal", "state.db-shm"):
        (stage.folder / name).unlink(missing_ok=True)
    shutil.copyfile(copy, stage.folder / "state.db")
    stage.ahead = 3 * HOUR
    stage.store = stage.store.open(stage.store_url, stage.clock)
    batch = work_until(stage, key, State.SUBMITTED)
    assert creates(stage) == [batch.provider_batch_id]


def test_a_pipelines_own_quarantine_binds_whoever_looks(stage: Stage) -> None:
    """Its create never arrived; the submission that looks, as the poller's, has a quarantine of a second."""
    stage.store.terms.state("pipe", Stated(quarantine=HOUR))
    stage.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    key = stage.plan()
    work_until(stage, key, State.AMBIGUOUS)
    submission = stage.submission()
    submission.work(key)
    stage.ahead = HOUR - MINUTE
    for _ in range(3):
        submission.work(key)
        batch = stage.batch(key)
        assert batch.state is State.AMBIGUOUS, batch
        assert batch.next_check_at is not None
        assert batch.next_check_at - stage.clock() > timedelta(seconds=20), "it need not be looked for every moment"
    stage.ahead = HOUR + MINUTE
    submission.work(key)
    assert stage.batch(key).held_reason == "its create did not show for 1:00:00; it is tried again"
    assert creates(stage) == []


@pytest.mark.parametrize("choice", ["quarantine", "hold"])
def test_what_a_clock_that_is_far_ahead_hides_is_found_after_the_quarantine(openai: Stage, choice: str) -> None:
    """By that clock it came into being long before its create was sent."""
    openai.ahead, openai.batch_options = HOUR, {"on_ambiguous": choice}
    openai.server.set_fault("create_accepted_response_lost", times=1)
    key = openai.plan()
    assert work_until(openai, key, State.SUBMITTED).provider_batch_id in creates(openai)
    assert len(creates(openai)) == 1


def test_a_batch_that_was_bounced_is_not_what_the_next_attempt_created(openai: Stage) -> None:
    openai.server.set_fault("token_limit_exceeded", times=1)
    key = openai.submit()
    openai.watch_until(key, State.HELD)
    openai.server.set_fault("create_accepted_response_lost", times=1)
    work_until(openai, key, State.AMBIGUOUS)
    batch = work_until(openai, key, State.SUBMITTED)
    refused, created = creates(openai)
    assert batch.provider_batch_id == created, f"the refused {refused} was adopted, and {created} cancelled"
    assert openai.watch_until(key, State.ENDED).error is None


def test_what_another_holds_on_trial_is_no_proof_of_absence(anthropic: Stage) -> None:
    """Two creates of one account are open, because the first had adopted a stranger's batch: neither is made again."""
    anthropic.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    first, second = anthropic.plan(), anthropic.plan()
    work_until(anthropic, first, State.AMBIGUOUS)
    stranger = Stage(anthropic.server, anthropic.folder / "stranger", "anthropic")
    foreign = stranger.batch(stranger.submit()).provider_batch_id
    stranger.close()
    assert work_until(anthropic, first, State.SUBMITTED).provider_batch_id == foreign
    ended = anthropic.watch_until(first, State.ENDED)
    anthropic.models().provider_of(ended).delete(foreign or "")
    anthropic.server.set_fault("create_accepted_response_lost", times=1)
    work_until(anthropic, second, State.AMBIGUOUS)
    with Keeper(anthropic.store, "collector").hold(f"batch/{first}") as lease:
        anthropic.store.attempts.disown(first, 1, lease, note="its results are another's")
    own = creates(anthropic)[-1]
    wrong = work_until(anthropic, first, State.SUBMITTED)
    assert wrong.provider_batch_id == own, "as far as anybody knows"
    submission = anthropic.submission()
    began = anthropic.clock()

    def past_the_quarantine() -> bool:
        submission.work(second)
        return anthropic.clock() - began > timedelta(seconds=3)

    wait_until(past_the_quarantine, 30, "three quarantines")
    assert anthropic.batch(second).state is State.AMBIGUOUS
    with Keeper(anthropic.store, "collector").hold(f"batch/{first}") as lease:
        anthropic.store.attempts.disown(first, 1, lease, note="its results are another's")
    assert work_until(anthropic, second, State.SUBMITTED).provider_batch_id == own
    assert anthropic.server.witness().custom_ids()[f"{second}-0"] == 1


def test_another_user_s_results_disprove_a_guess_whatever_its_ids_look_like(anthropic: Stage) -> None:
    """Else its requests would count as missing, be carried to a child, and be paid for beside our own create."""
    anthropic.server.set_fault("create_accepted_response_lost", times=1)
    anthropic.server.set_fault("list_lag", times=1, seconds=3600)
    key = anthropic.plan()
    work_until(anthropic, key, State.AMBIGUOUS)
    with Anthropic(api_key=ENVIRON["ANTHROPIC_API_KEY"], base_url=anthropic.server.anthropic_base_url) as user:
        requests: Any = [message_request(f"question-{number}", "What is this?") for number in range(3)]
        foreign = user.messages.batches.create(requests=requests).id
    assert work_until(anthropic, key, State.SUBMITTED).provider_batch_id == foreign
    anthropic.watch_until(key, State.ENDED)
    assert collector(anthropic).run_once() == {"disowned": 1}
    anthropic.server.advance(3600)
    batch = work_until(anthropic, key, State.SUBMITTED)
    assert batch.provider_batch_id == creates(anthropic)[0]
    assert anthropic.server.witness().custom_ids()[f"{key}-0"] == 1


def test_what_another_key_of_the_workspace_has_made_is_not_adopted(anthropic: Stage) -> None:
    anthropic.environ["OTHER_KEY"] = ENVIRON["ANTHROPIC_API_KEY"]
    anthropic.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    key = anthropic.plan()
    work_until(anthropic, key, State.AMBIGUOUS)
    anthropic.model = {"api_key": "OTHER_KEY"}
    theirs = anthropic.batch(anthropic.submit()).provider_batch_id
    ours = work_until(anthropic, key, State.SUBMITTED).provider_batch_id
    assert creates(anthropic) == [theirs, ours]


@pytest.mark.parametrize("seen", [State.SUBMITTED, State.ENDED])
def test_a_guess_whose_owner_deletes_it_is_not_taken_for_our_loss(anthropic: Stage, seen: State) -> None:
    """Else its requests would be carried to a child, and be paid for beside our own create, which nobody looks for."""
    with Anthropic(api_key=ENVIRON["ANTHROPIC_API_KEY"], base_url=anthropic.server.anthropic_base_url) as user:
        requests: Any = [message_request(f"question-{number}", "What is this?") for number in range(3)]
        foreign = user.messages.batches.create(requests=requests).id
        anthropic.server.set_fault("create_accepted_response_lost", times=1)
        key = anthropic.plan()
        assert work_until(anthropic, key, State.SUBMITTED).provider_batch_id == foreign
        own = creates(anthropic)[-1]
        if seen is State.ENDED:
            anthropic.watch_until(key, State.ENDED)
        wait_until(lambda: user.messages.batches.retrieve(foreign).processing_status == "ended")
        user.messages.batches.delete(foreign)
    duty = collector(anthropic) if seen is State.ENDED else anthropic.watcher()
    assert duty.run_once() == {"waiting": 1}, "a 404 is transient"
    assert anthropic.batch(key).state is seen
    anthropic.ahead = 7 * HOUR
    assert duty.run_once() == {"disowned": 1}
    assert work_until(anthropic, key, State.SUBMITTED).provider_batch_id == own
    anthropic.watch_until(key, State.ENDED)
    assert collector(anthropic).run_once() == {"collected": 1}
    assert anthropic.batch(key).carried == 0
    assert anthropic.server.witness().custom_ids()[f"{key}-0"] == 1


def test_a_guess_without_any_result_is_not_taken_for_our_loss(anthropic: Stage) -> None:
    """Else its requests would be carried to a child, and be paid for beside our own create, which nobody looks for."""
    anthropic.server.set_fault("lines_missing", times=1, lines=3)
    with Anthropic(api_key=ENVIRON["ANTHROPIC_API_KEY"], base_url=anthropic.server.anthropic_base_url) as user:
        requests: Any = [message_request(f"question-{number}", "What is this?") for number in range(3)]
        foreign = user.messages.batches.create(requests=requests).id
        wait_until(lambda: user.messages.batches.retrieve(foreign).processing_status == "ended")
        assert list(user.messages.batches.results(foreign)) == []
    anthropic.server.set_fault("create_accepted_response_lost", times=1)
    key = anthropic.plan()
    assert work_until(anthropic, key, State.SUBMITTED).provider_batch_id == foreign
    disowned_without_a_trace(anthropic, key)
    batch = work_until(anthropic, key, State.SUBMITTED)
    assert batch.provider_batch_id == creates(anthropic)[-1] != foreign
    anthropic.watch_until(key, State.ENDED)
    assert collector(anthropic).run_once() == {"collected": 1}
    assert anthropic.batch(key).carried == 0
    assert anthropic.server.witness().custom_ids()[f"{key}-0"] == 1


@pytest.mark.parametrize("is_deleted", [False, True])
@pytest.mark.parametrize("on_ambiguous", ["quarantine", "hold"])
def test_where_nothing_but_a_create_without_a_trace_shows_it_is_not_made_again(
    anthropic: Stage, on_ambiguous: str, is_deleted: bool
) -> None:
    """It was ours, and its requests go on in a child, as those of a lost batch; the create itself is over."""
    anthropic.batch_options = {"on_ambiguous": on_ambiguous}
    anthropic.server.set_fault("create_accepted_response_lost", times=1)
    anthropic.server.set_fault("lines_missing", times=1, lines=3)
    key = anthropic.plan()
    own = work_until(anthropic, key, State.SUBMITTED).provider_batch_id
    ended = anthropic.watch_until(key, State.ENDED)
    if is_deleted:
        anthropic.models().provider_of(ended).delete(own or "")
    disowned_without_a_trace(anthropic, key)
    if on_ambiguous == "hold":
        assert "an operator must decide" in (work_until(anthropic, key, State.HELD).held_reason or "")
        with Keeper(anthropic.store, "operator").hold(f"batch/{key}") as lease:
            anthropic.store.attempts.allow_another(key, 1, lease)
    lost = work_until(anthropic, key, State.LOST)
    assert (lost.provider_batch_id, anthropic.store.attempts.of(key)[0].outcome) == (None, "lost")
    assert collector(anthropic).run_once() == {"collected": 1}
    assert anthropic.batch(key).carried == 3
    assert creates(anthropic) == [own]


def disowned_without_a_trace(stage: Stage, key: str) -> None:
    """Its results are waited for first, or a 404 may pass."""
    stage.watch_until(key, State.ENDED)
    assert collector(stage).run_once() == {"waiting": 1}
    assert stage.batch(key).state is State.ENDED
    stage.ahead += 7 * HOUR
    assert collector(stage).run_once() == {"disowned": 1}


def test_a_guess_that_is_known_again_is_waited_for_anew(anthropic: Stage) -> None:
    """Hours between two short faults are no hours of absence."""
    anthropic.server.set_fault("create_accepted_response_lost", times=1)
    anthropic.server.set_fault("results_404_after_end", seconds=3600, times=1)
    key = anthropic.plan()
    work_until(anthropic, key, State.SUBMITTED)
    anthropic.watch_until(key, State.ENDED)
    collecting = collector(anthropic)

    def denied() -> None:
        anthropic.server.set_fault("known_batch_404", endpoint="anthropic.batches.retrieve", times=1)
        assert collecting.run_once() == {"waiting": 1}
        assert anthropic.batch(key).missing_since is not None

    denied()
    anthropic.ahead = MINUTE
    assert collecting.run_once() == {"waiting": 1}, "its results do not show yet"
    anthropic.ahead = 7 * HOUR
    denied()
    anthropic.server.advance(3600)
    anthropic.ahead += MINUTE
    assert collecting.run_once() == {"collected": 1}


def test_what_a_look_up_found_is_remembered_by_the_spool_once_it_is_proved(stage: Stage) -> None:
    stage.server.set_fault("create_accepted_response_lost", times=1)
    key = stage.plan()
    work_until(stage, key, State.AMBIGUOUS)
    batch = work_until(stage, key, State.SUBMITTED)
    folder = stage.spool.batch(batch.pipeline, batch.statement, key)
    receipt = newest_receipt(stage.spool, folder, 1)
    if stage.provider == "anthropic":
        assert receipt is None, "so far it is a guess"
        stage.watch_until(key, State.ENDED)
        assert collector(stage).run_once() == {"collected": 1}
        receipt = newest_receipt(stage.spool, folder, 1)
    assert receipt
    assert receipt.provider_batch_id == batch.provider_batch_id


def test_a_process_that_was_stopped_before_its_create_does_not_send_it(stage: Stage) -> None:
    """SIGSTOP between intent and POST, and SIGCONT when another may have given the create up and made it again."""
    key = stage.plan()
    sleeper = Submission(
        stage.store,
        stage.spool,
        stage.models().provider_for,
        lambda: stage.clock() + HOUR,
        "sleeper",
        quarantine=timedelta(seconds=1),
    )
    sleeper.work(key)
    assert stage.batch(key).state is State.AMBIGUOUS
    assert creates(stage) == []
    work_until(stage, key, State.SUBMITTED)
    assert len(creates(stage)) == 1


def test_an_answer_that_only_the_spool_can_not_keep_is_kept_by_the_store(stage: Stage) -> None:
    key = stage.plan()
    folder = stage.path(stage.spool.batch("pipe", "sentiments", key))
    stage.spool.settle(stage.batch(key).attempt_folder or "", "pipe", "sentiments", key)
    (folder / "receipt-1.json" / "in-the-way").mkdir(parents=True)
    submission = stage.submission()
    batch = submission.work(key)
    assert batch is not None
    assert batch.provider_batch_id == creates(stage)[0]


def test_an_empty_store_finds_in_the_spool_what_it_has_paid_for(stage: Stage) -> None:
    """Even the definition, which the user's file may no longer state."""
    key = stage.submit()
    (file,) = stage.spool.sealed_files("pipe", "sentiments")
    stage.close()
    (stage.folder / "state.db").unlink()
    stage.store = stage.store.open(stage.store_url, stage.clock)
    planner = Planner(stage.store, stage.spool, stage.models().provider_for, stage.clock)
    assert planner.plan("pipe", "sentiments", file) == [key]
    batch = work_until(stage, key, State.SUBMITTED)
    assert creates(stage) == [batch.provider_batch_id]


def test_a_file_of_an_unknown_definition_that_was_never_planned_is_left_alone(openai: Stage) -> None:
    file = samples.seal(openai.spool.files, openai.definition(), [samples.sealed_line(0, "good", [0, 0, 0])])
    planner = Planner(openai.store, openai.spool, openai.models().provider_for, openai.clock)
    with pytest.raises(SpoolError, match="neither the store nor the spool knows"):
        planner.plan("pipe", "sentiments", file)
    assert openai.store.batches.rows() == []
