"""One run of a pipeline at a time: its name, its lease, and the death of the earlier run's JVM."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.errors import BatchlineError
from shared.lease import Keeper, this_process
from shared.spool import Spool
from shared.store import Lease, Store
from submitter import jvm
from submitter.stopping import unless_stopped

JVM_SECONDS = 60.0
"""How long the JVM of a run that was killed may take to notice, and to die."""


class AlreadyRunning(BatchlineError):
    """Another run of the pipeline is alive; stop it first."""


@contextmanager
def claimed(store: Store, pipeline: str, stop: threading.Event) -> Iterator[Lease]:
    """Hold the pipeline while the block lasts. A dead process of this machine gives way at once.

    Raises AlreadyRunning.
    """
    with Keeper(store, this_process(), stop).hold(f"pipeline/{pipeline}") as lease:
        if lease is None:
            raise AlreadyRunning(
                f"pipeline '{pipeline}' is run by another process, or was until a few seconds ago on another machine: "
                "stop that one first"
            )
        yield lease


def outlive(spool: Spool, pipeline: str, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Wait for the JVM of an earlier run on this machine to die: until then it may write into the same files.

    Raises AlreadyRunning when it does not, Stopped when a stop is asked for meanwhile.
    """
    lock = spool.files.home(pipeline) / "run.lock"
    end, is_told = time.monotonic() + JVM_SECONDS, False
    while not jvm.lock(lock):
        if time.monotonic() > end:
            raise AlreadyRunning(f"the Java process of an earlier run of '{pipeline}' still holds {lock}: end it")
        if not is_told:
            say(f"waits for the Java process of an earlier run of '{pipeline}' to end")
            is_told = True
        stop.wait(0.2)
        unless_stopped(stop)
