"""One invocation of a command that reads FILE.sql: Flink's JVM around it, the file checked, what went wrong told."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import click

from shared.errors import BatchlineError, KafkaUnavailable, SettingsError, SpoolAway, StoreUnavailable
from shared.terminal import printable, printable_lines
from submitter.stopping import unless_stopped
from submitter.temporary import temporary

if TYPE_CHECKING:
    from submitter.pipeline.check import Checked

DONE, FAILED, WRONG, AWAY, BUSY = 0, 1, 2, 4, 5

FILE = click.argument("file", type=click.Path(path_type=Path), metavar="FILE.sql")
OVERRIDES = click.option(
    "-D", "overrides", multiple=True, metavar="KEY=VALUE", help="Flink configuration; wins over the file's SET"
)


@contextmanager
def flink(stop: threading.Event) -> Iterator[None]:
    """Flink's JVM, with a folder for what it needs only for a while; neither outlives the block.

    Flink is loaded only here: `--help` answers at once, and its log must be silenced before it starts.
    """
    if find_spec("pyflink") is None:
        raise SettingsError("the submitter runs on Apache Flink: pip install 'batchline[submitter]'")
    home = os.environ.get("JAVA_HOME")
    if which(f"{home}/bin/java" if home else "java") is None:
        where = f"there is no {home}/bin/java (JAVA_HOME)" if home else "there is no java in PATH"
        raise SettingsError(
            f"Flink runs on Java 17, and {where}: install a JDK 17, or set JAVA_HOME to the folder of one"
        )
    with temporary() as lock:
        from submitter import jvm

        unless_stopped(stop)
        jvm.prepare()
        with jvm.running(lock):
            yield


def checked_file(stop: threading.Event, file: Path, overrides: dict[str, str], *, take_over: bool = False) -> "Checked":
    from submitter.pipeline.check import check

    unless_stopped(stop)
    checked = check(file, os.environ, overrides, take_over=take_over)
    for warning in checked.pipeline.warnings:
        click.echo(printable(f"warning: {warning.text(str(file))}"), err=True)
    unless_stopped(stop)
    return checked


@contextmanager
def told(*, judges: bool = False) -> Iterator[None]:
    """Turn errors that are meant for the user into a message and an exit code.

    Who only judges a file (`judges`) calls an outage that keeps it from that a fault.
    """
    try:
        yield
    except BatchlineError as error:
        click.echo(printable_lines(str(error)), err=True)
        sys.exit(_code(error, judges=judges))


def _code(error: BatchlineError, *, judges: bool) -> int:
    if isinstance(error, (StoreUnavailable, KafkaUnavailable, SpoolAway)):
        return AWAY
    # Where Flink is not installed this is what says so, and what comes below can't be loaded.
    if isinstance(error, SettingsError):
        return WRONG
    from submitter.pipeline.faults import PipelineError
    from submitter.run.claim import AlreadyRunning

    if isinstance(error, PipelineError):
        return AWAY if error.away and not judges else WRONG
    return BUSY if isinstance(error, AlreadyRunning) else FAILED
