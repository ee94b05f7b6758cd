"""Where a pipeline's checkpoints lie in its spool, and which of them are complete."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shared.spool import Spool
from submitter.lineage import Checkpoint

_NUMBERED = re.compile(r"chk-([0-9]+)")


def folder(pipeline: str) -> str:
    """The address of a pipeline's checkpoints, below the spool's root."""
    return f"{pipeline}/checkpoints"


def complete(top: Path, job_ids: Iterable[str]) -> dict[str, list[Checkpoint]]:
    """The complete checkpoints of each job below `top`: Flink writes `_metadata` last, and whole or not at all."""
    return {job_id: _of_job(top / job_id) for job_id in job_ids}


def default_folder(spool: Spool, pipeline: str) -> Path:
    """Where checkpoints go unless the user says otherwise."""
    return spool.path(folder(pipeline))


def read(address: str) -> Checkpoint | None:
    """The checkpoint or savepoint at an address; None where it is on another machine, or not complete."""
    path = local_path(address)
    number = _NUMBERED.fullmatch(path.name) if path else None
    return _checkpoint(path, int(number[1]) if number else 0) if path else None


def local_path(address: str) -> Path | None:
    """The path behind an address; None for one that is not on this machine."""
    url = urlsplit(address)
    return Path(unquote(url.path)) if url.scheme in ("", "file") else None


def _of_job(path: Path) -> list[Checkpoint]:
    found = []
    for entry in path.glob("chk-*"):
        number = _NUMBERED.fullmatch(entry.name)
        checkpoint = _checkpoint(entry, int(number[1])) if number else None
        if checkpoint:
            found.append(checkpoint)
    return found


def _checkpoint(path: Path, number: int) -> Checkpoint | None:
    try:
        written = (path / "_metadata").stat().st_mtime
    except OSError:
        return None
    return Checkpoint(path.as_uri(), number, datetime.fromtimestamp(written, UTC))
