"""'batch.on-ambiguous' = 'hold': after its quarantine a create of unknown outcome waits for an operator's word."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.command import main
from poller.duty import moved
from poller.operate.resolving import Resolving
from poller.operate.status import report
from poller.upkeep.auditor import Auditor
from shared.errors import SettingsError
from shared.lease import Keeper, this_process
from shared.lifecycle import State
from shared.messages import Header
from shared.store import Batch
from tests.rig.asking import Road, deadline_in
from tests.rig.fixtures import MakeTopic
from tests.rig.results import SINK_TOPIC, Back, sink
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

ROOT = Path(__file__).parents[2]
HIDDEN = 3600
HOLD = {"on_ambiguous": "hold"}
MakeStage = Callable[..., Stage]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path / "provider", processing_seconds=0.2) as running:
        yield running


@pytest.fixture
def make_stage(server: ProviderServer, tmp_path: Path) -> Iterator[MakeStage]:
    made: list[Stage] = []

    def make(provider: str, **values: Any) -> Stage:
        made.append(Stage(server, tmp_path, provider, batch_options=HOLD, **values))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


@pytest.fixture(params=["openai", "anthropic"])
def stage(request: pytest.FixtureRequest, make_stage: MakeStage) -> Stage:
    return make_stage(request.param)


def work_until(stage: Stage, key: str, *states: State) -> Batch:
    submission = stage.submission()

    def there() -> Batch | None:
        submission.work(key)
        batch = stage.batch(key)
        return batch if batch.state in states else None

    return wait_until(there, 30, lambda: f"{key} to be {states}, it is {stage.batch(key)}")


def creates(stage: Stage) -> list[str]:
    return [str(event["batch"]) for event in stage.server.witness().creates(stage.provider)]


def hidden(stage: Stage) -> str:
    """A batch that waits for a decision, though its create was accepted: the provider hides it."""
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", times=1, seconds=HIDDEN)
    key = stage.plan()
    work_until(stage, key, State.AMBIGUOUS)
    work_until(stage, key, State.HELD)
    return key


def absent(stage: Stage) -> str:
    """A batch that waits for a decision, because nobody knows that its create was never accepted."""
    stage.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    key = stage.plan()
    work_until(stage, key, State.AMBIGUOUS)
    work_until(stage, key, State.HELD)
    return key


def resolve(stage: Stage, *arguments: str) -> str:
    done = CliRunner().invoke(main, ["resolve", *arguments, "--state-store", stage.store_url])
    assert done.exit_code == 0, done.output
    return done.output


def test_no_attempt_follows_before_an_operator_allows_it(stage: Stage) -> None:
    key = absent(stage)
    batch = stage.batch(key)
    assert (batch.held_reason or "").startswith("an operator must decide: its create did not show")
    assert [each.kind for each in report(stage.store, stage.clock).attention] == ["decision"]
    stage.ahead = timedelta(days=3)
    for _ in range(3):
        assert stage.store.batches.due((State.HELD,), stage.clock(), 10)
        stage.submission().work(key)
        assert stage.batch(key).state is State.HELD
        assert not stage.store.batches.due((State.HELD,), stage.clock(), 10), "it is looked up again later"
        stage.ahead += timedelta(hours=1)
    assert creates(stage) == []
    stage.ahead = timedelta()
    assert "sent again" in resolve(stage, key, "--retry")
    batch = work_until(stage, key, State.SUBMITTED)
    assert creates(stage) == [batch.provider_batch_id]


def test_a_create_that_shows_while_it_waits_is_adopted(stage: Stage) -> None:
    key = hidden(stage)
    stage.server.advance(HIDDEN)
    batch = work_until(stage, key, State.SUBMITTED)
    assert (creates(stage), batch.held_reason) == ([batch.provider_batch_id], None)


def test_an_operator_names_what_the_create_made(stage: Stage) -> None:
    key = hidden(stage)
    (made,) = creates(stage)
    resolve(stage, key, "--adopt", made)
    assert stage.batch(key).provider_batch_id == made
    assert stage.watch_until(key, State.ENDED).provider_batch_id == made


def test_what_an_operator_names_and_metadata_prove_needs_no_results(make_stage: MakeStage) -> None:
    stage = make_stage("openai")
    stage.server.set_fault("lines_missing", times=1, lines=3)
    key = hidden(stage)
    resolve(stage, key, "--adopt", *creates(stage))
    stage.watch_until(key, State.ENDED)
    collector = Back(stage, None, "progress").collector()  # type: ignore[arg-type]  # it asks no broker
    assert collector.run_once() == {"waiting": 1}
    stage.ahead = timedelta(minutes=5)
    assert collector.run_once() == {"collected": 1}
    assert stage.batch(key).carried == 3


def test_what_an_operator_names_wrongly_is_disowned(make_stage: MakeStage) -> None:
    stage = make_stage("openai")
    key = hidden(stage)
    stranger = Stage(stage.server, stage.folder / "stranger")
    foreign = stranger.batch(stranger.submit()).provider_batch_id or ""
    stranger.close()
    resolve(stage, key, "--adopt", foreign)
    assert stage.watch_until(key, State.AMBIGUOUS).provider_batch_id is None
    stage.server.advance(HIDDEN)
    assert work_until(stage, key, State.SUBMITTED).provider_batch_id == creates(stage)[0]


def test_a_deadline_does_not_decide_for_the_operator(make_stage: MakeStage) -> None:
    stage = make_stage("openai")
    stage.batch_options = {**HOLD, "fallback": "sync", "deadline": deadline_in(stage, timedelta(hours=1))}
    key = absent(stage)
    stage.ahead = timedelta(minutes=59)
    assert moved(Road(stage).harvester().run_once()) == 0
    assert stage.batch(key).state is State.HELD


def test_what_waits_does_not_stop_the_account(make_stage: MakeStage) -> None:
    stage = make_stage("anthropic")
    waiting = absent(stage)
    other = stage.plan(records=5)
    assert work_until(stage, other, State.SUBMITTED).provider_batch_id == creates(stage)[0]
    assert stage.batch(waiting).state is State.HELD


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_an_operator_gives_up_comes_out_as_errors_and_its_late_create_is_followed(
    make_stage: MakeStage, broker: LocalBroker, make_topic: MakeTopic, provider: str
) -> None:
    topic = make_topic("sentiments", SINK_TOPIC)
    stage = make_stage(provider, sink=sink(broker, topic))
    back = Back(stage, broker, f"progress-{topic}")
    key = hidden(stage)
    assert "3 records come out as errors" in resolve(stage, key, "--fail")
    (batch,) = back.finish(key)
    assert (batch.state, batch.failed, batch.records) == (State.FAILED, 3, 3)
    causes = [(record.headers[Header.ERROR] or b"").partition(b":")[0] for record in back.outputs(at_least=3)]
    assert causes == [b"given-up"] * 3
    stage.server.advance(HIDDEN)
    keeper = Keeper(stage.store, this_process())
    assert Auditor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock).run_once()["strays"] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--retry",), "is 'submitted': there is nothing to decide"),
        (("--adopt", "batch_1"), "is 'submitted': there is nothing to decide"),
        ((), "give --retry, --fail"),
        (("--retry", "--adopt", "batch_1"), "give --retry, --fail"),
    ],
)
def test_where_there_is_nothing_to_decide_it_says_so(
    make_stage: MakeStage, arguments: tuple[str, ...], says: str
) -> None:
    stage = make_stage("openai")
    key = stage.submit()
    done = CliRunner().invoke(main, ["resolve", key, *arguments, "--state-store", stage.store_url])
    assert (done.exit_code, says in done.output) == (2, True), done.output


@pytest.mark.parametrize(("key", "says"), [("../etc", "is no batch key"), ("a" * 26 + "-0", "is not in the store")])
def test_a_key_of_nobody_s_is_refused(make_stage: MakeStage, key: str, says: str) -> None:
    stage = make_stage("openai")
    with pytest.raises(SettingsError, match=says):
        Resolving(stage.store, Keeper(stage.store, this_process()), stage.clock).retry(key)


def test_what_a_killed_one_held_back_is_due_again(make_stage: MakeStage) -> None:
    stage = make_stage("openai")
    says = "from shared.lease import this_process; print(this_process(), end='')"
    killed = subprocess.run([sys.executable, "-c", says], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert stage.store.leases.acquire("batch/one", killed, timedelta(hours=1))
    CliRunner().invoke(main, ["resolve", "a" * 26 + "-0", "--fail", "--state-store", stage.store_url])
    assert stage.store.leases.acquire("batch/one", "another", timedelta(hours=1))
