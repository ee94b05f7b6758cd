"""The state store lost altogether: rebuilt from the spool, the topic and the provider; nothing is done twice."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from poller.health import Watchdog
from poller.publish.archivist import MARKERS_KEPT, Archivist
from poller.register.recaller import Recaller
from poller.upkeep.janitor import Janitor
from shared.annals import Annals
from shared.lease import Keeper, this_process
from shared.lifecycle import State
from shared.spool import MANIFEST
from shared.store import Run
from submitter.lineage.chronicle import Chronicle
from submitter.planning.planner import Planner
from tests.rig.objects import ObjectStore
from tests.rig.older import copied, restore
from tests.rig.rebuilding import (
    DAY,
    PROVIDERS,
    RECORDS,
    MakeBack,
    at_every_moment,
    begin,
    charged,
    check_once,
    drop,
    finish,
    ledger,
    plan,
    rebuild,
    registrar,
    seal,
)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_whatever_the_moment_everything_comes_out_once(make_back: MakeBack, batches_topic: str, provider: str) -> None:
    back = make_back(provider)
    stage = back.stage
    epoch = begin(stage)
    keys = at_every_moment(back, batches_topic)
    before, runs = ledger(stage), stage.store.lineage.runs("pipe")
    ids = {moment: stage.batch(key).provider_batch_id for moment, key in keys.items()}
    drop(stage)
    rebuild(back, batches_topic)
    assert ledger(stage) == before
    assert [replace(run, skipped=0) for run in stage.store.lineage.runs("pipe")] == [
        replace(r, skipped=0) for r in runs
    ]
    states = {moment: stage.batch(key).state for moment, key in keys.items()}
    assert states == {
        "published": State.ENDED,
        "child carried": State.ENDED,
        "half published": State.ENDED,
        "collected": State.ENDED,
        "ended": State.SUBMITTED,
        "submitted": State.SUBMITTED,
        "planned": State.SEALED,
        "submitting": State.AMBIGUOUS,
    }
    assert {moment: stage.batch(key).provider_batch_id for moment, key in keys.items()} == ids
    finish(back, batches_topic)
    check_once(back, stage.files * RECORDS)
    assert begin(stage) == epoch + 1
    creates = Counter(str(event["batch"]) for event in stage.server.witness().creates(provider))
    assert len(creates) == stage.files + 1, "one for each file, and the child's"


def test_a_store_that_is_lost_again_and_again_changes_nothing(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    at_every_moment(back, batches_topic)
    for _ in range(2):
        drop(stage)
        rebuild(back, batches_topic)
        registering = registrar(back, batches_topic)
        registering.run_once()
        registering.close()
        stage.watcher().run_once()
        back.collector().run_once()
    drop(stage)
    rebuild(back, batches_topic)
    finish(back, batches_topic)
    check_once(back, stage.files * RECORDS)


def test_what_is_deleted_and_forgotten_stays_out_and_paid(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    (key,) = plan(stage, seal(stage, "old", range(RECORDS)))
    back.finish(key)
    stage.ahead = MARKERS_KEPT + DAY
    keeper, retention = Keeper(stage.store, this_process()), 7 * DAY
    Janitor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock, retention=retention).run_once()
    outboxes, watchdog = back.outboxes(), Watchdog(stage.store, this_process())
    forgotten = Archivist(
        stage.store,
        stage.spool,
        stage.models().definition,
        outboxes,
        keeper,
        watchdog,
        stage.clock,
        retention=retention,
    ).run_once()
    outboxes.close()
    assert forgotten == {"forgotten": 1}
    before, days = stage.batch(key), charged(stage)
    drop(stage)
    rebuild(back, batches_topic)
    known = stage.batch(key)
    assert (known.state, known.succeeded, known.cost_usd) == (State.PUBLISHED, RECORDS, before.cost_usd)
    assert charged(stage) == days
    again = seal(stage, "again", range(RECORDS))
    assert plan(stage, again) == [], "every position is paid for"
    check_once(back, RECORDS)


def test_what_is_all_deleted_from_an_object_store_stays_out_and_paid(
    make_back: MakeBack, batches_topic: str, object_store: ObjectStore
) -> None:
    """A folder there ends with its last file: of the statement only its batches are left."""
    back = make_back(spool_address=f"s3://{object_store.bucket()}/spool")
    stage = back.stage
    epoch = begin(stage)
    file = seal(stage, "old", range(RECORDS))
    (key,) = plan(stage, file)
    back.finish(key)
    stage.ahead = 30 * DAY
    keeper, provider_of = Keeper(stage.store, this_process()), stage.models().provider_of
    janitor = Janitor(stage.store, stage.spool, provider_of, keeper, stage.clock, retention=7 * DAY)
    assert janitor.run_once() == {"deleted": 1}
    before, planned_at = ledger(stage), stage.store.plans.planned_at(file.address)
    drop(stage)
    rebuild(back, batches_topic)
    assert ledger(stage) == before
    assert stage.store.plans.planned_at(file.address) == planned_at
    assert (stage.batch(key).state, stage.batch(key).succeeded) == (State.PUBLISHED, RECORDS)
    assert begin(stage) == epoch + 1
    check_once(back, RECORDS)


def test_a_pipeline_that_has_sealed_nothing_yet_keeps_its_run(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    epoch = begin(stage)
    before = stage.store.lineage.runs("pipe")
    drop(stage)
    rebuild(back, batches_topic)
    assert stage.store.lineage.runs("pipe") == before
    assert begin(stage) == epoch + 1


def test_a_batch_that_was_committed_and_not_yet_in_its_place_gets_it(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back(batch_options={"max_requests": 2})
    stage = back.stage
    keys = plan(stage, seal(stage, "cut", range(RECORDS)))
    (record,) = Annals(stage.spool, "pipe").plans()
    place = stage.path(stage.spool.batch("pipe", "sentiments", keys[1]))
    stage.path(record.attempt).mkdir()
    place.rename(stage.path(f"{record.attempt}/{keys[1]}"))
    drop(stage)
    rebuild(back, batches_topic)
    assert (place / MANIFEST).exists()
    finish(back, batches_topic)
    check_once(back, RECORDS)


def test_a_plan_that_lost_leaves_no_record(make_back: MakeBack) -> None:
    """Its rows may be paid for by another plan: only what was committed counts."""
    stage = make_back().stage
    file = seal(stage, "raced", range(RECORDS))
    planner = Planner(stage.store, stage.spool, stage.models().provider_for, stage.clock)
    stated = stage.definition()
    loser = planner._draft(stated, file, stage.spool.new_attempt("pipe", "sentiments"))
    assert plan(stage, file)
    assert not stage.store.plans.commit(loser)
    (record,) = Annals(stage.spool, "pipe").plans()
    assert record.attempt != loser.attempt_folder


def test_what_was_refused_is_not_sent_again(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    stage.server.set_fault("bad_line_fails_batch", numbers=[1], code="model_not_found", times=1)
    key = stage.submit(RECORDS)
    back.collect(key)
    drop(stage)
    rebuild(back, batches_topic)
    finish(back, batches_topic)
    assert stage.batch(key).state is State.FAILED
    assert len(stage.server.witness().creates()) == 1
    assert len(back.outputs(at_least=RECORDS)) == RECORDS


def test_an_older_copy_of_the_store_learns_the_positions_of_files_that_are_deleted(make_back: MakeBack) -> None:
    stage = make_back().stage
    older = copied(stage)
    file = seal(stage, "deleted", range(RECORDS))
    plan(stage, file)
    before = stage.store.positions.all("pipe", "sentiments")
    stage.spool.files.delete(file.address)
    restore(stage, older)
    duty = Recaller(stage.store, stage.spool, stage.clock, timedelta())
    assert duty.run_once()["plans"] == 1
    assert stage.store.positions.all("pipe", "sentiments") == before
    assert "plans" not in duty.run_once()
    assert plan(stage, seal(stage, "again", range(RECORDS))) == []


def test_a_run_s_end_is_remembered_too(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    seal(stage, "any", range(RECORDS))
    for outcome in ("finished", "stopped"):
        Chronicle(stage.store, stage.spool, "pipe").finish(begin(stage), outcome)

    def told() -> list[Run]:
        return stage.store.lineage.runs("pipe")

    before = told()
    drop(stage)
    rebuild(back, batches_topic)
    assert told() == before
    assert not stage.store.lineage.is_current("pipe", 2)
