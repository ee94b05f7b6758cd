"""The poller can be told to stop from its first moment on, also while it still loads what it needs."""

import signal
import sys
from pathlib import Path

import pytest

from deploy.sandbox.child import Child
from tests.rig.processes import Processes, hears
from tests.rig.waiting import wait_until

TRIES = 5


def started(processes: Processes, folder: Path, command: str) -> Child:
    """A command that hears signals, and has not begun to work."""
    store = f"sqlite:///{folder / 'state.db'}"
    rest = ["--spool", (folder / "spool").as_uri(), "--bootstrap-servers", "127.0.0.1:1"]
    child = processes.command("poller", command, "--state-store", store, *(rest if command != "status" else []))
    wait_until(lambda: hears(child, signal.SIGTERM), 60, child.tail, interval=0.001)
    return child


def test_nothing_heavy_is_loaded_before_a_stop_is_heard(processes: Processes) -> None:
    heavy = "{'click', 'pydantic', 'sqlalchemy', 'confluent_kafka', 'openai'}"
    shown = processes.start(
        "shown", [sys.executable, "-c", f"import sys, poller.__main__; print({heavy} & {{*sys.modules}})"]
    )
    assert shown.wait(60) == 0
    assert shown.tail() == "set()"


@pytest.mark.parametrize("command", ["run", "once"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_it_loads_ends_it_cleanly(
    processes: Processes, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """A signal can come too late, after the store was made; then it proves nothing, and another follows."""
    for attempt in range(TRIES):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        child = started(processes, folder, command)
        child.signal(number)
        code = child.wait(60)
        if not (folder / "state.db").exists():
            assert (code, child.tail()) == (0, "stopped before anything was started")
            return
    pytest.fail(f"{TRIES} signals while it loaded, and it began its work after each")


def test_a_command_that_only_looks_is_ended_by_the_signal_itself(processes: Processes, tmp_path: Path) -> None:
    child = started(processes, tmp_path, "status")
    child.signal(signal.SIGTERM)
    assert child.wait(60) == -signal.SIGTERM, child.tail()
