"""A duty: one kind of work over everything that is due; and what its counts mean."""

from collections.abc import Mapping
from typing import Final, Protocol

Counts = Mapping[str, int]
"""What a pass did, by name. A name in IDLE tells of work that did not go on; any other, of batches that moved."""

CHECKED: Final = "checked"
"""Looked at, and found as it was."""
SKIPPED: Final = "skipped"
"""Passed over for good: a malformed or foreign event."""
KNOWN: Final = "known"
"""Announced again."""
BUSY: Final = "busy"
"""Another process has it."""
WAITING: Final = "waiting"
"""Not yet: a dependency or a limit says so."""
FAULTS: Final = "faults"
"""Set aside after an error of its own, while the others went on."""
IDLE: Final = frozenset({CHECKED, KNOWN, SKIPPED, BUSY, WAITING, FAULTS})


class Duty(Protocol):
    """One kind of work. Its own file, one noun, `run_once`."""

    @property
    def name(self) -> str:
        """The verb it is known by in logs.

        register, recall, rescue, harvest, watch, ask, collect, publish, audit, janitor, forget.
        """
        ...

    def run_once(self) -> Counts:
        """Do all that is due now, each batch by itself: one that fails is counted and does not end the pass.

        Raises StoreUnavailable, KafkaUnavailable or SpoolError when nothing can go on for now, MustRestart when this
        process can't.
        """
        ...


def moved(counts: Counts) -> int:
    """How much went on: when it is not 0 there may be more to do, here and downstream."""
    return sum(number for name, number in counts.items() if name not in IDLE)
