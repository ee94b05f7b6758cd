"""What a provider's description of a batch means for ours. Pure: it reads a RemoteBatch and gives a verdict."""

import re
from dataclasses import dataclass
from enum import StrEnum

from shared.providers.codes import is_account, is_queue_full, limit_in
from shared.providers.port import LineError, RemoteBatch

_FILE_GONE = frozenset({"file_not_found", "input_file_not_found", "invalid_file", "file_expired", "file_deleted"})
_FILE_GONE_TEXT = re.compile(r"\bfile\b.*\b(not found|does not exist|no such|expired|deleted)\b", re.IGNORECASE)


class Kind(StrEnum):
    """What follows from a look at a batch."""

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
class Verdict:
    """A look's outcome; `error` is what the provider said, in one line."""

    kind: Kind
    error: str | None = None
    limit: int | None = None
    """The queue's limit, in tokens, where the message tells it."""


def judge(remote: RemoteBatch, batch_key: str, *, has_metadata: bool) -> Verdict:
    """The verdict on a provider's batch that our batch `batch_key` is recorded to be."""
    if has_metadata and remote.metadata.get("batch_key") != batch_key:
        owner = remote.metadata.get("batch_key", "no batch of ours")
        return Verdict(Kind.FOREIGN, f"{remote.id} belongs to {owner}")
    if remote.phase == "running":
        return Verdict(Kind.RUNNING)
    if remote.phase == "unknown":
        return Verdict(Kind.UNKNOWN, f"unknown status '{remote.status}'")
    if not remote.errors:
        return Verdict(Kind.ENDED)
    return _judge_errors(remote.errors)


def _judge_errors(errors: tuple[LineError, ...]) -> Verdict:
    text = "; ".join(f"{error.code or 'error'}: {error.message}" for error in errors[:3])[:1000]
    for error in errors:
        if error.line is not None:
            continue
        if is_queue_full(None, error.code, error.message):
            return Verdict(Kind.QUEUE_FULL, text, limit_in(error.message))
        if is_account(None, error.code, None, error.message):
            return Verdict(Kind.ACCOUNT, text)
        if error.code in _FILE_GONE or _FILE_GONE_TEXT.search(error.message):
            return Verdict(Kind.FILE_GONE, text)
    return Verdict(Kind.ENDED, text)
