"""A stop that is asked for while a command still begins: whatever it waits for just then, it ends cleanly."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """The command was asked to stop before its job ran: that is its end, and no error."""


def unless_stopped(stop: threading.Event) -> None:
    """Raise Stopped once a stop is asked for."""
    if stop.is_set():
        raise Stopped


@contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """The block begins only what nobody misses when it is broken off.

    A wait that ends in an error once a stop is asked for (a broker that does not answer, a JVM that was ended with us)
    ends the command as asked: Stopped is raised instead.
    """
    unless_stopped(stop)
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        if stop.is_set():
            raise Stopped from error
        raise
