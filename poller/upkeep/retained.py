"""Which Flink state a pipeline's next start could restore: what was sealed after it must still be there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from mmap import ACCESS_READ, mmap

from shared.errors import SpoolAway, SpoolError
from shared.spool import Entry, Files, Spool, folder_at
from shared.store import Run, Store

_METADATA = "_metadata"


@dataclass(frozen=True)
class State:
    """A complete checkpoint or savepoint."""

    files: Files
    beside: tuple[Entry, ...]
    """Its `_metadata`, and the files beside it."""

    @property
    def completed_at(self) -> datetime | None:
        return next((entry.modified_at for entry in self.beside if entry.name == _METADATA), None)


def restorable(store: Store, spool: Spool, pipeline: str) -> list[State] | None:
    """Each complete checkpoint of the pipeline's unbroken lineage; None where they lie out of our sight.

    It sees the checkpoints below the spool, where they go by default, those in the folder that the newest run states,
    and the states that runs were restored from.
    """
    tops: list[tuple[Files, str]] = [(spool.files, f"{pipeline}/checkpoints/")]
    stated = store.terms.of(pipeline).checkpoints
    if stated is not None:
        files = _seen(stated)
        if files is None:
            return None
        tops.append((files, ""))
    found: list[State] = []
    runs = lineage(store.lineage.runs(pipeline))
    for run in runs:
        own = [state for files, top in tops for state in _of_run(files, top, run)]
        if not own and run is runs[0] and run.is_own_job:
            return None
        found += own
        if run.restored_from is not None and (state := _restored(spool, run.restored_from)) is not None:
            found.append(state)
    return found


def oldest(states: Iterable[State]) -> datetime | None:
    """When the oldest of these checkpoints was completed; None when there is none."""
    return min((state.completed_at for state in states if state.completed_at is not None), default=None)


def is_named(name: str, states: Iterable[State]) -> bool:
    """Whether one of these checkpoints speaks of a file in progress: a job that it is restored to goes on writing it.

    Flink keeps the names of such files, as plain bytes, in `_metadata` or in a file beside it.
    """
    beside = {(state.files.url, entry.address): (state.files, entry) for state in states for entry in state.beside}
    return any(_holds(files, entry, name.encode()) for files, entry in beside.values())


def lineage(runs: list[Run]) -> list[Run]:
    """The newest run and those whose state it goes back to: a run that began without state ends the chain."""
    chain: list[Run] = []
    for run in sorted(runs, key=lambda run: run.epoch, reverse=True):
        chain.append(run)
        if run.restored_from is None:
            break
    return chain


def _of_run(files: Files, top: str, run: Run) -> list[State]:
    """The run's checkpoints; for a job of the user's, whose folder nobody knows, those of any job since its start."""
    jobs = [f"{top}{run.job_id}"] if run.job_id is not None else []
    if run.is_own_job:
        jobs = [entry.address for entry in files.entries(top.rstrip("/")) if entry.is_folder]
    folders = [folder.address for job in jobs for folder in files.entries(job, "chk-")]
    states = [state for folder in folders if (state := _state(files, folder)) is not None]
    if run.is_own_job:
        states = [state for state in states if (state.completed_at or run.started_at) >= run.started_at]
    return states


def _seen(address: str) -> Files | None:
    """The files of a folder of checkpoints. One that is empty here is on another machine, or was never written."""
    files = folder_at(address)
    return files if files is not None and files.entries("") else None


def _restored(spool: Spool, address: str) -> State | None:
    """A state that a run was restored from; one that lay elsewhere may have gone with all that was there."""
    address = address.removesuffix(f"/{_METADATA}")
    files = folder_at(address)
    try:
        return _state(files, "") if files else None
    except SpoolAway:
        if address.startswith(f"{spool.files.url}/"):
            raise
        return None


def _state(files: Files, folder: str) -> State | None:
    beside = tuple(entry for entry in files.entries(folder) if not entry.is_folder)
    return State(files, beside) if any(entry.name == _METADATA for entry in beside) else None


def _holds(files: Files, entry: Entry, text: bytes) -> bool:
    if entry.size == 0:
        return False
    try:
        with (
            files.local(entry.address) as path,
            path.open("rb") as file,
            mmap(file.fileno(), 0, access=ACCESS_READ) as data,
        ):
            return data.find(text) >= 0
    except SpoolAway:
        raise
    except (SpoolError, FileNotFoundError):
        return False
