"""Deleting what is out and old, here and at the strict fake provider, and nothing else."""

import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.sandbox.provider.server import ProviderServer
from poller.upkeep.janitor import Janitor
from shared.errors import NotFound
from shared.keys import child_key
from shared.lease import Keeper, this_process
from shared.lifecycle import Event, State
from shared.spool import DECISION, MANIFEST, REQUESTS
from shared.store import OWN_JOB, Batch
from shared.store.terms import Stated
from tests.rig.stage import Stage

PROCESSING_SECONDS = 0.2
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
OLDER = WEEK + HOUR


@pytest.fixture(params=["openai", "anthropic"])
def stage(request: pytest.FixtureRequest, server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    server.clear_faults()
    made = Stage(server, tmp_path, request.param)
    yield made
    made.close()


def janitor(stage: Stage) -> Janitor:
    keeper = Keeper(stage.store, this_process())
    return Janitor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock, retention=WEEK)


def published(stage: Stage) -> Batch:
    """A batch that the provider has executed, and that is out as far as the store knows."""
    key = stage.submit()
    stage.watch_until(key, State.ENDED)
    stage.store.batches.collect(key)
    stage.store.batches.tally(key, succeeded=3, failed=0)
    return stage.store.batches.apply(key, Event.PUBLISH)


def sealed_file(stage: Stage, batch: Batch) -> Path:
    assert batch.sealed_file is not None
    return stage.path(batch.sealed_file)


def has_results(stage: Stage, batch: Batch, into: Path) -> bool:
    provider = stage.models().provider_of(batch)
    try:
        return bool(provider.download(provider.retrieve(batch.provider_batch_id or ""), into))
    except NotFound:
        return False


def test_row_18_what_is_out_and_old_is_deleted_here_and_at_the_provider(stage: Stage, tmp_path: Path) -> None:
    batch = published(stage)
    folder = stage.path(stage.spool.batch(batch.pipeline, batch.statement, batch.batch_key))
    assert has_results(stage, batch, tmp_path / "before")
    assert janitor(stage).run_once() == {}, "it is not old enough"
    stage.ahead = OLDER
    assert janitor(stage).run_once() == {"deleted": 1}
    assert not sealed_file(stage, batch).exists()
    assert not (folder / REQUESTS).exists()
    assert (folder / MANIFEST).exists()
    assert not has_results(stage, batch, tmp_path / "after")
    assert stage.batch(batch.batch_key) == batch, "the row stays"
    assert janitor(stage).run_once() == {}


@pytest.mark.parametrize(("stated", "kept"), [(30 * DAY, 30 * DAY), (DAY, DAY), (None, WEEK)])
def test_a_pipelines_data_are_kept_as_long_as_it_states(
    stage: Stage, stated: timedelta | None, kept: timedelta
) -> None:
    """Here and at the provider; the poller's setting holds where a pipeline states nothing."""
    batch = published(stage)
    stage.store.terms.state(batch.pipeline, Stated(retention=stated))
    left = sealed_file(stage, batch).with_name(".part-x.inprogress.1")
    left.touch()
    stage.ahead = kept - HOUR
    assert janitor(stage).run_once() == {}
    assert left.exists()
    assert has_results(stage, batch, stage.folder / "before")
    stage.ahead = kept + HOUR
    assert janitor(stage).run_once() == {"deleted": 1}
    assert not left.exists()
    assert not has_results(stage, batch, stage.folder / "after")


def test_what_is_still_under_way_is_kept(stage: Stage) -> None:
    key = stage.submit()
    stage.ahead = 10 * WEEK
    assert janitor(stage).run_once() == {}
    assert sealed_file(stage, stage.batch(key)).exists()


def test_what_a_restorable_checkpoint_is_older_than_is_kept(stage: Stage) -> None:
    batch = published(stage)
    sealed_at = sealed_file(stage, batch).stat().st_ctime
    store = stage.store
    store.lineage.claim_name(batch.pipeline, "/somewhere/file.sql")
    epoch = store.lineage.begin(batch.pipeline, definition=batch.definition, spool=stage.spool_url, job_id="job")
    assert epoch == 1
    checkpoint = stage.path(f"{batch.pipeline}/checkpoints/job/chk-3/_metadata")
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    os.utime(checkpoint, (sealed_at - 60, sealed_at - 60))
    stage.ahead = OLDER
    assert janitor(stage).run_once() == {}
    os.utime(checkpoint, (sealed_at + 60, sealed_at + 60))
    assert janitor(stage).run_once() == {"deleted": 1}


def test_checkpoints_in_a_folder_of_the_users_are_asked_too_and_where_they_are_out_of_sight_nothing_is_deleted(
    stage: Stage, tmp_path: Path
) -> None:
    batch, elsewhere = published(stage), tmp_path / "elsewhere"
    sealed_at = sealed_file(stage, batch).stat().st_ctime
    store = stage.store
    store.lineage.claim_name(batch.pipeline, "/somewhere/file.sql")
    store.lineage.begin(batch.pipeline, definition=batch.definition, spool=stage.spool_url, job_id="job")
    store.terms.state(batch.pipeline, Stated(checkpoints=elsewhere.as_uri()))
    left = sealed_file(stage, batch).with_name(".part-x.inprogress.1")
    left.touch()
    os.utime(left, (0, 0))
    stage.ahead = OLDER
    assert janitor(stage).run_once() == {}, "it lies out of sight"
    checkpoint = elsewhere / "job" / "chk-3" / "_metadata"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(left.name.encode())
    os.utime(checkpoint, (sealed_at - 60, sealed_at - 60))
    assert janitor(stage).run_once() == {}, "it is older than the seal"
    os.utime(checkpoint, (sealed_at + 60, sealed_at + 60))
    assert janitor(stage).run_once() == {"deleted": 1}
    assert left.exists(), "the checkpoint speaks of it"


def test_a_pipeline_whose_checkpoints_can_not_be_read_keeps_its_own_data_alone(stage: Stage, tmp_path: Path) -> None:
    stage.changes = {"pipeline": "another"}
    unread = published(stage)
    stage.changes = {}
    batch, nowhere = published(stage), tmp_path / "a-ring-of-links"
    nowhere.symlink_to(nowhere)
    stage.store.terms.state("another", Stated(checkpoints=nowhere.as_uri()))
    stage.ahead = OLDER
    assert janitor(stage).run_once() == {"faults": 1, "deleted": 1}
    assert sealed_file(stage, unread).exists()
    assert not sealed_file(stage, batch).exists()


def test_an_abandoned_child_of_a_damaged_decision_is_kept_and_other_attempts_are_not(stage: Stage) -> None:
    parent = stage.batch(stage.plan())
    folder = stage.spool.batch(parent.pipeline, parent.statement, parent.batch_key)
    stage.path(f"{folder}/{DECISION}").write_text("{")
    left = [stage.path(stage.spool.new_attempt(parent.pipeline, parent.statement)) for _ in range(2)]
    (left[0] / child_key(parent.batch_key, 0)).mkdir()
    for path in left:
        os.utime(path, (0, 0))
    assert janitor(stage).run_once() == {}
    assert [path.exists() for path in left] == [True, False]


def test_a_provider_that_is_away_delays_the_deletion(stage: Stage) -> None:
    batch = published(stage)
    stage.ahead = OLDER
    stage.server.set_fault("http_5xx")
    assert janitor(stage).run_once() == {"waiting": 1}
    assert sealed_file(stage, batch).exists()
    stage.server.clear_faults()
    assert janitor(stage).run_once() == {"deleted": 1}


def test_what_killed_processes_left_is_removed_and_what_is_planned_is_not(stage: Stage) -> None:
    planned = stage.batch(stage.plan())
    sealed = sealed_file(stage, planned).parent
    left, fresh = sealed / ".part-x.inprogress.1", sealed / ".part-x.inprogress.2"
    for path in (left, fresh):
        path.touch()
    attempt = stage.path(stage.spool.new_attempt(planned.pipeline, planned.statement))
    (attempt / planned.batch_key).mkdir()
    for path in (left, attempt):
        os.utime(path, (0, 0))
    assert janitor(stage).run_once() == {}
    assert not left.exists()
    assert not attempt.exists()
    assert fresh.exists()
    assert sealed_file(stage, planned).exists()


def test_what_a_killed_process_had_on_the_local_disk_is_removed(stage: Stage) -> None:
    """Nobody may ever need such a folder again, and what a provider said in it is not redacted."""
    left = Path(tempfile.mkdtemp(prefix="batchline-spool-"))
    (left / "lock").touch()
    (left / "1-file.jsonl").write_bytes(b"said")
    janitor(stage).run_once()
    assert not left.exists()


@pytest.mark.parametrize("beside", ["_metadata", "5f0c-state-in-a-file-of-its-own"])
def test_a_file_in_progress_of_a_pipeline_that_stood_still_is_there_when_it_is_started_again(
    stage: Stage, beside: str
) -> None:
    planned = stage.batch(stage.plan())
    store = stage.store
    store.lineage.claim_name(planned.pipeline, "/somewhere/file.sql")
    store.lineage.begin(planned.pipeline, definition=planned.definition, spool=stage.spool_url, job_id="job")
    sealed = sealed_file(stage, planned).parent
    wanted, left = sealed / ".part-x-0-7.inprogress.1", sealed / ".part-x-0-6.inprogress.2"
    for path in (wanted, left):
        path.touch()
    checkpoint = stage.path(f"{planned.pipeline}/checkpoints/job/chk-3")
    checkpoint.mkdir(parents=True)
    (checkpoint / "_metadata").touch()
    (checkpoint / beside).write_bytes(b"\x00\x17" + wanted.name.encode() + b"\x00")
    stage.ahead = OLDER
    janitor(stage).run_once()
    assert wanted.exists()
    assert not left.exists()


def test_what_a_checkpoint_of_a_job_of_the_users_needs_is_kept_though_its_folder_has_another_name(
    stage: Stage, tmp_path: Path
) -> None:
    """Flink names it by an id of its own. Jobs that wrote there before this run began are others."""
    planned = stage.batch(stage.plan())
    store, elsewhere = stage.store, tmp_path / "checkpoints-of-the-users"
    store.lineage.claim_name(planned.pipeline, "/somewhere/job.py")
    store.terms.state(planned.pipeline, Stated(checkpoints=elsewhere.as_uri()))
    job = f"{OWN_JOB}1"
    store.lineage.begin(planned.pipeline, definition=planned.definition, spool=stage.spool_url, job_id=job)
    begun_at = store.lineage.runs(planned.pipeline)[0].started_at
    sealed = sealed_file(stage, planned).parent
    wanted, left = sealed / ".part-x-0-7.inprogress.1", sealed / ".part-x-0-6.inprogress.2"
    for path, name, seconds in ((wanted, "flinks", 60), (left, "another", -60)):
        path.touch()
        metadata = elsewhere / name / "chk-3" / "_metadata"
        metadata.parent.mkdir(parents=True)
        metadata.write_bytes(b"\x00\x17" + path.name.encode() + b"\x00")
        os.utime(metadata, (begun_at.timestamp() + seconds,) * 2)
    stage.ahead = OLDER
    janitor(stage).run_once()
    assert wanted.exists()
    assert not left.exists()


def test_nothing_is_deleted_while_no_checkpoint_of_a_job_of_the_users_is_seen(stage: Stage) -> None:
    batch = published(stage)
    stage.store.lineage.claim_name(batch.pipeline, "/somewhere/job.py")
    job = f"{OWN_JOB}1"
    stage.store.lineage.begin(batch.pipeline, definition=batch.definition, spool=stage.spool_url, job_id=job)
    stage.ahead = OLDER
    assert janitor(stage).run_once() == {}
    assert sealed_file(stage, batch).exists()
