"""The log: one line on stderr for each thing that happened, its action from a closed list, without secrets.

A line is `time level action key=value …`. Values of environment variables that a model names never appear in one.
"""

import json
import logging
import os
import sys
import threading
import traceback
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

Value = str | int | float | bool | datetime | None

REDACTED: Final = "[redacted]"
_SHORTEST_SECRET: Final = 4
_SHORTEST_ENCODED: Final = 8
_URL_SAFE: Final = str.maketrans("+/", "-_")
_LOGGER: Final = logging.getLogger("batchline")


class Action(StrEnum):
    """Everything that a log line can be about."""

    DAEMON_STARTED = "daemon.started"
    DAEMON_STOPPING = "daemon.stopping"
    DAEMON_STOPPED = "daemon.stopped"
    DAEMON_FATAL = "daemon.fatal"
    DESK_FAILED = "desk.failed"
    RUN_OVER = "run.over"
    DUTY_PASSED = "duty.passed"
    DUTY_FAILED = "duty.failed"
    WORK_FAILED = "work.failed"
    """The planning of a file, or the submission of a batch; it is tried again."""
    DEPENDENCY_AWAY = "dependency.away"
    DEPENDENCY_BACK = "dependency.back"
    TOPIC_CREATED = "topic.created"
    EVENT_SKIPPED = "event.skipped"
    PIPELINE_RECALLED = "pipeline.recalled"
    PACKS_LOWERED = "packs.lowered"
    ROWS_DOUBTED = "rows.doubted"
    BATCH_PLANNED = "batch.planned"
    BATCH_REGISTERED = "batch.registered"
    BATCH_ASSIGNED = "batch.assigned"
    BATCH_RECALLED = "batch.recalled"
    BATCH_RESCUED = "batch.rescued"
    BATCH_RUNNING = "batch.running"
    BATCH_HARVESTED = "batch.harvested"
    BATCH_DIVERTED = "batch.diverted"
    BATCH_ENDED = "batch.ended"
    BATCH_BOUNCED = "batch.bounced"
    BATCH_DISOWNED = "batch.disowned"
    BATCH_MISSING = "batch.missing"
    BATCH_LOST = "batch.lost"
    BATCH_COLLECTED = "batch.collected"
    BATCH_PUBLISHED = "batch.published"
    BATCH_FAULT = "batch.fault"
    ABORT_REPEATED = "abort.repeated"
    BATCH_OVERDUE = "batch.overdue"
    STATUS_UNKNOWN = "status.unknown"
    LOOKUP_DONE = "lookup.done"
    CREATE_SENT = "create.sent"
    CREATE_UNKNOWN = "create.unknown"
    CREATE_STRAY = "create.stray"
    UPLOAD_DONE = "upload.done"
    ACCOUNT_PAUSED = "account.paused"
    ACCOUNT_RESUMED = "account.resumed"
    LEASE_LOST = "lease.lost"
    ALARM_RAISED = "alarm.raised"
    DATA_DELETED = "data.deleted"
    LIBRARY = "library.said"
    """What another package logs."""


class Secrets:
    """The names of variables whose values are secret. The values are read when a line is written."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def name(self, variable: str) -> None:
        """Count the value of a variable among the secrets from now on."""
        with self._lock:
            self._names.add(variable)

    def redact(self, text: str) -> str:
        """The text with each secret value replaced."""
        with self._lock:
            values = [self._environ.get(name, "") for name in self._names]
        forms = {form for value in values if len(value) >= _SHORTEST_SECRET for form in forms_of(value)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, REDACTED)
        return text


@lru_cache(16)
def forms_of(value: str) -> frozenset[str]:
    """How a secret may be said: as it is, in an address, in JSON, and in base64, wherever it begins there."""
    forms = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
    data = value.encode("utf-8", "surrogateescape")
    for before in range(3):
        # What stands before and after it decides on the letters at its ends.
        said = b64encode(bytes(before) + data).decode()[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        if len(said) >= _SHORTEST_ENCODED:
            forms |= {said, said.translate(_URL_SAFE)}
    return frozenset(forms)


SECRETS: Final = Secrets()
"""This process's own."""


def log(action: Action, level: int = logging.INFO, /, **fields: Value) -> None:
    """Write one line. A field that is None is left out."""
    if _LOGGER.isEnabledFor(level):
        _LOGGER.log(level, "%s", _words(action, fields, SECRETS), extra={"action": action, "fields": fields})


def say(action: Action, level: int, fields: Mapping[str, Value], at: datetime, secrets: Secrets = SECRETS) -> str:
    """The line itself, without its newline."""
    stamp = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{stamp} {logging.getLevelName(level).lower()} {_words(action, fields, secrets)}"


def raised_at(error: BaseException) -> str:
    """Where an error that nobody foresaw was raised, as file:line."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{where.filename}:{where.lineno}"


def start_logging(level: int = logging.INFO) -> None:
    """Send our lines, and other packages' warnings, to stderr. Called once, by a command."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _LOGGER.setLevel(level)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        action = getattr(record, "action", None)
        if isinstance(action, Action):
            return say(action, record.levelno, getattr(record, "fields", {}), at)
        fields: dict[str, Value] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        return say(Action.LIBRARY, record.levelno, fields, at)


def _words(action: Action, fields: Mapping[str, Value], secrets: Secrets) -> str:
    said = [f"{name}={_value(value)}" for name, value in fields.items() if value is not None]
    return secrets.redact(" ".join([action, *said]))


def _value(value: Value) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = str(value)
    if text and text.isprintable() and not any(mark in text for mark in ' "='):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(mark if mark.isprintable() else json.dumps(mark)[1:-1] for mark in quoted)
