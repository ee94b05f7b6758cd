"""A store that was restored from an older copy learns what it has forgotten, from the poller or the submitter."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, insert

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.register.recaller import Recaller
from poller.upkeep.janitor import Janitor
from shared.definition import Model
from shared.errors import NameTaken, SettingsError, SpoolError
from shared.lease import Keeper
from shared.lifecycle import State
from shared.providers.port import Profile, Provider
from shared.store import PositionRun
from shared.store.budgets import PIPELINE, Limit
from shared.store.tables import definitions
from shared.store.terms import Stated
from submitter.lineage.chronicle import Chronicle
from submitter.planning.planner import Planner
from tests.rig import samples
from tests.rig.fixtures import MakeTopic
from tests.rig.older import copied, restore
from tests.rig.results import SINK_TOPIC, Back, requests_of, sink
from tests.rig.stage import Stage

RECORDS = 6
MONTH, WEEK, HOUR = timedelta(days=31), timedelta(days=7), timedelta(hours=1)


@pytest.fixture(params=["openai", "anthropic"])
def back(
    request: pytest.FixtureRequest, server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> Iterator[Back]:
    topic = make_topic("sentiments", SINK_TOPIC)
    stage = Stage(server, tmp_path, request.param, sink(broker, topic))
    stage.store.lineage.claim_name("pipe", "file.sql")
    yield Back(stage, broker, f"progress-{topic}")
    stage.close()


@pytest.fixture
def stage(server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path)
    made.store.lineage.claim_name("pipe", "file.sql")
    yield made
    made.close()


def recaller(stage: Stage) -> Recaller:
    return Recaller(stage.store, stage.spool, stage.clock, HOUR)


def planner(stage: Stage, provider_for: Any = None) -> Planner:
    return Planner(stage.store, stage.spool, provider_for or stage.models().provider_for, stage.clock)


def creates(stage: Stage, key: str) -> int:
    """How often the provider took a batch with the requests of this one."""
    return stage.server.witness().custom_ids()[f"{key}-0"]


def check_once(back: Back, key: str) -> None:
    assert requests_of(back.outputs(at_least=RECORDS)) == {f"{key}-{number}": 1 for number in range(RECORDS)}
    assert creates(back.stage, key) == 1


def test_a_batch_that_was_sent_after_the_copy_comes_back_and_is_published(back: Back) -> None:
    stage = back.stage
    older = copied(stage)
    key = stage.submit(RECORDS)
    sent = stage.batch(key)
    restore(stage, older)
    duty = recaller(stage)
    assert duty.run_once() == {"recalled": 1}
    assert duty.run_once() == {}, "it looks at times only"
    assert stage.batch(key).state is State.AMBIGUOUS, "nobody may take it for one that was never sent"
    (day,) = (row for row in stage.store.status.daily() if row["reserved_usd"])
    assert day["reserved_usd"] == pytest.approx(sent.estimated_cost_usd)
    (out,) = back.finish(key)
    assert (out.state, out.provider_batch_id) == (State.PUBLISHED, sent.provider_batch_id)
    check_once(back, key)


def test_a_batch_whose_receipt_is_gone_too_is_looked_up(back: Back) -> None:
    stage = back.stage
    older = copied(stage)
    key = stage.submit(RECORDS)
    stage.path(f"{stage.spool.batch('pipe', 'sentiments', key)}/receipt-1.json").unlink()
    restore(stage, older)
    assert recaller(stage).run_once() == {"recalled": 1}
    back.finish(key)
    check_once(back, key)


def test_what_was_published_after_the_copy_is_not_published_again(back: Back) -> None:
    stage = back.stage
    older = copied(stage)
    key = stage.submit(RECORDS)
    back.finish(key)
    restore(stage, older)
    assert recaller(stage).run_once() == {"recalled": 1}
    (out,) = back.finish(key)
    assert (out.state, out.succeeded) == (State.PUBLISHED, RECORDS)
    check_once(back, key)


def test_what_was_deleted_after_the_copy_is_known_to_be_out(back: Back) -> None:
    stage = back.stage
    older = copied(stage)
    key = stage.submit(RECORDS)
    (out,) = back.finish(key)
    stage.ahead = MONTH
    keeper, provider_of = Keeper(stage.store, back.holder), stage.models().provider_of
    assert Janitor(stage.store, stage.spool, provider_of, keeper, stage.clock, retention=WEEK).run_once()["deleted"]
    restore(stage, older)
    assert recaller(stage).run_once() == {"recalled": 1, "plans": 1}
    known = stage.batch(key)
    assert (known.state, known.succeeded, known.published_at) == (out.state, RECORDS, out.published_at)
    check_once(back, key)


def deleted(stage: Stage, records: int = RECORDS) -> str:
    """A file that was planned, is out and deleted; where its plan's record lies."""
    before = set(plan_records(stage))
    key = stage.plan(records)
    stage.path(stage.batch(key).sealed_file or "").unlink()
    (record,) = set(plan_records(stage)) - before
    return record


def plan_records(stage: Stage) -> list[str]:
    return [entry.address for entry in stage.spool.files.entries("pipe/annals/plans")]


def test_rows_of_a_deleted_file_are_known_to_be_paid_for_before_a_submitter_reads_them_again(stage: Stage) -> None:
    """The store is an older copy that no poller has told yet what was deleted since: the topic has the rows still."""
    older = copied(stage)
    deleted(stage)
    restore(stage, older)
    Chronicle(stage.store, stage.spool, "pipe").remind()
    assert stage.plan_rows(range(RECORDS)) == []
    assert stage.plan_rows(range(RECORDS, RECORDS + 1)), "a new row is sent"


def test_a_forgotten_plan_that_can_not_be_read_keeps_no_other_and_stops_a_start(stage: Stage) -> None:
    older = copied(stage)
    records = [deleted(stage) for _ in range(3)]
    before = stage.store.positions.all("pipe", "sentiments")
    restore(stage, older)
    whole = stage.path(records[0]).read_text()
    stage.path(records[0]).write_text("{")
    assert recaller(stage).run_once()["plans"] == len(records) - 1
    with pytest.raises(SpoolError, match=f"{records[0]} is damaged"):
        Chronicle(stage.store, stage.spool, "pipe").remind()
    stage.path(records[0]).write_text(whole)
    Chronicle(stage.store, stage.spool, "pipe").remind()
    assert stage.store.positions.all("pipe", "sentiments") == before


def stage_of(stage: Stage, pipeline: str) -> Stage:
    """The stage, with another pipeline from here on."""
    stage.changes = {"pipeline": pipeline}
    return stage


def start(stage: Stage, file: str = "young.sql") -> int:
    """Start the pipeline, as `submitter run` does; its run's epoch."""
    name = stage.definition().pipeline
    chronicle = Chronicle(stage.store, stage.spool, name)
    chronicle.claim(file)
    chronicle.remind()
    chronicle.define(stage.definition())
    stage.store.budgets.state(name, [Limit(PIPELINE, None, 5.0)])
    stage.store.terms.state(name, Stated(retention=MONTH))
    epoch = stage.store.lineage.begin(name, definition="0" * 16, spool=stage.spool.address, job_id=uuid4().hex)
    chronicle.begun(epoch)
    return epoch


def lineage(stage: Stage, name: str = "young") -> list[object]:
    """What the store knows of a pipeline itself."""
    store = stage.store
    runs = [replace(run, skipped=0) for run in store.lineage.runs(name)]
    return [store.lineage.owner(name), runs, store.budgets.stated(name), store.terms.of(name)]


def test_a_pipeline_that_is_younger_than_the_copy_comes_back_and_is_published(back: Back) -> None:
    stage = back.stage
    older = copied(stage)
    start(stage_of(stage, "young"))
    key = stage.submit(RECORDS)
    Chronicle(stage.store, stage.spool, "young").finish(1, "finished")
    before = lineage(stage)
    restore(stage, older)
    duty = recaller(stage)
    assert duty.run_once() == {"pipelines": 1, "recalled": 1}
    assert lineage(stage) == before
    stage.ahead = 2 * HOUR
    assert duty.run_once() == {}
    assert start(stage) == 2
    (out,) = back.finish(key)
    assert out.state is State.PUBLISHED
    check_once(back, key)


def test_a_start_learns_the_runs_of_a_pipeline_that_is_younger_than_the_copy(stage: Stage) -> None:
    older = copied(stage)
    start(stage_of(stage, "young"))
    stage.plan(RECORDS)
    (file,) = stage.spool.sealed_files("young", "sentiments")
    before = lineage(stage)
    stage.path(file.address).unlink()
    restore(stage, older)
    with pytest.raises(NameTaken, match=r"used by young\.sql"):
        Chronicle(stage.store, stage.spool, "young").claim("another.sql")
    assert lineage(stage) == before
    assert start(stage) == 2
    assert stage.plan_rows(range(RECORDS)) == [], "they are paid for"


def test_a_file_is_planned_by_a_definition_that_only_the_annals_know(stage: Stage) -> None:
    older = copied(stage)
    stated = stage.definition()
    Chronicle(stage.store, stage.spool, "pipe").define(stated)
    file = samples.seal(stage.spool.files, stated, [samples.sealed_line(0, "text", [0, 0, 0])])
    restore(stage, older)
    assert len(planner(stage).plan("pipe", "sentiments", file)) == 1


def test_a_pipeline_of_another_store_is_left_alone_even_when_its_name_is_claimed(stage: Stage) -> None:
    other = Stage(stage.server, stage.folder / "other", spool_address=stage.spool_url, changes={"pipeline": "young"})
    start(other)
    theirs = other.plan()
    with pytest.raises(SettingsError, match=r"remembers run 1 of .* by another store"):
        start(stage_of(stage, "young"))
    stage.store.lineage.claim_name("young", "young.sql")
    assert recaller(stage).run_once() == {}
    assert stage.store.batches.get(theirs) is None
    other.close()


def test_a_damaged_run_of_a_forgotten_pipeline_is_told_and_keeps_no_other(stage: Stage) -> None:
    older = copied(stage)
    key = stage.plan()
    start(stage_of(stage, "young"))
    record = stage.path("young/annals/run-1.json")
    whole = record.read_text()
    restore(stage, older)
    record.write_text("{")
    assert recaller(stage).run_once() == {"recalled": 1, "faults": 1}
    assert stage.store.batches.get(key)
    record.write_text(whole)
    assert recaller(stage).run_once() == {"pipelines": 1}


def test_a_batch_that_was_planned_only_is_sent_once(stage: Stage) -> None:
    older = copied(stage)
    key = stage.plan(RECORDS)
    restore(stage, older)
    assert recaller(stage).run_once() == {"recalled": 1}
    assert stage.batch(key).state is State.SEALED
    stage.submission().work(key)
    assert recaller(stage).run_once() == {}
    assert creates(stage, key) == 1


def test_another_store_s_pipeline_and_a_damaged_manifest_are_left_alone(stage: Stage) -> None:
    older = copied(stage)
    good, damaged = stage.plan(), stage.plan()
    stage.path(f"{stage.spool.batch('pipe', 'sentiments', damaged)}/manifest.json").write_text("{")
    restore(stage, older)
    stage.path("pipe").rename(stage.path("other"))
    assert recaller(stage).run_once() == {}
    stage.path("other").rename(stage.path("pipe"))
    assert recaller(stage).run_once() == {"recalled": 1, "faults": 1}
    assert stage.batch(good).state is State.SEALED


def test_a_definition_of_another_version_in_the_store_keeps_no_other_batch(stage: Stage) -> None:
    """As after a newer version was tried, and taken back."""
    older = copied(stage)
    newer = stage.plan()
    stage.batch_options = {"max_requests": 10}
    key, stated = stage.plan(), stage.batch(newer).definition
    restore(stage, older)
    engine = create_engine(stage.store_url)
    with engine.begin() as connection:
        connection.execute(insert(definitions).values(hash=stated, json='{"version": 99}'))
    engine.dispose()
    assert recaller(stage).run_once() == {"recalled": 1, "faults": 1}
    assert stage.batch(key).state is State.SEALED


@dataclass
class Smaller:
    """A provider whose batches hold less by now: a plan that is made today is cut otherwise."""

    real: Provider

    @property
    def profile(self) -> Profile:
        return replace(self.real.profile, max_requests=2)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_a_plan_that_the_store_has_forgotten_is_read_and_not_made_anew(stage: Stage) -> None:
    older = copied(stage)
    key = stage.submit(RECORDS)
    before = stage.store.positions.all("pipe", "sentiments")
    restore(stage, older)
    (file,) = stage.spool.sealed_files("pipe", "sentiments")

    def smaller(model: Model) -> Any:
        return Smaller(stage.models().provider_for(model))

    assert planner(stage, smaller).plan("pipe", "sentiments", file) == [key]
    assert stage.store.positions.all("pipe", "sentiments") == before
    assert [batch.batch_key for batch in stage.store.batches.rows()] == [key]
    assert stage.store.plans.is_planned(file.address)
    stage.submission().work(key)
    assert stage.batch(key).state is State.SUBMITTED
    assert creates(stage, key) == 1


def test_a_forgotten_batch_that_stood_in_its_plan_s_folder_gets_its_place(stage: Stage) -> None:
    stage.batch_options = {"max_requests": 2}
    older = copied(stage)
    stated = stage.definition()
    stage.store.lineage.put_definition(stated)
    lines = [samples.sealed_line(number, f"text {number}", [0, 0, number]) for number in range(5)]
    file = samples.seal(stage.spool.files, stated, lines)
    keys = planner(stage).plan("pipe", "sentiments", file)
    assert len(keys) == 3
    attempt = stage.spool.new_attempt("pipe", "sentiments")
    place = stage.path(stage.spool.batch("pipe", "sentiments", keys[2]))
    stage.path(attempt).mkdir(exist_ok=True)
    place.rename(stage.path(f"{attempt}/{keys[2]}"))
    restore(stage, older)
    assert planner(stage).plan("pipe", "sentiments", file) == keys
    assert place.is_dir()

    (place / "manifest.json").unlink()
    stage.close()
    stage.store = stage.store.open(f"sqlite:///{stage.folder / 'empty.db'}")
    with pytest.raises(SpoolError, match=rf"{keys[2]}, a batch of that plan, is missing: restore it"):
        planner(stage).plan("pipe", "sentiments", file)


def test_rows_that_a_forgotten_plan_skipped_are_not_paid_for_by_its_memory(stage: Stage) -> None:
    """They were another file's, which is deleted since, and which the older ledger does not know."""
    older = copied(stage)
    stated = stage.definition()
    stage.store.lineage.put_definition(stated)

    def seal(name: str, offsets: range) -> Any:
        lines = [samples.sealed_line(number, f"text {number}", [0, 0, number]) for number in offsets]
        return samples.seal(stage.spool.files, stated, lines, name)

    first, second = seal("part-a-0-0", range(5)), seal("part-b-0-0", range(3, 9))
    assert planner(stage).plan("pipe", "sentiments", first)
    (key,) = planner(stage).plan("pipe", "sentiments", second)
    stage.path(first.address).unlink()
    restore(stage, older)
    assert planner(stage).plan("pipe", "sentiments", second) == [key]
    assert stage.store.positions.all("pipe", "sentiments") == [PositionRun("cluster", "topic-id", 0, 5, 9)]
    assert stage.batch(key).records == 4
