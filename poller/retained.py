"""Which Flink state a pipeline's next start could restore: what was sealed after it must still be there."""

from collections.abc import Iterable
from datetime import UTC, datetime
from mmap import ACCESS_READ, mmap
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shared.spool import Spool
from shared.store import Run, Store


def restorable(store: Store, spool: Spool, pipeline: str) -> list[Path]:
    """The `_metadata` of each complete checkpoint of the pipeline's unbroken lineage.

    It sees the checkpoints below the spool, where they go by default, and the states that runs were restored from.
    """
    top = spool.path(f"{pipeline}/checkpoints")
    found: list[Path] = []
    for run in lineage(store.lineage.runs(pipeline)):
        if run.job_id is not None:
            found += top.glob(f"{run.job_id}/chk-*/_metadata")
        if run.restored_from is not None:
            found.append(Path(unquote(urlsplit(run.restored_from).path)) / "_metadata")
    return [path for path in found if path.is_file()]


def oldest(states: Iterable[Path]) -> datetime | None:
    """When the oldest of these checkpoints was completed; None when there is none."""
    times = [moment for moment in map(_written, states) if moment is not None]
    return min(times, default=None)


def is_named(name: str, states: Iterable[Path]) -> bool:
    """Whether one of these checkpoints speaks of a file in progress: a job that it is restored to goes on writing it.

    Flink keeps the names of such files, as plain bytes, in `_metadata` or in a file beside it.
    """
    beside = {path for state in states for path in state.parent.iterdir() if path.is_file() and path.stat().st_size}
    return any(_holds(path, name.encode()) for path in beside)


def lineage(runs: list[Run]) -> list[Run]:
    """The newest run and those whose state it goes back to: a run that began without state ends the chain."""
    chain: list[Run] = []
    for run in sorted(runs, key=lambda run: run.epoch, reverse=True):
        chain.append(run)
        if run.restored_from is None:
            break
    return chain


def _holds(path: Path, text: bytes) -> bool:
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return data.find(text) >= 0
    except FileNotFoundError:
        return False


def _written(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
