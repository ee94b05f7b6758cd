"""A life: one process of a run, forked from the zygote; a handle to kill, freeze and wait for it."""

import os
import select
import signal
from collections.abc import Callable, Iterable


class Life:
    """SIGKILL is SIGKILL: a life is a process of its own, from its fork to its death."""

    def __init__(self, role: str, pid: int, reap: Callable[[int], int]) -> None:
        """`reap` asks the zygote, whose child it is, for the exit code."""
        self.role, self.pid = role, pid
        self._reap = reap
        self._pidfd = os.pidfd_open(pid)
        self._code: int | None = None

    @property
    def is_alive(self) -> bool:
        return not self.wait(0)

    @property
    def exit_code(self) -> int | None:
        """None while it lives; -9 after SIGKILL."""
        self.wait(0)
        return self._code

    def wait(self, seconds: float) -> bool:
        """Wait for its end; says whether it has come."""
        if self._code is None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            if not poll.poll(seconds * 1000):
                return False
            self._code = self._reap(self.pid)
            os.close(self._pidfd)
        return True

    def fileno(self) -> int:
        """Becomes readable when it ends."""
        return self._pidfd

    @staticmethod
    def wait_for_any(lives: Iterable["Life"], seconds: float) -> None:
        """Wait until one of those that live has ended."""
        poll = select.poll()
        for life in lives:
            if life._code is None:
                poll.register(life._pidfd, select.POLLIN)
        poll.poll(seconds * 1000)

    def kill(self) -> None:
        """SIGKILL, and its end."""
        self.signal(signal.SIGKILL)
        self.wait(30)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """To this process alone; nothing happens when it has ended."""
        if self._code is None:
            signal.pidfd_send_signal(self._pidfd, number)
