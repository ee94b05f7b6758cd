"""Files on this machine's disk: private to their owner, seen whole or not at all, durable when a call is over."""

import os
import stat
from pathlib import Path
from uuid import uuid4

from shared.failpoints import Failpoint, reached


def make_folder(path: Path) -> None:
    """A folder, with its parents, for its owner alone; parents that exist stay as they are."""
    if path.is_dir():
        return
    # Parents that `mkdir` makes by itself have the process's mode.
    make_folder(path.parent)
    path.mkdir(mode=stat.S_IRWXU, exist_ok=True)


def private_opener(path: str, flags: int) -> int:
    """An `opener` for `open` that makes files readable by their owner alone."""
    return os.open(path, flags, stat.S_IRUSR | stat.S_IWUSR)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file that is seen either complete or not at all, also after a crash of the machine."""
    partial = _write_partial(path, data)
    reached(Failpoint.FILE_WRITTEN)
    partial.replace(path)
    sync_folder(path.parent)


def create_if_absent(path: Path, data: bytes) -> bool:
    """Write a whole file unless one is there already; says whether it was written. Atomic among processes."""
    partial = _write_partial(path, data)
    try:
        os.link(partial, path)
        reached(Failpoint.FILE_LINKED)
    except FileExistsError:
        return False
    finally:
        partial.unlink()
    sync_folder(path.parent)
    return True


def sync_folder(path: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_partial(path: Path, data: bytes) -> Path:
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    with open(partial, "wb", opener=private_opener) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return partial
