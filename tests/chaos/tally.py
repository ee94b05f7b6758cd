"""What many runs came to: a line for the console, a table for the README. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from tests.chaos.case import Verdict

NAMES = {
    "failpoints": "SIGKILL at each failpoint, on its first and a later pass",
    "pairs": "SIGKILL at one failpoint, and at another while it recovers",
    "schedules": "random schedules of 5 to 20 faults each",
    "roads": "the real commands with Flink: launcher, JVM, Python worker, desk, poller, broker or PostgreSQL killed",
}


@dataclass(frozen=True, slots=True)
class Line:
    """What is kept of one verdict."""

    group: str
    name: str
    provider: str
    store: str
    ok: bool
    tries: int
    """How often it was run so far."""
    records: int
    kills: int
    lost: int
    paid_twice: int
    published_twice: int
    seconds: float
    cpu: float
    violations: list[str]
    notes: list[str]

    @classmethod
    def of(cls, group: str, name: str, verdict: Verdict, *, tries: int) -> Self:
        return cls(
            group,
            name,
            verdict.case.provider,
            verdict.case.store,
            verdict.ok,
            tries,
            verdict.records,
            verdict.kills,
            verdict.lost,
            verdict.paid_twice,
            verdict.published_twice,
            round(verdict.seconds, 3),
            round(verdict.cpu, 3),
            list(verdict.violations),
            list(verdict.notes),
        )


@dataclass
class Tally:
    """One group of runs."""

    group: str
    runs: int = 0
    failed: int = 0
    repeated: int = 0
    """Runs that passed, but not when they were run first."""
    records: int = 0
    kills: int = 0
    lost: int = 0
    paid_twice: int = 0
    published_twice: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    where: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Runs by provider and store."""

    def add(self, line: Line) -> None:
        self.runs += 1
        self.failed += not line.ok
        self.repeated += line.ok and line.tries > 1
        self.records += line.records
        self.kills += line.kills
        self.lost += line.lost
        self.paid_twice += line.paid_twice
        self.published_twice += line.published_twice
        self.seconds += line.seconds
        self.cpu += line.cpu
        self.where[line.provider, line.store] += 1

    def line(self) -> str:
        """For a console; nothing where nothing ran."""
        if not self.runs:
            return ""
        spread = ", ".join(f"{provider}/{store} {count}" for (provider, store), count in sorted(self.where.items()))
        again = f" ({self.repeated} passed only when repeated)" if self.repeated else ""
        return (
            f"{self.group}: {self.runs} runs ({spread}), {self.failed} failed{again}; {self.records} records, "
            f"{self.kills} kills; {self.lost} lost, {self.paid_twice} paid twice, {self.published_twice} published "
            f"twice; {self.seconds / self.runs:.1f} s and {self.cpu / self.runs:.1f} s of processor each\n"
        )

    def row(self) -> str:
        """For the README."""
        cells = (self.runs, self.records, self.kills, self.lost, self.paid_twice, self.published_twice)
        return f"| {NAMES.get(self.group, self.group)} | " + " | ".join(f"{cell:,}" for cell in cells) + " |\n"


def markdown(tallies: Iterable[Tally]) -> str:
    """The table, where its runs took place, and what has to be said of them."""
    done = [tally for tally in tallies if tally.runs]
    head = "| what | runs | records | kills | lost | paid twice | published twice |\n|---|---|---|---|---|---|---|\n"
    where: Counter[tuple[str, str]] = sum((tally.where for tally in done), Counter())
    spread = ", ".join(f"{provider} on {store} {count:,}" for (provider, store), count in sorted(where.items()))
    hours, failed = sum(tally.cpu for tally in done) / 3600, sum(tally.failed for tally in done)
    repeated = sum(tally.repeated for tally in done)
    foot = f"Runs: {spread}; {hours:.1f} hours of processor. {failed} failed, {repeated} passed only when repeated."
    return head + "".join(tally.row() for tally in done) + f"\n{foot}\n"
