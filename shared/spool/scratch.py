"""This process's own folder on the local disk: files fetched from a store, kept for a while, and files being written.

It is gone with the process; what a killed one left is removed by the next that needs a folder.
"""

import atexit
import fcntl
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from shared.spool.disk import make_folder, private_opener

MOST_BYTES = 2 << 30
"""Of fetched files that nobody reads just now."""
_PREFIX, _LOCK = "batchline-spool-", "lock"


@dataclass
class _Kept:
    """A fetched file, or one that is being fetched."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    size: int = 0
    readers: int = 0
    left: int = 0
    """When its last reader left, by a count."""


class Scratch:
    """Fetched files by their addresses, the oldest making room; and folders to write in."""

    def __init__(self, most_bytes: int = MOST_BYTES, parent: Path | None = None) -> None:
        """`parent` is where the folder is made; the system's own for temporary files, unless told otherwise."""
        self._most, self._parent = most_bytes, parent
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._held: BinaryIO | None = None

    @contextmanager
    def held(self, address: str, fetch: Callable[[Path], None]) -> Iterator[Path]:
        """The file of an address, fetched unless it is here; it stays while the block lasts."""
        path = self._path(address)
        with self._lock:
            kept = self._kept.setdefault(address, _Kept())
            kept.readers += 1
        try:
            with kept.lock:
                if not path.exists():
                    make_folder(path.parent)
                    partial = path.with_name(f"{path.name}.part")
                    fetch(partial)
                    kept.size = partial.replace(path).stat().st_size
            yield path
        finally:
            self._leave(kept)

    def work(self, folder: str) -> Path:
        """The folder in which the files of an address are written."""
        path = self.folder / "work" / folder
        make_folder(path)
        return path

    @contextmanager
    def lent(self) -> Iterator[Path]:
        """A folder for files that nobody wants once the block is left."""
        name = uuid4().hex
        try:
            yield self.work(name)
        finally:
            shutil.rmtree(self.folder / "work" / name, ignore_errors=True)

    def take(self, folder: str, name: str) -> None:
        """Keep a file that was written, and is in the store now, as if it had been fetched."""
        address, written = f"{folder}/{name}", self.work(folder) / name
        path = self._path(address)
        make_folder(path.parent)
        with self._lock:
            kept = self._kept.setdefault(address, _Kept())
            kept.size = written.stat().st_size
            self._count += 1
            kept.left = self._count
            written.replace(path)
            self._make_room()

    def move(self, source: str, target: str) -> None:
        """Let what is kept under one address be found under another."""
        with self._lock:
            kept, path = self._kept.get(source), self._path(target)
            if kept is None or kept.readers or target in self._kept or not self._path(source).exists():
                return
            make_folder(path.parent)
            self._path(source).replace(path)
            self._kept[target] = self._kept.pop(source)

    def forget(self, address: str) -> None:
        """Remove what is kept, or was being written, at an address or below it."""
        shutil.rmtree(self.folder / "work" / address, ignore_errors=True)
        with self._lock:
            below = [name for name in self._kept if name == address or name.startswith(f"{address}/")]
            for name in below:
                if not self._kept[name].readers:
                    self._drop(name)

    @cached_property
    def folder(self) -> Path:
        parent = self._parent or Path(tempfile.gettempdir())
        remove_orphans(parent)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._held = open(folder / _LOCK, "wb", opener=private_opener)  # noqa: SIM115 held until the process ends
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        atexit.register(self.close)
        return folder

    def close(self) -> None:
        """Remove the folder. Nobody reads or writes in it any more."""
        if self._held is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._held.close()
            atexit.unregister(self.close)

    def _path(self, address: str) -> Path:
        return self.folder / "kept" / address

    def _leave(self, kept: _Kept) -> None:
        with self._lock:
            self._count += 1
            kept.readers, kept.left = kept.readers - 1, self._count
            self._make_room()

    def _make_room(self) -> None:
        idle = sorted((kept.left, name) for name, kept in self._kept.items() if not kept.readers)
        total = sum(kept.size for kept in self._kept.values())
        for _, name in idle:
            if total <= self._most and self._path(name).exists():
                continue
            total -= self._kept[name].size
            self._drop(name)

    def _drop(self, name: str) -> None:
        del self._kept[name]
        self._path(name).unlink(missing_ok=True)


def remove_orphans(parent: Path | None = None) -> None:
    """Remove the folders of processes that are gone: nobody holds their locks."""
    for folder in (parent or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*"):
        with suppress(OSError), (folder / _LOCK).open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
