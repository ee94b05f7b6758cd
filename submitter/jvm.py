"""The JVM behind PyFlink: its log goes to a file and never to the console, and no two write into one spool."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from submitter.gateway import close, gateway
from submitter.temporary import is_held

LOGGING = Path(__file__).with_name("log4j2.properties")
_LOCKS: list[Any] = []
"""Held until the JVM dies, whoever ends it and however."""


def prepare() -> None:
    """Called before the JVM starts, which is before the first use of PyFlink. Keeps Flink's log off the console.

    The submit operator gets a process of its own, as on a cluster, instead of threads in this one beside all of this
    process's modules: its memory has a limit. What any of them writes is its owner's alone, in the spool above all.
    """
    os.umask(0o077)
    os.environ["_python_worker_execution_mode"] = "process"  # noqa: SIM112 - PyFlink's own name
    os.environ.setdefault("LOG4J_PROPERTIES", str(LOGGING.with_name("log4j2-silent.properties")))


@contextmanager
def running(held: Path) -> Iterator[None]:
    """It runs while the block lasts, holding a file; it is ended after it, and tidies up behind itself."""
    lock(held)
    pid = int(gateway().jvm.java.lang.ProcessHandle.current().pid())
    try:
        yield
    finally:
        close()
        # It may have been ended long ago, and its number be another's.
        if is_held(held):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def log_to(file: Path) -> None:
    """Send Flink's log to a file from now on, unless the user has a configuration of their own."""
    if os.environ.get("LOG4J_PROPERTIES") != str(LOGGING.with_name("log4j2-silent.properties")):
        return
    jvm = gateway().jvm
    jvm.java.lang.System.setProperty("batchline.log", str(file))
    jvm.org.apache.logging.log4j.core.config.Configurator.reconfigure(jvm.java.net.URI(LOGGING.as_uri()))


def lock(file: Path) -> bool:
    """Whether this JVM is now the one that holds `file`; another's hold ends with its death."""
    channel = gateway().jvm.java.io.RandomAccessFile(str(file), "rw").getChannel()
    held = channel.tryLock()
    if held is None:
        channel.close()
        return False
    _LOCKS.append(held)
    return True
