"""Where a pipeline's checkpoints lie in its spool, and which of them are complete."""

import re
from collections.abc import Iterable

from shared.spool import Files, Spool, folder_at
from submitter.lineage.lineage import Checkpoint

_METADATA = "_metadata"
_NUMBERED = re.compile(r"chk-([0-9]+)")


def default_folder(spool: Spool, pipeline: str) -> str:
    """The URL of where checkpoints go unless the user says otherwise."""
    return f"{spool.files.url}/{pipeline}/checkpoints"


def is_readable(address: str) -> bool:
    """Whether we can look at an address that Flink can write to: not into every store, nor on another machine."""
    return folder_at(address) is not None


def complete(top: str, job_ids: Iterable[str]) -> dict[str, list[Checkpoint]]:
    """The complete checkpoints of each job below `top`: Flink writes `_metadata` last, and whole or not at all."""
    files = folder_at(top)
    return {job_id: _of_job(files, job_id) if files else [] for job_id in job_ids}


def read(address: str) -> Checkpoint | None:
    """The checkpoint or savepoint at an address; None where we can't look, or it is not complete."""
    files = folder_at(address)
    number = _NUMBERED.fullmatch(address.rstrip("/").rpartition("/")[2])
    return _checkpoint(files, "", int(number[1]) if number else 0) if files else None


def metadata(checkpoint: Checkpoint) -> bytes:
    """What Flink wrote of a checkpoint; empty for one that is gone by now."""
    files = folder_at(checkpoint.address)
    return (files.read(_METADATA) if files else None) or b""


def _of_job(files: Files, job_id: str) -> list[Checkpoint]:
    numbered = [(entry.address, _NUMBERED.fullmatch(entry.name)) for entry in files.entries(job_id, "chk-")]
    found = [_checkpoint(files, address, int(number[1])) for address, number in numbered if number]
    return [checkpoint for checkpoint in found if checkpoint is not None]


def _checkpoint(files: Files, folder: str, number: int) -> Checkpoint | None:
    for entry in files.entries(folder, _METADATA):
        if entry.name == _METADATA and entry.modified_at is not None:
            return Checkpoint(f"{files.url}/{folder}".rstrip("/"), number, entry.modified_at)
    return None
