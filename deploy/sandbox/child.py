"""A process that writes its output to a file and never outlives the one that started it, however that one ends."""

import contextlib
import os
import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_GUARD = """
read -r _
kill -s KILL -- "-$1"
test -z "$2" || for _ in 1 2 3 4 5; do rm -rf -- "$2" && break; sleep 0.2; done
"""


class Child:
    """A running command, the leader of a session of its own: Ctrl-C reaches only the parent, which then decides.

    A shell waits beside it for the end of a pipe that only this process holds. When this process is gone, even by
    SIGKILL, it kills the command's whole process group.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        temporary: Path | None = None,
    ) -> None:
        """Start `argv`, with `env` laid over this process's environment; its output is appended to `log`.

        `user` names an unprivileged user to run it as, which only root may do. `temporary` is a folder that is removed
        where this process is gone before it could do that.
        """
        self.argv = [str(part) for part in argv]
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            )
        self.pid = self._process.pid
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.pid), str(temporary or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def returncode(self) -> int | None:
        """The exit code, -N after signal N, None while it runs."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        return self.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command alone, not to what it has started."""
        self._process.send_signal(number)

    def wait(self, deadline: float) -> int:
        """The exit code, within `deadline` seconds; a TimeoutError shows the end of the log."""
        try:
            return self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"{self.argv[0]} (pid {self.pid}) still runs after {deadline:g} s; {self.log} ends with:\n{self.tail()}"
            ) from None

    def kill(self) -> None:
        """SIGKILL the command alone, and wait for its death."""
        self._process.kill()
        self._process.wait()

    def terminate(self, grace: float = 15.0) -> int:
        """SIGTERM, and SIGKILL after `grace` seconds; the exit code. Nothing of its process group is left."""
        if self.running:
            self._process.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._disarm()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.returncode

    def tail(self, lines: int = 30) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _disarm(self) -> None:
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin:
            self._guard.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()
