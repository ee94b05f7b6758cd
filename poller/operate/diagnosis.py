"""What `poller doctor` says, as a value with a schema version: findings, what is away, and what was mended."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from poller.alarms import Kind


class Odd(StrEnum):
    """What only the doctor looks for, beside the kinds of the status."""

    FORGOTTEN = "pipeline-forgotten"
    ANOTHERS = "pipeline-of-another-store"
    UNTOLD = "pipeline-unknown"
    ROWLESS = "batch-without-row"
    ATTEMPT = "plan-attempt-left"
    IN_PROGRESS = "file-in-progress-left"
    REMOTE_BATCH = "provider-batch-unknown"
    REMOTE_FILE = "provider-file-left"
    UNREADABLE = "unreadable"
    NO_KEY = "no-key"
    SKIPPED = "positions-skipped"
    DUPLICATE = "duplicate"


NOTES = frozenset({Odd.ANOTHERS, Odd.NO_KEY, Odd.SKIPPED, Odd.DUPLICATE})
"""What is worth knowing, and needs nobody's attention."""


class Shown(BaseModel):
    model_config = ConfigDict(frozen=True)


class Finding(Shown):
    """One thing that is stuck, left over or worth knowing; `kind` is a word of a closed list."""

    kind: Kind | Odd
    subject: str
    """A batch key, an account, a dependency, an address in the spool, or an id at a provider."""
    since: datetime | None = None
    message: str
    fix: str | None = None
    """What `--fix` does about it, where that is safe."""
    fixed: str | None = None
    """What was done."""

    @property
    def is_open(self) -> bool:
        """Whether somebody should look."""
        return self.fixed is None and self.kind not in NOTES


class Absence(Shown):
    """A dependency that did not answer just now."""

    dependency: str
    message: str


class Diagnosis(Shown):
    """Fields may be added within a schema version; none changes its meaning or goes."""

    schema_version: Literal[1] = 1
    at: datetime
    healthy: bool
    """Nothing needs attention, and everything answers."""
    away: list[Absence]
    findings: list[Finding]
