"""FILE.sql, read for a trial: nothing that it names has to be there, and no secret has to be known."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from shared.errors import SettingsError
from submitter.pipeline.faults import Fault, PipelineError
from submitter.pipeline.reader import read
from submitter.pipeline.values import Pipeline, Statement

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLACEHOLDER = "{}.invalid:9092"
"""As a broker's address; for a key any text does."""


def read_file(path: Path, environ: Mapping[str, str] = os.environ, *, strict: bool = False) -> Pipeline:
    """A file's meaning. Unless it is `strict`, a variable that is not set counts as set. Raises PipelineError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        unset = {} if strict else {name: _PLACEHOLDER.format(name) for name in _REFERENCE.findall(text)}
        reading = read(path, {**unset, **environ}, {})
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(str(path), [Fault(f"the file can't be read: {error}")]) from None
    if reading.pipeline is None or reading.faults.errors:
        raise PipelineError(str(path), sorted(reading.faults.errors, key=lambda fault: fault.place.line or 0))
    return reading.pipeline


def chosen(pipeline: Pipeline, name: str | None) -> tuple[Statement, ...]:
    """The statement of that name, or all of them. Raises SettingsError for one that is not there."""
    if name is None:
        return pipeline.statements
    found = tuple(each for each in pipeline.statements if each.name == name)
    if not found:
        known = ", ".join(each.name for each in pipeline.statements)
        raise SettingsError(f"--statement {name}: the file has no such statement; it has {known}")
    return found
