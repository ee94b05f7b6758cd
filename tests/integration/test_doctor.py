"""`poller doctor`: what is stuck, left over or away is told, and mended where that is safe."""

import io
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openai import OpenAI
from rich.console import Console

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.alarms import Kind
from poller.command import main
from poller.operate.diagnosis import Diagnosis, Finding, Odd
from poller.operate.doctor import Doctor
from poller.operate.doctor_table import draw_diagnosis
from poller.settings import PollerSettings
from poller.upkeep.auditor import Auditor
from shared.lease import Keeper, this_process
from shared.lifecycle import Event, State
from shared.store import Whose
from submitter.lineage.chronicle import Chronicle
from tests.rig.fixtures import MakeTopic
from tests.rig.older import copied, restore
from tests.rig.results import SINK_TOPIC, Back, sink
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

DAY = timedelta(days=1)
WEEK = 7 * DAY


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path / "provider", processing_seconds=0.1) as running:
        yield running


@pytest.fixture
def stage(server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, sink=sink(broker, make_topic("sentiments", SINK_TOPIC)))
    made.store.lineage.claim_name("pipe", "file.sql")
    yield made
    made.close()


@pytest.fixture
def examine(stage: Stage, broker: LocalBroker) -> Callable[..., Diagnosis]:
    def run(*, fix: bool = False, bootstrap: str = "") -> Diagnosis:
        settings = PollerSettings(
            state_store=stage.store_url, bootstrap_servers=bootstrap or broker.bootstrap, spool=stage.spool_url
        )
        return Doctor(settings, stage.store, ENVIRON, stage.clock).examine(fix=fix)

    return run


def published(stage: Stage, broker: LocalBroker) -> str:
    key = stage.submit()
    Back(stage, broker, f"progress-{stage.definition().sink.topic}").finish(key)
    return key


def only(diagnosis: Diagnosis) -> Finding:
    (finding,) = diagnosis.findings
    return finding


def drawn(diagnosis: Diagnosis) -> str:
    out = io.StringIO()
    draw_diagnosis(diagnosis, Console(file=out, width=200, color_system=None))
    return out.getvalue()


def test_what_is_in_order_is_healthy(stage: Stage, broker: LocalBroker, examine: Callable[..., Diagnosis]) -> None:
    published(stage, broker)
    diagnosis = examine()
    assert (diagnosis.healthy, diagnosis.findings, diagnosis.away) == (True, [], [])
    assert "healthy" in drawn(diagnosis)


def test_an_unknown_create_is_told_with_its_look_ups(stage: Stage, examine: Callable[..., Diagnosis]) -> None:
    stage.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    key = stage.plan()
    for _ in range(3):
        stage.submission().work(key)
    finding = only(examine())
    assert (finding.kind, finding.subject) == (Kind.CREATE_UNKNOWN, key)
    assert "attempt 1 is looked up: 2 times so far, the last at " in finding.message
    assert "clean since " in finding.message


def test_a_paused_account_a_deadline_and_results_near_deletion_are_told(
    stage: Stage, examine: Callable[..., Diagnosis]
) -> None:
    stage.batch_options = {"deadline": 60.0}
    key = stage.submit()
    stage.watch_until(key, State.ENDED)
    stage.store.accounts.pause(stage.batch(key).account, "no credit")
    stage.ahead = 28 * DAY
    kinds = {finding.kind for finding in examine().findings}
    assert {Kind.PAST_DEADLINE, Kind.RESULTS_EXPIRING} <= kinds
    stage.ahead = timedelta()
    assert Kind.ACCOUNT_PAUSED in {finding.kind for finding in examine().findings}


def test_a_batch_without_a_row_is_taken_back(
    stage: Stage, broker: LocalBroker, examine: Callable[..., Diagnosis]
) -> None:
    older = copied(stage)
    key = stage.submit()
    restore(stage, older)
    finding = only(examine())
    assert (finding.kind, finding.subject, finding.fixed) == (Odd.ROWLESS, key, None)
    assert stage.store.batches.get(key) is None, "without --fix nothing is touched"
    mended = examine(fix=True)
    assert (only(mended).fixed, mended.healthy) == ("taken back", True)
    assert stage.batch(key).state is State.AMBIGUOUS
    Back(stage, broker, f"progress-{stage.definition().sink.topic}").finish(key)
    assert stage.server.witness().custom_ids()[f"{key}-0"] == 1


def start(stage: Stage, pipeline: str) -> None:
    """A run of another pipeline, as `submitter run` begins it."""
    stage.changes = {"pipeline": pipeline}
    chronicle = Chronicle(stage.store, stage.spool, pipeline)
    chronicle.claim("another.sql")
    chronicle.begun(stage.store.lineage.begin(pipeline, definition="0" * 16, spool=stage.spool.address))


def test_a_pipeline_that_is_younger_than_the_copy_is_taken_back(
    stage: Stage, examine: Callable[..., Diagnosis]
) -> None:
    older = copied(stage)
    start(stage, "young")
    key = stage.submit()
    restore(stage, older)
    found = {finding.kind: finding.subject for finding in examine().findings}
    assert found == {Odd.FORGOTTEN: "young", Odd.ROWLESS: key}
    mended = examine(fix=True)
    assert [finding.fixed for finding in mended.findings] == ["taken back", "taken back"]
    assert (stage.batch(key).state, len(stage.store.lineage.runs("young"))) == (State.AMBIGUOUS, 1)


def test_whose_a_pipeline_is_that_the_store_does_not_know_is_told(
    stage: Stage, examine: Callable[..., Diagnosis]
) -> None:
    other = Stage(stage.server, stage.folder / "other", spool_address=stage.spool_url)
    start(other, "theirs")
    other.plan()
    other.close()
    note = only(examine())
    assert (note.kind, note.subject, note.is_open) == (Odd.ANOTHERS, "theirs", False)
    record = stage.path("theirs/annals/run-1.json")
    whole = record.read_text()
    record.write_text("{")
    assert (only(examine()).kind, only(examine()).subject) == (Odd.UNREADABLE, "theirs")
    record.write_text(whole)
    stage.path("theirs").rename(stage.path("moved"))
    finding = only(examine())
    assert (finding.kind, finding.subject, finding.is_open) == (Odd.UNTOLD, "moved", True)


@pytest.mark.parametrize("kind", [Odd.IN_PROGRESS, Odd.ATTEMPT])
def test_what_killed_processes_left_is_deleted_when_no_recovery_could_need_it(
    stage: Stage, examine: Callable[..., Diagnosis], kind: Odd
) -> None:
    stage.plan()
    if kind is Odd.ATTEMPT:
        address = stage.spool.new_attempt("pipe", "sentiments")
    else:
        (file,) = stage.spool.sealed_files("pipe", "sentiments")
        address = f"{file.address.rpartition('/')[0]}/.part-x.inprogress.1"
        stage.path(address).touch()
    path = stage.path(address)
    assert [finding.kind for finding in examine(fix=True).findings] == [], "it may still be worked on"
    os.utime(path, times=((stage.clock() - 2 * DAY).timestamp(),) * 2)
    young = only(examine(fix=True))
    assert (young.kind, young.subject, young.fix, young.fixed) == (kind, address, None, None)
    os.utime(path, times=((stage.clock() - WEEK - DAY).timestamp(),) * 2)
    assert only(examine()).fix == "delete it"
    assert path.exists()
    assert only(examine(fix=True)).fixed == "deleted"
    assert not path.exists()


def test_a_second_create_at_the_provider_is_counted_and_cancelled(
    stage: Stage, examine: Callable[..., Diagnosis]
) -> None:
    key = stage.submit()
    with OpenAI(api_key=ENVIRON["OPENAI_API_KEY"], base_url=stage.server.openai_base_url) as client:
        first = client.batches.retrieve(stage.batch(key).provider_batch_id or "")
        assert first.input_file_id
        made = client.batches.create(
            input_file_id=first.input_file_id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata=first.metadata,
        )
    finding = only(examine())
    assert (finding.kind, finding.subject) == (Odd.REMOTE_BATCH, made.id)
    assert "counted" in (only(examine(fix=True)).fixed or "")
    keeper = Keeper(stage.store, this_process())
    auditor = Auditor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock)

    def is_settled() -> bool:
        auditor.run_once()
        return not stage.store.strays.open()

    wait_until(is_settled, 30, "the second batch to be settled")
    finding = next(each for each in examine().findings if each.kind is Odd.DUPLICATE)
    assert (finding.subject, finding.is_open) == (made.id, False)
    assert "it cost $" in finding.message


def test_the_only_create_of_a_batch_whose_store_is_older_is_adopted_and_not_cancelled(
    stage: Stage, broker: LocalBroker, examine: Callable[..., Diagnosis]
) -> None:
    key = stage.plan()
    older = copied(stage)
    wait_until(lambda: stage.submission().work(key) or stage.batch(key).provider_batch_id, 30, "it to be sent")
    sent = stage.batch(key).provider_batch_id
    restore(stage, older)
    assert stage.batch(key).state is State.SEALED
    stage.ahead = 2 * DAY
    found = {each.kind: each for each in examine(fix=True).findings}
    stage.ahead = timedelta()
    (finding, upload) = (found[Odd.REMOTE_BATCH], found[Odd.REMOTE_FILE])
    assert (finding.subject, finding.fix, finding.fixed) == (sent, None, None)
    assert (upload.fix, upload.fixed) == (None, None), "the create may still read it"
    assert stage.store.strays.open() == []
    (batch,) = Back(stage, broker, f"progress-{stage.definition().sink.topic}").finish(key)
    assert (batch.provider_batch_id, batch.state) == (sent, State.PUBLISHED)
    assert stage.server.witness().custom_ids()[f"{key}-0"] == 1


def test_rows_that_came_again_are_worth_knowing(stage: Stage, examine: Callable[..., Diagnosis]) -> None:
    stage.plan_rows(range(8))
    stage.plan_rows(range(4, 12))
    diagnosis = examine()
    finding = only(diagnosis)
    assert (finding.kind, finding.subject, diagnosis.healthy) == (Odd.SKIPPED, "pipe", True)
    assert "4 rows came again" in finding.message
    assert "4 rows came again" in drawn(diagnosis)


def test_what_nobody_knows_at_a_provider_without_names_is_told_where_the_workspace_is_ours_alone(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    server.set_fault("stuck_in_progress")
    ours, other = (
        Stage(server, tmp_path / name, "anthropic", sink(broker, make_topic("sentiments", SINK_TOPIC)))
        for name in ("ours", "other")
    )
    ours.store.lineage.claim_name("pipe", "file.sql")
    settings: dict[str, Any] = {
        "state_store": ours.store_url,
        "bootstrap_servers": broker.bootstrap,
        "spool": ours.spool_url,
    }

    def findings(**more: Any) -> list[Finding]:
        shown = Doctor(PollerSettings(**settings, **more), ours.store, ENVIRON, ours.clock).examine(fix=True)
        return shown.findings

    ours.submit()
    foreign = other.batch(other.submit(2)).provider_batch_id
    assert findings() == [], "it may be another user's"
    (finding,) = findings(exclusive_workspaces="ANTHROPIC_API_KEY")
    assert (finding.kind, finding.subject, finding.fix, finding.fixed) == (Odd.REMOTE_BATCH, foreign, None, None)
    assert "2 requests, which this store does not know" in finding.message
    # One that an open look-up may be about is told with the look-up.
    server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    (key,) = ours.plan_rows(range(10, 12))
    ours.submission().work(key)
    assert ours.batch(key).state is State.AMBIGUOUS
    late = other.batch(other.submit(2)).provider_batch_id
    told = {each.subject for each in findings(exclusive_workspaces="ANTHROPIC_API_KEY")}
    assert key in told
    assert late not in told
    ours.close()
    other.close()


def test_another_store_s_batch_is_told_and_left_alone(stage: Stage, examine: Callable[..., Diagnosis]) -> None:
    stage.submit()
    other = Stage(stage.server, stage.folder / "other")
    key = other.submit()
    foreign = other.batch(key).provider_batch_id
    other.close()
    finding = only(examine(fix=True))
    assert (finding.kind, finding.subject, finding.fix, finding.fixed) == (Odd.REMOTE_BATCH, foreign, None, None)


def test_an_upload_that_no_create_names_is_deleted(stage: Stage, examine: Callable[..., Diagnosis]) -> None:
    key = stage.submit()
    with OpenAI(api_key=ENVIRON["OPENAI_API_KEY"], base_url=stage.server.openai_base_url) as client:
        left = client.files.create(file=(f"{key}-7.jsonl", b"{}\n"), purpose="batch")
        strange = client.files.create(file=("mine.jsonl", b"{}\n"), purpose="batch")
        assert [finding.kind for finding in examine(fix=True).findings] == [], "it may be named yet"
        stage.ahead = 2 * DAY
        found = [finding for finding in examine(fix=True).findings if finding.kind is Odd.REMOTE_FILE]
        assert [(each.subject, each.fixed) for each in found] == [(left.id, "deleted at the provider")]
        named = stage.store.attempts.of(key)[0].input_file_id
        assert {file.id for file in client.files.list(purpose="batch")} == {strange.id, named}


def test_what_is_away_is_told_and_the_rest_looked_at(stage: Stage, examine: Callable[..., Diagnosis]) -> None:
    key = stage.plan()
    stage.server.set_fault("http_5xx")
    stage.store.batches.apply(key, Event.HOLD, held_reason="an operator must decide: really")
    diagnosis = examine(bootstrap="127.0.0.1:1")
    assert [absence.dependency.partition(" ")[0] for absence in diagnosis.away] == ["provider", "kafka"]
    assert [finding.kind for finding in diagnosis.findings] == [Kind.DECISION]
    assert not diagnosis.healthy


def test_a_key_that_is_missing_here_is_no_fault(stage: Stage, broker: LocalBroker) -> None:
    stage.plan()
    settings = PollerSettings(state_store=stage.store_url, bootstrap_servers=broker.bootstrap, spool=stage.spool_url)
    diagnosis = Doctor(settings, stage.store, {}, stage.clock).examine()
    assert ([finding.kind for finding in diagnosis.findings], diagnosis.healthy) == ([Odd.NO_KEY], True)


def test_nothing_that_others_said_speaks_to_the_terminal(stage: Stage, examine: Callable[..., Diagnosis]) -> None:
    stage.store.strays.note(stage.plan(), "a", "batch_\x1b[2J[red]", whose=Whose.UNKNOWN)
    shown = drawn(examine())
    assert "[red]" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(("bootstrap", "code"), [("", 3), ("127.0.0.1:1", 4)])
def test_the_command_tells_by_its_exit_code(
    stage: Stage, broker: LocalBroker, monkeypatch: pytest.MonkeyPatch, bootstrap: str, code: int
) -> None:
    key = stage.plan()
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    arguments = ["--state-store", stage.store_url, "--spool", stage.spool_url]
    arguments += ["--bootstrap-servers", bootstrap or broker.bootstrap]
    if not bootstrap:
        assert CliRunner().invoke(main, ["doctor", *arguments]).exit_code == 0
    stage.store.batches.apply(key, Event.HOLD, held_reason="an operator must decide: really")
    done = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    assert done.exit_code == code, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["schema_version"], told["healthy"]) == (1, False)
    assert [finding["kind"] for finding in told["findings"]] == ["decision"]
