"""A child process ends with its parent, however the parent ends, and leaves nothing of its own behind."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.rig.processes import Processes, lives
from tests.rig.waiting import wait_until

# Starts a Child that starts a grandchild, writes both pids, and waits.
PARENT = """
import pathlib, sys, threading
from deploy.sandbox.child import Child
where = pathlib.Path(sys.argv[1])
script = "sleep 600 & echo $! > grandchild; wait"
made = where / "made"
made.mkdir()
child = Child(["/bin/sh", "-c", script], log=where / "log", cwd=where, temporary=made)
(where / "child").write_text(f"{child.pid}\\n")
threading.Event().wait()
"""


def gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not lives(psutil.Process(pid))
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_and_what_it_started_end_with_the_parent(
    processes: Processes, tmp_path: Path, number: signal.Signals
) -> None:
    root = Path(__file__).parents[2]
    parent = processes.start("parent", [sys.executable, "-c", PARENT, tmp_path], env={"PYTHONPATH": str(root)})
    pids = [_pid(tmp_path / "child"), _pid(tmp_path / "grandchild")]
    assert not any(gone(pid) for pid in pids)
    assert (tmp_path / "made").exists()
    parent.signal(number)
    wait_until(lambda: all(gone(pid) for pid in pids), 20, "the end of child and grandchild")
    wait_until(lambda: not (tmp_path / "made").exists(), 20, "the end of their temporary folder")


def test_terminate_kills_what_does_not_listen(processes: Processes) -> None:
    deaf = processes.start("deaf", ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
    wait_until(lambda: "ready" in deaf.tail(), 20, "the trap")
    assert deaf.terminate(grace=0.2) == -signal.SIGKILL


def test_waiting_in_vain_shows_the_log(processes: Processes) -> None:
    busy = processes.start("busy", ["/bin/sh", "-c", "echo still counting; exec sleep 600"])
    wait_until(lambda: "counting" in busy.tail(), 20, "its first line")
    with pytest.raises(TimeoutError, match="still counting"):
        busy.wait(0.1)
    busy.kill()
    assert busy.returncode == -signal.SIGKILL


def test_the_environment_is_laid_over_ours(processes: Processes) -> None:
    child = processes.start(
        "env", ["/bin/sh", "-c", 'test "$BATCHLINE_TEST" = yes && test -n "$PATH"'], env={"BATCHLINE_TEST": "yes"}
    )
    assert child.wait(20) == 0
    assert "BATCHLINE_TEST" not in os.environ


def _pid(path: Path) -> int:
    return int(wait_until(lambda: path.read_text().strip() if path.exists() else None, 20, f"the pid in {path.name}"))
