"""What many runs came to: a line for the console, a table for the README. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.case import Verdict

NAMES = {
    "failpoints": "SIGKILL at each failpoint, on its first and a later pass",
    "pairs": "SIGKILL at one failpoint, and at another while it recovers",
    "schedules": "random schedules of 5 to 20 faults each",
    "roads": "the real commands with Flink: JVM, Python worker, desk, poller or broker killed",
}
COMMANDS = {
    "failpoints": "python -m tests.chaos --failpoints",
    "pairs": "python -m tests.chaos --pairs",
    "schedules": "make chaos SCHEDULES=… SEED=…",
    "roads": "python -m tests.chaos --roads 6",
}


@dataclass
class Tally:
    """One group of runs."""

    group: str
    runs: int = 0
    failed: int = 0
    records: int = 0
    kills: int = 0
    lost: int = 0
    paid_twice: int = 0
    published_twice: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    where: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Runs by provider and store."""

    def add(self, verdict: Verdict) -> None:
        self.runs += 1
        self.failed += not verdict.ok
        self.records += verdict.records
        self.kills += verdict.kills
        self.lost += verdict.lost
        self.paid_twice += verdict.paid_twice
        self.published_twice += verdict.published_twice
        self.seconds += verdict.seconds
        self.cpu += verdict.cpu
        self.where[verdict.case.provider, verdict.case.store] += 1

    def line(self) -> str:
        """For a console; nothing where nothing ran."""
        if not self.runs:
            return ""
        spread = ", ".join(f"{provider}/{store} {count}" for (provider, store), count in sorted(self.where.items()))
        return (
            f"{self.group}: {self.runs} runs ({spread}), {self.failed} failed; {self.records} records, {self.kills} "
            f"kills; {self.lost} lost, {self.paid_twice} paid twice, {self.published_twice} published twice; "
            f"{self.seconds / self.runs:.1f} s and {self.cpu / self.runs:.1f} s of processor each\n"
        )

    def row(self) -> str:
        """For the README."""
        cells = (self.runs, self.records, self.kills, self.lost, self.paid_twice, self.published_twice)
        return f"| {NAMES.get(self.group, self.group)} | " + " | ".join(f"{cell:,}" for cell in cells) + " |\n"


def markdown(tallies: Iterable[Tally], seconds: float) -> str:
    """The table, and how long it took."""
    done = [tally for tally in tallies if tally.runs]
    head = "| what | runs | records | kills | lost | paid twice | published twice |\n|---|---|---|---|---|---|---|\n"
    where: Counter[tuple[str, str]] = sum((tally.where for tally in done), Counter())
    spread = ", ".join(f"{provider} on {store} {count:,}" for (provider, store), count in sorted(where.items()))
    return head + "".join(tally.row() for tally in done) + f"\nRuns: {spread}; {seconds / 60:.0f} minutes.\n"
