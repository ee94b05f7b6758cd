"""Which Flink state a start continues from, decided from the runs in the store, never by a date alone. No I/O."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.store.values import Run


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint or savepoint."""

    address: str
    number: int
    """Flink's own, ascending within a job."""
    completed_at: datetime


@dataclass(frozen=True)
class Road:
    """How a job starts: from a state, or (`restore` None) from positions, and why."""

    restore: str | None
    reason: str
    first: bool = False
    """Whether the pipeline has never run."""


def newest(runs: Sequence[Run], found: Mapping[str, Sequence[Checkpoint]]) -> Checkpoint | None:
    """The newest complete checkpoint of the newest run in the unbroken chain; `found` lists them by job id.

    A run without one of its own passes the question on to the state it was restored from, and to nothing else: a run
    that started without state ends the chain, however many older checkpoints lie about.
    """
    if not runs:
        return None
    run = max(runs, key=lambda run: run.epoch)
    own = found.get(run.job_id or "", ())
    if own:
        return max(own, key=lambda checkpoint: checkpoint.number)
    everything = (checkpoint for of_job in found.values() for checkpoint in of_job)
    return next((checkpoint for checkpoint in everything if checkpoint.address == run.restored_from), None)


def choose(
    runs: Sequence[Run],
    found: Mapping[str, Sequence[Checkpoint]],
    definition: str,
    newest_seal: datetime | None,
    *,
    fresh: bool,
) -> Road:
    """The road of the next run of a pipeline.

    `newest_seal` is the last write to any finished file: a state that is older has its file still in progress, and
    can't be restored.
    """
    if not runs:
        return Road(None, "the pipeline's first run", first=True)
    if fresh:
        return Road(None, "--fresh")
    if max(runs, key=lambda run: run.epoch).definition != definition:
        return Road(None, "the definition has changed")
    checkpoint = newest(runs, found)
    if checkpoint is None:
        return Road(None, "the earlier run left no complete checkpoint")
    return judge(checkpoint, newest_seal)


def judge(checkpoint: Checkpoint, newest_seal: datetime | None) -> Road:
    """Whether a state may be restored: one that is older than a later seal may not."""
    if newest_seal is not None and newest_seal > checkpoint.completed_at:
        return Road(None, f"{checkpoint.address} is older than the newest sealed file")
    return Road(checkpoint.address, "its lineage")


def first_starts(runs: Collection[Run]) -> dict[tuple[str, str], dict[int, int]]:
    """Where each partition was first read from: (statement, topic id) to partition to offset."""
    starts: dict[tuple[str, str], dict[int, int]] = {}
    for run in sorted(runs, key=lambda run: run.epoch):
        for statement, topics in (run.started_from or {}).items():
            for topic_id, partitions in _mapping(topics).items():
                known = starts.setdefault((statement, topic_id), {})
                for partition, offset in _mapping(partitions).items():
                    known.setdefault(int(partition), int(str(offset)))
    return starts


def prefix_end(begin: int, paid: Sequence[tuple[int, int]]) -> int:
    """The end of the contiguous prefix of the ledger's runs [start, end) that starts at `begin`; `begin` without one.

    Rows beyond a gap are read again and skipped: what stood in an unfinished file lies in the gap.
    """
    for start, end in sorted(paid):
        if start > begin:
            break
        begin = max(begin, end)
    return begin


def read_from(begin: int, paid: Sequence[tuple[int, int]], *, is_recorded: bool) -> int:
    """Where a start without Flink state reads on.

    `begin` is where the lineage first read from; or, where no run has recorded that (its first one was restored from a
    savepoint, or the store is an older copy), where the table's startup mode would begin now. That may lie beyond rows
    that stood in unfinished files, so then the ledger's own beginning counts.
    """
    if paid and not is_recorded:
        begin = min(start for start, _ in paid)
    return prefix_end(begin, paid)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
