"""One run of a pipeline at a time: its name, its lease, and the death of the earlier run's JVM."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import BatchlineError
from shared.lease import Keeper, this_process
from shared.spool import Spool
from shared.store import Lease, Store
from submitter import jvm

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


def outlive(spool: Spool, pipeline: str, stop: threading.Event) -> None:
    """Wait for the JVM of an earlier run on this machine to die: until then it may write into the same files.

    Raises AlreadyRunning when it does not.
    """
    lock = spool.files.home(pipeline) / "run.lock"
    end = time.monotonic() + JVM_SECONDS
    while not jvm.lock(lock):
        if time.monotonic() > end or stop.wait(0.2):
            raise AlreadyRunning(f"the Java process of an earlier run of '{pipeline}' still holds {lock}: end it")
