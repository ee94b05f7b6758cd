"""One invocation of a command that reads FILE.sql: Flink's JVM around it, the file checked, what went wrong told."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shared.errors import BatchlineError, KafkaUnavailable, SettingsError, SpoolAway, StoreUnavailable
from shared.terminal import printable, printable_lines
from submitter.temporary import temporary

if TYPE_CHECKING:
    from submitter.pipeline.check import Checked

DONE, FAILED, WRONG, AWAY, BUSY = 0, 1, 2, 4, 5

FILE = click.argument("file", type=click.Path(path_type=Path), metavar="FILE.sql")
OVERRIDES = click.option(
    "-D", "overrides", multiple=True, metavar="KEY=VALUE", help="Flink configuration; wins over the file's SET"
)


class Stopped(Exception):
    """The command was asked to stop before anything was started."""


@contextmanager
def flink(stop: threading.Event) -> Iterator[None]:
    """Flink's JVM, with a folder for what it needs only for a while; neither outlives the block.

    Flink is loaded only here: `--help` answers at once, and its log must be silenced before it starts.
    """
    if find_spec("pyflink") is None:
        raise SettingsError("the submitter runs on Apache Flink: pip install 'batchline[submitter]'")
    with temporary() as lock:
        from submitter import jvm

        _unless_stopped(stop)
        jvm.prepare()
        with jvm.running(lock):
            yield


def checked_file(stop: threading.Event, file: Path, overrides: dict[str, str], *, take_over: bool = False) -> "Checked":
    from submitter.pipeline.check import check

    _unless_stopped(stop)
    checked = check(file, os.environ, overrides, take_over=take_over)
    for warning in checked.pipeline.warnings:
        click.echo(printable(f"warning: {warning.text(str(file))}"), err=True)
    _unless_stopped(stop)
    return checked


def _unless_stopped(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped


@contextmanager
def told() -> Iterator[None]:
    """Turn errors that are meant for the user into a message and an exit code."""
    try:
        yield
    except BatchlineError as error:
        click.echo(printable_lines(str(error)), err=True)
        sys.exit(_code(error))


def _code(error: BatchlineError) -> int:
    if isinstance(error, (StoreUnavailable, KafkaUnavailable, SpoolAway)):
        return AWAY
    from submitter.pipeline.faults import PipelineError
    from submitter.run.claim import AlreadyRunning

    if isinstance(error, AlreadyRunning):
        return BUSY
    return WRONG if isinstance(error, (SettingsError, PipelineError)) else FAILED
