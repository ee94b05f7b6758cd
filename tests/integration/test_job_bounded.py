"""Why a sealing query is joined with an endless source: without it, a kill at the end can't be restored for ever."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.job_files import complete_checkpoints, finished_files, newest_checkpoint, sealed_rows
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

ROWS = 3750
# At 500 a second they end midway between the first checkpoint, of one every 5 s, and the second.
PATIENCE = 150
KILLS = 5
SCRIPT = "tests.integration.job_sealing"


def kill_after_the_last_commit(processes: Processes, folder: Path, variant: str) -> None:
    job = processes.start(variant, [sys.executable, "-m", SCRIPT, folder, variant, str(ROWS)])
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
    kill_after_the_last_commit(processes, tmp_path, "endless")
    said = restored(processes, tmp_path, "endless")
    assert "sealed" in said.splitlines()
    assert Counter(row["row"]["n"] for row in sealed_rows(tmp_path / "sealed")) == Counter(range(1, ROWS + 1))


def test_without_the_endless_source_it_can_not_be_restored(processes: Processes, tmp_path: Path) -> None:
    """The negative control: the file that the checkpoint speaks of was committed outside of one, and is gone.

    A kill after one more checkpoint, or before the first, proves nothing, and another follows.
    """
    for attempt in range(KILLS):
        folder = tmp_path / str(attempt)
        kill_after_the_last_commit(processes, folder, "plain")
        if not complete_checkpoints(folder / "checkpoints"):
            continue
        if "FileNotFoundException" in restored(processes, folder, "plain"):
            return
    pytest.fail(f"{KILLS} kills after the last commit, and none left a checkpoint that can not be restored")
