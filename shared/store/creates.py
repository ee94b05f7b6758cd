"""What the state store takes and gives about creates: the tries of a batch, and what came of them besides it.

Frozen values without I/O. All times are aware, in UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

ADOPTED = "adopted"
ALLOWED = "another is allowed by an operator"
"""The note of an attempt that need not be waited for any longer than its quarantine."""
FORGOTTEN = "the store had forgotten it"
"""The note of an attempt of which only the spool tells that it came to nothing."""
PROVEN = "by its receipt"
"""The note of an attempt that was adopted by its receipt, or by metadata: its provider batch is no guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to create a batch at the provider. Unresolved (`outcome` None): it may have been accepted."""

    batch_key: str
    attempt: int
    """From 1."""
    account: str
    started_at: datetime
    requests: int
    bytes: int
    input_file_id: str | None
    outcome: str | None = None
    """accepted, adopted, rejected, not sent, absent, lost or given up."""
    resolved_at: datetime | None = None
    provider_batch_id: str | None = None
    lookups: int = 0
    clean_since: datetime | None = None
    """Since when every look-up was clean; None after one that failed."""
    last_lookup_at: datetime | None = None
    disowned: tuple[str, ...] = ()
    """Provider batches that were adopted for it, and proved to be another's, or left nothing that says whose."""
    may_have_run: bool = False
    """Whether one of those left nothing that says whose: it is gone, or has no results."""
    note: str | None = None

    @property
    def is_guess(self) -> bool:
        """Whether a look-up adopted its provider batch by size and time alone."""
        return self.outcome == ADOPTED and self.note != PROVEN


class Whose(StrEnum):
    """What is known of who made a stray."""

    OURS = "ours"
    """Proved by its metadata or its custom_ids, or on the operator's word."""
    UNKNOWN = "unknown"
    """Of the right size, at the right time; its results will say."""
    FOREIGN = "foreign"
    """Another user's, or some batch's one and only create."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A second provider batch of one key: it should not be, and may have been paid for."""

    provider_batch_id: str
    batch_key: str
    account: str
    found_at: datetime
    cancelled_at: datetime | None
    """When its end was asked for."""
    created_at: datetime | None = None
    """By the provider's clock."""
    whose: Whose = Whose.OURS
    settled_at: datetime | None = None
    """Since when nothing more can be learned of it: its results were read, or are gone."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    is_estimate: bool = False
    """Its results could not be read; it cost this much at most, as far as anybody knows."""
