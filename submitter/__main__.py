"""The command `submitter`. It can be asked to stop from its first moment on: what it needs is loaded only then."""

import os
import signal
import threading


def main() -> None:
    """Run one of the commands, with an event that SIGTERM and SIGINT set."""
    stop = _stop_on_signals()
    from submitter.command import main as command

    command(obj=stop)


def _stop_on_signals() -> threading.Event:
    """A thread sets the event: a handler would run amid whatever this one does, which may be to look at the event."""
    stop = threading.Event()
    heard, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)

    def heed() -> None:
        os.read(heard, 1)
        stop.set()

    threading.Thread(target=heed, name="signals", daemon=True).start()
    return stop


if __name__ == "__main__":
    main()
