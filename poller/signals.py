"""SIGTERM and SIGINT as a question that the main thread asks; a handler that did more could meet a lock it holds."""

import signal
import threading
from types import FrameType

_HEED = 0.2


class Signals:
    """Whether the process was asked to stop. A second signal ends it at once."""

    def __init__(self) -> None:
        self._asked, self._number = False, int(signal.SIGTERM)
        self._never = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def is_asked_to_stop(self) -> bool:
        return self._asked

    def release(self) -> None:
        """Let a signal end the process at once, as it does others; also one that came before."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._asked:
            signal.raise_signal(self._number)

    def rest(self, seconds: float) -> None:
        """Wait, but not beyond a signal."""
        left = seconds
        while left > 0 and not self._asked:
            self._never.wait(min(left, _HEED))
            left -= _HEED

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._asked, self._number = True, number
