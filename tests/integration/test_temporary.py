"""What a command keeps for a while goes with it, and what a killed one left goes with the next."""

import os
import signal
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from deploy.sandbox.child import Child
from submitter.temporary import PREFIX, temporary
from tests.rig.processes import Processes, hears
from tests.rig.waiting import wait_until

HOLD = """
import os, sys, tempfile, threading
from pathlib import Path
from submitter.temporary import temporary
with temporary() as lock:
    made = Path(tempfile.mkdtemp(), "file")
    made.write_text(os.environ["JVM_ARGS"])
    Path(sys.argv[1]).write_text(str(made))
    while not Path(sys.argv[1] + ".go").exists():
        threading.Event().wait(0.02)
"""
LOCK = """
import fcntl, sys, threading
with open(sys.argv[1], "w") as held:
    fcntl.lockf(held, fcntl.LOCK_EX)
    open(sys.argv[1] + ".held", "w").close()
    threading.Event().wait()
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("JVM_ARGS", "-Xmx1g")
    return tmp_path / "state" / "batchline" / "tmp"


def hold(processes: Processes, said: Path) -> tuple[Child, Path]:
    """A process within its temporary folder, and a file that it made there."""
    child = processes.start("hold", [sys.executable, "-c", HOLD, said])
    made = wait_until(lambda: said.read_text() if said.exists() else None, 60, child.tail)
    return child, Path(made)


def left(folders: Path) -> list[str]:
    return [path.name for path in folders.glob(f"{PREFIX}*/")]


def test_what_a_killed_command_left_is_removed_by_the_next(folders: Path, processes: Processes, tmp_path: Path) -> None:
    killed, its = hold(processes, tmp_path / "first")
    living, other = hold(processes, tmp_path / "second")
    assert its.is_relative_to(folders)
    assert its.read_text().startswith(f"-Xmx1g -Djava.io.tmpdir={its.parents[1]} ")
    assert stat.S_IMODE(its.parents[1].stat().st_mode) == 0o700
    killed.kill()
    assert its.exists()
    with temporary():
        assert not its.exists()
        assert other.exists()
    (tmp_path / "second.go").write_text("")
    assert living.wait(60) == 0
    assert left(folders) == []


def test_a_folder_stays_while_the_jvm_of_a_killed_command_lives(
    folders: Path, processes: Processes, tmp_path: Path
) -> None:
    killed, its = hold(processes, tmp_path / "first")
    lock = its.parents[1] / "jvm.lock"
    jvm = processes.start("jvm", [sys.executable, "-c", LOCK, lock])
    wait_until(lambda: lock.with_name("jvm.lock.held").exists(), 60, jvm.tail)
    killed.kill()
    with temporary():
        assert its.exists()
        jvm.kill()
    assert left(folders) == []


def test_where_no_state_can_be_kept_it_lies_in_the_systems_folder(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flat").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "flat"))
    with temporary(system=tmp_path) as lock:
        assert lock.parents[1] == tmp_path
        assert os.environ["TMPDIR"] == tempfile.gettempdir() == str(lock.parent)
    assert tempfile.gettempdir() != str(lock.parent), "what comes later has a folder that is there"
    assert not lock.parent.exists()
    assert not folders.exists()


def test_a_stop_is_heard_before_anything_is_loaded(processes: Processes, tmp_path: Path) -> None:
    heavy = "{'click', 'pydantic', 'sqlalchemy', 'pyflink'}"
    shown = processes.start(
        "shown", [sys.executable, "-c", f"import sys, submitter.__main__; print({heavy} & {{*sys.modules}})"]
    )
    assert shown.wait(60) == 0
    assert shown.tail() == "set()"
    run = processes.command("submitter", "run", tmp_path / "nothing.sql")
    wait_until(lambda: hears(run, signal.SIGTERM), 60, run.tail, interval=0.001)
    run.signal(signal.SIGTERM)
    assert run.wait(60) == 0
    assert "stopped before anything was started" in run.tail()
