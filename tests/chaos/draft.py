"""A schedule in the making, with the budgets that keep it legal. Pure.

Carrying faults stay within the retries, and no create is hidden for as long as the quarantine lasts.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.chaos.case import Kill, ProviderName, StoreKind
from tests.chaos.steps import Excuse, Step, step

HORIZON = 2.5
"""Seconds within which everything is sealed and goes wrong; from then on only the truth is told."""
QUARANTINE = 2.0
"""Seconds, in every run: a create that is hidden for longer is the stated residual."""
HIDDEN = 0.8
"""Seconds for which the faults of one schedule, all together, may hide a create: well below the quarantine."""
RETRIES = 3
"""Faults of one schedule that carry a request to another batch: as many as `batch.max-retries`."""
HOUR = 3600
NO_FAULTS = frozenset({"seal", "calm", "overtake", "thaw", "unlock_store", "disk_free", "copy_store"})


@dataclass
class Draft:
    """A schedule in the making: what was drawn so far, and what is left of the budgets."""

    random: Random
    provider: ProviderName
    store: StoreKind
    records: int
    steps: list[Step] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    excuses: list[Excuse] = field(default_factory=list)
    hidden: float = HIDDEN
    carries: int = RETRIES
    spent: set[str] = field(default_factory=set)
    """Kinds that one schedule has once at most."""

    @property
    def faults(self) -> int:
        """How many there are so far; what only ends or prepares one is none."""
        return len(self.kills) + sum(each.do not in NO_FAULTS for each in self.steps)

    def moment(self, until: float = HORIZON) -> float:
        return self.random.uniform(0.0, until)

    def add(self, do: str, at: float | None = None, /, **options: Any) -> None:
        self.steps.append(step(self.moment() if at is None else at, do, **options))

    def fault(self, name: str, /, **options: Any) -> None:
        """A provider's fault, from a moment on."""
        # Half of them from the start, so that the first creates meet them.
        at = 0.0 if self.random.random() < 0.5 else self.moment(HORIZON * 0.8)
        self.add("fault", at, fault=name, **options)

    def record(self) -> str:
        """The text of one record."""
        return text_of(self.random.randrange(self.records))

    def hide(self, least: float) -> float:
        """Seconds for which a create may be hidden, taken from the budget; 0 when too little is left."""
        if self.hidden < least:
            return 0.0
        seconds = round(self.random.uniform(least, self.hidden), 2)
        self.hidden -= seconds
        return seconds

    def once(self, kind: str) -> bool:
        """Whether this kind has not been drawn before; from now on it has."""
        if kind in self.spent:
            return False
        self.spent.add(kind)
        return True


def text_of(record: int) -> str:
    """The text of a record: no other's begins with it."""
    return f"review {record:05}."
