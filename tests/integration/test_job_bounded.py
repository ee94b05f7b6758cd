"""Why a sealing query is joined with an endless source: without it, a kill at the end can't be restored for ever."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

from deploy.sandbox.child import Child
from tests.integration.job_files import complete_checkpoints, finished_files, newest_checkpoint, sealed_rows
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

ROWS = 3750
# At 500 a second they end long after the first checkpoint, of one every second.
PATIENCE = 150
SCRIPT = "tests.integration.job_sealing"


def started(processes: Processes, folder: Path, variant: str) -> Child:
    return processes.start(variant, [sys.executable, "-m", SCRIPT, folder, variant, str(ROWS)])


def kill_after_the_last_commit(job: Child, folder: Path) -> None:
    wait_until(lambda: finished_files(folder / "sealed"), PATIENCE, lambda: f"a finished file; {job.tail()}")
    # Its JVM too: it would live on for a moment, long enough for one more checkpoint.
    os.killpg(job.pid, signal.SIGKILL)
    job.wait(PATIENCE)


def restored(processes: Processes, folder: Path, variant: str) -> str:
    checkpoint = newest_checkpoint(folder / "checkpoints")
    job = processes.start(variant, [sys.executable, "-m", SCRIPT, folder, variant, str(ROWS), checkpoint])
    job.wait(PATIENCE)
    return job.tail()


def test_a_kill_after_the_last_commit_is_restored(processes: Processes, tmp_path: Path) -> None:
    kill_after_the_last_commit(started(processes, tmp_path, "endless"), tmp_path)
    said = restored(processes, tmp_path, "endless")
    assert "sealed" in said.splitlines()
    assert Counter(row["row"]["n"] for row in sealed_rows(tmp_path / "sealed")) == Counter(range(1, ROWS + 1))


def test_without_the_endless_source_it_can_not_be_restored(processes: Processes, tmp_path: Path) -> None:
    """The negative control: the file that the checkpoint speaks of was committed outside of one, and is gone.

    A file in their folder's place keeps later checkpoints from coming between that commit and the kill.
    """
    job = started(processes, tmp_path, "plain")
    checkpoints, aside = tmp_path / "checkpoints", tmp_path / "aside"
    wait_until(lambda: complete_checkpoints(checkpoints), PATIENCE, lambda: f"a checkpoint; {job.tail()}")
    checkpoints.rename(aside)
    checkpoints.touch()
    kill_after_the_last_commit(job, tmp_path)
    checkpoints.unlink()
    aside.rename(checkpoints)
    assert "FileNotFoundException" in restored(processes, tmp_path, "plain")
