"""Real commands as subprocesses, each with its output in a file, all gone when the test is over."""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from deploy.sandbox.child import Child


class Processes:
    """Starts commands and ends them; prints at the end what they wrote last, which pytest shows where a test failed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._children: list[Child] = []

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """Start a command; `name` names its log. SIGKILL it with `kill`, stop it with `terminate`, wait with `wait`."""
        log = self._directory / f"{len(self._children):02}-{name}.log"
        state = {"XDG_STATE_HOME": str(self._directory.parent / "state")}
        child = Child(argv, log=log, env={**state, **(env or {})}, cwd=cwd)
        self._children.append(child)
        return child

    def command(
        self, name: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Child:
        """Start one of this project's own commands, as `command("poller", "run")`."""
        return self.start(name, [console_script(name), *arguments], env=env, cwd=cwd)

    def close(self) -> None:
        for child in self._children:
            if child.running:
                child.signal(signal.SIGTERM)
        for child in self._children:
            code = child.terminate()
            sys.stdout.write(f"--- {child.log.name}: pid {child.pid} ended with {code}\n{child.tail()}\n")


def lives(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended may be a zombie, or gone at any moment."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def line_of(process: psutil.Process) -> list[str]:
    """A process's command line; empty for one that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def hears(child: Child, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal by now."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & (1 << (number - 1)))


def console_script(name: str) -> Path:
    """The command of this virtual environment; `make setup` installs it."""
    script = Path(sys.executable).parent / name
    assert script.exists(), f"{script} is missing: run `make setup`"
    return script
