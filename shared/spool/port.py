"""The port to where the spool's files lie: what a folder of this machine and an object store both can do.

An address is a path below the root, with `/` between its parts. Finished files never change, but for being deleted.
Every verb raises SpoolError for an address that leads outside, and SpoolAway for what can't be reached.
"""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from shared.errors import SpoolError

_LONGEST, _LONGEST_NAME = 900, 255
"""Bytes; an object's key, with the spool's prefix, may have 1024."""


@dataclass(frozen=True)
class Entry:
    """What stands at an address."""

    address: str
    size: int = 0
    modified_at: datetime | None = None
    """None for a folder of an object store, which is only a common beginning of names."""
    is_folder: bool = False

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]


def is_address(address: str) -> bool:
    """Whether a file can have an address; listings leave out what hasn't one."""
    if not address.isprintable() or len(os.fsencode(address)) > _LONGEST:
        return False
    return all(len(os.fsencode(name)) <= _LONGEST_NAME for name in address.split("/"))


def check_address(address: str) -> None:
    """Raise SpoolError for an address that leads outside, or that no file can have."""
    if not is_address(address):
        raise SpoolError(f"address {address[:100]!r} is none that a file can have")
    if address.startswith("/") or "//" in address or not {".", ".."}.isdisjoint(address.split("/")):
        raise SpoolError(f"address '{address}' leads out of the spool")


def check_size(address: str, size: int, most: int | None) -> None:
    """Raise SpoolError for a file that is larger than it may be."""
    if most is not None and size > most:
        raise SpoolError(f"{address} has {size:,} bytes, and such a file has {most:,} at most: it is none of ours")


class Files(Protocol):
    """Files below one root."""

    url: str
    """The root as Flink names it, without a slash at its end."""
    tells_last_write: bool
    """Whether `modified_at` is the last write; an object's is when its upload was begun, or when it was completed."""
    listing_pace: float
    """Seconds to leave between two looks for new files: a store asks a price for each."""

    def reach(self) -> None:
        """Raise SpoolAway unless the root is there."""
        ...

    def probe(self) -> None:
        """Raise SpoolError unless files can be written here, by every verb; nothing is left behind."""
        ...

    def read(self, address: str, most: int | None = None) -> bytes | None:
        """A whole file; None when there is none. Raises SpoolError for one of more than `most` bytes, unread."""
        ...

    def create(self, address: str, data: bytes) -> bool:
        """Write a whole file, durable and at once, unless there is one; says whether this call wrote it."""
        ...

    def size(self, address: str) -> int | None:
        """The bytes of a file; None when there is none."""
        ...

    def entries(self, folder: str, prefix: str = "") -> list[Entry]:
        """The files and folders that stand in a folder, those whose name begins with `prefix`; [] without one."""
        ...

    def find(self, folder: str) -> list[Entry]:
        """Every file below a folder, at any depth."""
        ...

    def delete(self, address: str) -> None:
        """Delete a file, or a folder with all that is in it; it may be gone already."""
        ...

    def move(self, source: str, target: str, last: str) -> bool:
        """Give a folder of finished files its place, once, whoever comes first; False when it is in neither.

        In an object store the file named `last` shows that the folder is whole.
        """
        ...

    def local(self, address: str) -> AbstractContextManager[Path]:
        """A finished file on this machine's disk, for reading while the block lasts. Raises SpoolError without one."""
        ...

    def work(self, folder: str) -> Path:
        """A local folder in which the files of `folder` are written; nobody reads them before `keep`."""
        ...

    def keep(self, folder: str, names: list[str]) -> None:
        """Make files that were written below `work(folder)`, and are durable there, last; in this order."""
        ...

    def home(self, folder: str) -> Path:
        """A local folder for what belongs to this machine alone, such as a lock or a log."""
        ...
