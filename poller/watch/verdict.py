"""What a provider's description of a batch means for ours, and why its validation failed one. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from shared.providers.codes import is_account, is_queue_full, limit_in
from shared.providers.port import LineError, RemoteBatch

GIVEN_UP = "given up"
"""What stands in the place of a provider's word on a batch that an operator gave up."""
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


class Kind(StrEnum):
    """What was seen at a look."""

    RUNNING = "running"
    UNKNOWN = "unknown"
    """A status that we don't know: running, with a warning."""
    ENDED = "ended"
    QUEUE_FULL = "queue full"
    """Rejected for want of room, not for its data: held until there is some."""
    ACCOUNT = "account"
    """Rejected for a fault of the account, such as spent credit: held until that is mended."""
    FILE_GONE = "file gone"
    """The provider did not find its input: held, then uploaded again."""
    FOREIGN = "foreign"
    """It is somebody else's batch: what we took for ours is not."""


@dataclass(frozen=True)
class Meaning:
    """What follows from a look at a batch; `error` is what the provider said, in one line."""

    kind: Kind
    error: str | None = None
    limit: int | None = None
    """The queue's limit, in tokens, where the message tells it."""


@dataclass(frozen=True)
class Failure:
    """Why a provider's validation failed a whole batch, minutes after it was created, and what to do about it.

    `queue full`: hold; `limit` is the room that the message tells. `transient`: the input was not found; upload again.
    `account`: pause the account. `lines`: set `lines` aside and send the rest. `unnamed`: a line is bad and none is
    named; bisect. `whole`: every request is refused, for the same reason.
    """

    kind: Literal["queue full", "transient", "account", "lines", "unnamed", "whole"]
    message: str
    limit: int | None = None
    lines: tuple[LineError, ...] = ()
    """With a line number each."""


_REFUSED = {"queue full": Kind.QUEUE_FULL, "account": Kind.ACCOUNT, "transient": Kind.FILE_GONE}


def judge(remote: RemoteBatch, batch_key: str, *, has_metadata: bool) -> Meaning:
    """What it means to see a provider's batch that our batch `batch_key` is recorded to be."""
    if has_metadata and remote.metadata.get("batch_key") != batch_key:
        owner = remote.metadata.get("batch_key", "no batch of ours")
        return Meaning(Kind.FOREIGN, f"{remote.id} belongs to {owner}")
    if remote.phase == "running":
        return Meaning(Kind.RUNNING)
    if remote.phase == "unknown":
        return Meaning(Kind.UNKNOWN, f"unknown status '{remote.status}'")
    if not remote.errors:
        return Meaning(Kind.ENDED)
    why = failure(remote.errors)
    return Meaning(_REFUSED.get(why.kind, Kind.ENDED), why.message, why.limit)


def failure(errors: Sequence[LineError]) -> Failure:
    """The one reason that decides, the least of the data's fault first.

    What is said of a line is the line's fault: its text may quote anything from the record.
    """
    text = "; ".join(f"{error.code or 'error'}: {error.message}" for error in errors[:3])[:1000]
    general = [error for error in errors if error.line is None]
    for error in general:
        if is_queue_full(None, error.code, error.message):
            return Failure("queue full", text, limit_in(error.message))
    if any(is_account(None, error.code, None, error.message) for error in general):
        return Failure("account", text)
    if any(_is_file(error) for error in general):
        return Failure("transient", text)
    if any(error.code in _COMMON_CODES for error in errors):
        return Failure("whole", text)
    named = tuple(error for error in errors if error.line is not None)
    if named:
        return Failure("lines", text, lines=named)
    return Failure("unnamed", text or "the provider gave no reason")


def _is_file(error: LineError) -> bool:
    return error.code in _FILE_CODES or _FILE.search(error.message) is not None
