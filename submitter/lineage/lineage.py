"""Which Flink state a start continues from, decided from the runs in the store, never by a date alone. No I/O."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.store.values import Run

FINISHED = "finished"
"""The outcome of a run that submitted all of a bounded input."""
NAMED = "execution.state-recovery.path"
"""The option by which the user, or a Kubernetes operator, names a state."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint or savepoint."""

    address: str
    number: int
    """Flink's own, ascending within a job."""
    completed_at: datetime


@dataclass(frozen=True)
class Sealed:
    """What was sealed last; None where nothing was."""

    written_at: datetime | None = None
    """The last write to any finished file."""
    planned_at: datetime | None = None
    """When the last plan was made."""


@dataclass(frozen=True)
class Road:
    """How a job starts: from a state, or (`restore` None) from positions, and why."""

    restore: str | None
    reason: str
    first: bool = False
    """Whether the pipeline has never run."""
    is_own: bool = False
    """Whether one of the pipeline's runs made the state, for itself: Flink may take it over, and delete it."""


Found = Mapping[str, Sequence[Checkpoint]]
"""The complete checkpoints of each run by its job id, and each state that a run was restored from by its address."""


def newest(runs: Sequence[Run], found: Found) -> Checkpoint | None:
    """The newest complete checkpoint of the newest run in the unbroken chain.

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
    runs: Sequence[Run], found: Found, definition: str, sealed: Sealed, *, fresh: bool, reads_on: bool = False
) -> Road:
    """The road of the next run of a pipeline, for which nobody named a state.

    `reads_on`: all of its input has positions, and there is nothing else that a start without state would begin anew.
    """
    if not runs:
        return Road(None, "the pipeline's first run", first=True)
    if fresh:
        return Road(None, "--fresh")
    last = max(runs, key=lambda run: run.epoch)
    if last.definition != definition:
        return Road(None, "the definition has changed")
    if last.outcome == FINISHED and reads_on:
        # Its sources would never look beyond the end that they came to.
        return Road(None, "the earlier run came to the end of its bounded input")
    checkpoint = newest(runs, found)
    if checkpoint is None:
        return Road(None, "the earlier run left no complete checkpoint")
    own = {each.address for run in runs for each in found.get(run.job_id or "", ())}
    return judge(checkpoint, "its lineage", found, sealed, is_own=checkpoint.address in own)


def choose_named(
    named: str, state: Checkpoint | None, runs: Sequence[Run], found: Found, definition: str, sealed: Sealed
) -> Road:
    """The road of a run for which the user names a state; `state` is None where it can't be seen from here."""
    maker = _maker(named, runs)
    if maker is not None and maker.definition != definition:
        return Road(None, f"the definition has changed since {named}")
    if state is None:
        return Road(named, NAMED)
    return judge(state, NAMED, found, sealed)


def judge(state: Checkpoint, reason: str, found: Found, sealed: Sealed, *, is_own: bool = False) -> Road:
    """Whether a state may be restored: a file that is still in progress in it must not be finished by now.

    A write after the state tells of one; so does a plan, once a later checkpoint may have finished the file.
    """
    is_newest = all(each.completed_at <= state.completed_at for of_job in found.values() for each in of_job)
    since = [sealed.written_at, None if is_newest else sealed.planned_at]
    if any(moment is not None and moment > state.completed_at for moment in since):
        return Road(None, f"{state.address} is older than the newest sealed file")
    return Road(state.address, reason, is_own=is_own)


def _maker(named: str, runs: Sequence[Run]) -> Run | None:
    """The run whose state it is: Flink names a checkpoint's folder by the job, a savepoint's by its first six digits.

    Where the address doesn't tell, the newest one; None where there is none.
    """
    ordered = sorted(runs, key=lambda run: run.epoch, reverse=True)
    parts = named.split("/")
    for run in ordered:
        if run.job_id and any(part == run.job_id or part.startswith(f"savepoint-{run.job_id[:6]}-") for part in parts):
            return run
    return next(iter(ordered), None)


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
