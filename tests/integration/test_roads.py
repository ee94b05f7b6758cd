"""Where a start finds its state: the lineage in a real store, checkpoint folders and sealed files on disk."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.spool import Spool
from shared.store import Store
from submitter.lineage.roads import Roads
from tests.rig import samples
from tests.rig.stores import NOON, SetClock, plan

JOBS = ["a" * 32, "b" * 32, "c" * 32]


class Past:
    """A pipeline's past, made as Flink and the runs leave it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, SetClock()
        self.store = Store.open(f"sqlite:///{folder / 'state.db'}", self.clock)
        self.store.lineage.claim_name("pipe", "file.sql")
        spool = Spool(f"file://{folder / 'spool'}")
        self.roads = Roads("pipe", self.store, spool, (folder / "checkpoints").as_uri())

    def run(self, job: int, restored_from: str | None = None) -> None:
        begin = self.store.lineage.begin
        begin("pipe", definition="d", spool="file:///s", job_id=JOBS[job], restored_from=restored_from)

    def state(self, address: str, minute: int) -> str:
        """A complete checkpoint or savepoint; its address."""
        path = self.folder / address
        path.mkdir(parents=True)
        (path / "_metadata").touch()
        _date(path / "_metadata", minute)
        return path.as_uri()

    def seal(self, minute: int) -> None:
        stated = samples.definition()
        file = samples.seal(self.roads.spool.files, stated, [samples.sealed_line(1, "x", None)])
        _date(self.folder / "spool" / file.address, minute)


def _date(path: Path, minute: int) -> None:
    moment: datetime = NOON + timedelta(minutes=minute)
    os.utime(path, (moment.timestamp(), moment.timestamp()))


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    made = Past(tmp_path)
    yield made
    made.store.close()


def test_the_chain_goes_on_from_a_savepoint_that_the_user_named(past: Past) -> None:
    past.run(0)
    past.state(f"checkpoints/{JOBS[0]}/chk-3", 1)
    savepoint = past.state("elsewhere/savepoint-aaaaaa-1", 5)
    past.run(1, restored_from=savepoint)
    road = past.roads.find("d", None, fresh=False)
    assert (road.restore, road.is_own) == (savepoint, False), "killed before its first checkpoint"
    own = past.state(f"checkpoints/{JOBS[1]}/chk-1", 6)
    road = past.roads.find("d", None, fresh=False)
    assert (road.restore, road.is_own) == (own, True)


def test_a_path_without_a_scheme_or_with_its_metadata_file_is_the_same_state(past: Past) -> None:
    past.run(0)
    savepoint = past.state("elsewhere/savepoint-aaaaaa-1", 5).removeprefix("file://")
    for named in (savepoint, f"{savepoint}/", f"{savepoint}/_metadata"):
        assert past.roads.find("d", named, fresh=False).restore == savepoint
    past.run(1, restored_from=savepoint)
    assert past.roads.find("d", None, fresh=False).restore == savepoint


def test_a_state_that_is_not_there_is_said_before_anything_starts(past: Past) -> None:
    past.run(0)
    with pytest.raises(SettingsError, match=r"no complete checkpoint or savepoint at /nowhere/chk-1; correct it"):
        past.roads.find("d", "/nowhere/chk-1", fresh=False)
    assert past.roads.find("d", "s3://bucket/chk-1", fresh=False).restore == "s3://bucket/chk-1"
    assert past.roads.find("d", "/nowhere/chk-1", fresh=True).restore is None


def test_a_savepoint_with_a_file_that_a_later_checkpoint_finished_is_too_old(past: Past) -> None:
    past.run(0)
    savepoint = past.state("elsewhere/savepoint-aaaaaa-1", 5)
    past.seal(4)
    assert past.roads.find("d", savepoint, fresh=False).restore == savepoint
    past.state(f"checkpoints/{JOBS[0]}/chk-9", 6)
    past.store.plans.commit(plan("the file", planned_at=NOON + timedelta(minutes=7)))
    road = past.roads.find("d", savepoint, fresh=False)
    assert road.restore is None
    assert road.reason == f"{savepoint} is older than the newest sealed file"
    assert past.roads.find("d", None, fresh=False).restore is not None, "the newest checkpoint is the one that did it"


def test_a_file_that_was_written_after_the_newest_checkpoint_makes_it_too_old(past: Past) -> None:
    past.run(0)
    past.state(f"checkpoints/{JOBS[0]}/chk-9", 6)
    past.seal(7)
    assert past.roads.find("d", None, fresh=False).restore is None
