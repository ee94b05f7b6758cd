"""The rows of the bench's table, and the one way in which all of them are measured: interleaved runs and medians."""

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MB = 1_000_000


@dataclass(frozen=True)
class Row:
    """One measure beside what it is held against."""

    name: str
    ours: str
    theirs: str
    """What ours is held against, with its own number."""
    ratio: float | None
    target: str
    met: bool


def rate_row(name: str, ours: float, theirs: float, unit: str, least: float) -> Row:
    """A row whose target is the ratio of two rates."""
    ratio = ours / theirs
    return Row(name, per_second(ours, unit), per_second(theirs, unit), ratio, f"ratio ≥ {least:g}", ratio >= least)


def per_second(rate: float, unit: str) -> str:
    """A rate as people read it."""
    return f"{rate:,.0f} {unit}/s"


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes, without the garbage of what ran before it."""
    gc.collect()
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def timed_on_a_core(action: Callable[[], object]) -> float:
    """As `timed`, less the time in which this thread could have run and other processes had every core."""
    waited = _waited()
    seconds = timed(action)
    return seconds - (_waited() - waited)


def _waited() -> float:
    """Seconds that this thread has stood in the scheduler's queue (Linux, the second number of schedstat)."""
    file = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    return int(file.read_text().split()[1]) / 1e9 if file.exists() else 0.0


def interleaved(actions: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Each action's median over so many rounds A B, B A, A B …: what else the machine does falls on all alike."""
    seen: dict[str, list[float]] = {name: [] for name in actions}
    order = list(actions)
    for _ in range(rounds):
        for name in order:
            seen[name].append(actions[name]())
        order.reverse()
    return {name: median(values) for name, values in seen.items()}
