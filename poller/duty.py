"""A duty: one kind of work over everything that is due; what its counts mean, and how turns go beside each other."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

Group = TypeVar("Group")

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


def side_by_side(name: str, most: int, groups: Collection[Group], turn: Callable[[Group], Counts]) -> Counts:
    """The turn of each group, `most` of them at once in threads called `name`; gives all counts together.

    What a turn raises ends the pass, once those that are under way have come to their end.
    """
    totals: Counter[str] = Counter()
    with ThreadPoolExecutor(min(most, len(groups)), thread_name_prefix=name) as pool:
        for counts in pool.map(turn, groups):
            totals.update(counts)
    return totals
