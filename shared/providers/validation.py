"""Why a provider's validation failed a whole batch, minutes after it was created. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.providers.codes import is_account, is_queue_full, limit_in
from shared.providers.port import LineError

_FILE_CODES = frozenset({"file_not_found", "input_file_not_found", "file_expired", "file_deleted"})
_FILE = re.compile(r"\bfile\b.*\b(not found|does not exist|no such|expired|deleted)\b", re.IGNORECASE)
_COMMON_CODES = frozenset(
    {
        "invalid_method",
        "mismatched_model",
        "model_not_found",
        "too_many_embedding_inputs",
        "too_many_tasks",
        "url_mismatch",
    }
)
"""What is true of every line alike: another try without the named ones would fail the same way."""


@dataclass(frozen=True)
class Failure:
    """What to do about it.

    `queue full`: hold; `limit` is the room that the message tells. `transient`: the input was not found; upload again.
    `account`: pause the account. `lines`: set `lines` aside and send the rest. `unnamed`: a line is bad and none is
    named; bisect. `whole`: every request is refused, for the same reason.
    """

    kind: Literal["queue full", "transient", "account", "lines", "unnamed", "whole"]
    message: str
    limit: int | None = None
    lines: tuple[LineError, ...] = ()
    """With a line number each."""


def failure(errors: Sequence[LineError]) -> Failure:
    """The one reason that decides, the least of the data's fault first."""
    text = "; ".join(f"{error.code or 'error'}: {error.message}" for error in errors[:3])[:1000]
    for error in errors:
        if is_queue_full(None, error.code, error.message):
            return Failure("queue full", text, limit_in(error.message))
    if any(is_account(None, error.code, None, error.message) for error in errors):
        return Failure("account", text)
    if any(error.line is None and _is_file(error) for error in errors):
        return Failure("transient", text)
    if any(error.code in _COMMON_CODES for error in errors):
        return Failure("whole", text)
    named = tuple(error for error in errors if error.line is not None)
    if named:
        return Failure("lines", text, lines=named)
    return Failure("unnamed", text or "the provider gave no reason")


def _is_file(error: LineError) -> bool:
    return error.code in _FILE_CODES or _FILE.search(error.message) is not None
