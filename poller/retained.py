"""Which Flink state a pipeline's next start could restore: what was sealed after it must still be there."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shared.spool import Spool
from shared.store import Run, Store


def oldest_restorable(store: Store, spool: Spool, pipeline: str) -> datetime | None:
    """When the oldest checkpoint of the pipeline's unbroken lineage was completed; None when it has none.

    It sees the checkpoints below the spool, where they go by default, and the states that runs were restored from.
    """
    top = spool.path(f"{pipeline}/checkpoints")
    found: list[Path] = []
    for run in lineage(store.lineage.runs(pipeline)):
        if run.job_id is not None:
            found += top.glob(f"{run.job_id}/chk-*/_metadata")
        if run.restored_from is not None:
            found.append(Path(unquote(urlsplit(run.restored_from).path)) / "_metadata")
    times = [moment for moment in map(_written, found) if moment is not None]
    return min(times, default=None)


def lineage(runs: list[Run]) -> list[Run]:
    """The newest run and those whose state it goes back to: a run that began without state ends the chain."""
    chain: list[Run] = []
    for run in sorted(runs, key=lambda run: run.epoch, reverse=True):
        chain.append(run)
        if run.restored_from is None:
            break
    return chain


def _written(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
