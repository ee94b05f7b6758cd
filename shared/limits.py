"""What one batch may hold. No I/O."""

from dataclasses import dataclass

from shared.admission import UNCUT, Cut
from shared.definition import BatchOptions
from shared.providers.port import Profile

MAX_REJECTED = 10_000
"""Rejected rows that one manifest lists; more begin another batch, so that a manifest stays small."""
MAX_RECORDS = 1_000_000
"""Records of one batch, for the same reason: each may stand between two rows that are another's."""


@dataclass(frozen=True)
class Limits:
    """What one batch may hold: requests, records in them, and bytes of request lines."""

    max_requests: int
    max_bytes: int
    """Of a request too: a larger one is refused."""
    cut_bytes: int
    """At which a batch is cut, so that it fits its provider's queue; a larger request is a batch by itself."""
    max_records: int = MAX_RECORDS

    @classmethod
    def of(cls, profile: Profile, options: BatchOptions, *, embeddings: bool = False, cut: Cut = UNCUT) -> "Limits":
        """The provider's limits, lowered by the options, and by the room in its queue; an option never raises one."""
        inputs = (profile.max_inputs if embeddings else None) or MAX_RECORDS
        requests = [profile.max_requests, options.max_requests, cut.max_requests]
        sizes = [profile.max_bytes - profile.envelope_bytes, options.max_bytes]
        size = min(n for n in sizes if n is not None)
        return cls(
            min(n for n in requests if n is not None), size, min(size, cut.max_bytes or size), min(inputs, MAX_RECORDS)
        )

    def full(self, requests: int, size: int, following: int, rejected: int = 0, records: int = 0) -> bool:
        """Whether a batch of so many requests and bytes has no room for a line of `following` bytes more.

        `records`: in the batch, with those of that line.
        """
        most = self.cut_bytes if requests else self.max_bytes
        if records > self.max_records:
            return True
        return requests + 1 > self.max_requests or size + following > most or rejected >= MAX_REJECTED
