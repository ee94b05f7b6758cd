"""Validates FILE.sql and all that it relies on, before anything starts. What it returns is what `run` runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pyflink.table import StreamTableEnvironment

from shared.text_file import NoText
from submitter.pipeline.faults import Fault, PipelineError, Place
from submitter.pipeline.reach import reach
from submitter.pipeline.reader import read
from submitter.pipeline.values import Pipeline

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Checked:
    """A file without fault."""

    pipeline: Pipeline
    tables: StreamTableEnvironment
    """Live: all that the file defines stands in it, nothing is started."""


def check(
    path: Path, environ: Mapping[str, str], options: Mapping[str, str] = NOTHING, *, take_over: bool = False
) -> Checked:
    """Read a file, and ask for all that it relies on.

    `options` is Flink configuration that wins over the file's; with `take_over` the pipeline's name may be another
    file's so far. Raises PipelineError with every fault that was found.
    """
    try:
        reading = read(path, environ, options)
    except NoText as error:
        raise PipelineError(str(path), [Fault(f"the file can't be read: {error}", Place(error.line))]) from None
    except OSError as error:
        raise PipelineError(str(path), [Fault(f"the file can't be read: {error.strerror or error}")]) from None
    except RecursionError:
        raise PipelineError(str(path), [Fault("the file can't be read: a statement is nested too deeply")]) from None
    pipeline = reach(reading.needs, reading.pipeline, environ, reading.faults, take_over=take_over)
    if pipeline is None or reading.faults.errors:
        raise PipelineError(str(path), sorted(reading.faults.errors, key=lambda fault: fault.place.line or 0))
    return Checked(pipeline, reading.tables)
