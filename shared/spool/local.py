"""The spool in a folder of this machine, or of a mount: files are written where they stay."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shared.errors import SpoolAway, SpoolError
from shared.failpoints import Failpoint, reached
from shared.spool.disk import create_if_absent, make_folder, sync_folder
from shared.spool.port import Entry, check_address, check_size, is_address

_ABSENT = (FileNotFoundError, NotADirectoryError)
"""What is said of a file that is not there: a part of its address may be a file itself."""


class LocalFiles:
    """The port over one folder; `address` is its `file://` URL."""

    tells_last_write = True
    listing_pace = 0.0

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        if url.scheme != "file" or url.netloc not in ("", "localhost") or not url.path.startswith("/"):
            raise SpoolError(f"spool '{address}' can't be used; give an absolute folder as file:///path")
        self.root = Path(unquote(url.path))
        self.url = self.root.as_uri()

    def path(self, address: str) -> Path:
        """The path of an address. Raises SpoolError for one that leads outside."""
        check_address(address)
        path = self.root / address
        if not _inside(path, self.root):
            raise SpoolError(f"address '{address}' leads out of the spool {self.url}")
        return path

    def reach(self) -> None:
        if not self.root.is_dir():
            raise SpoolAway(f"the spool {self.url} is not there; mount it, or correct --spool")

    def probe(self) -> None:
        existing = next(each for each in (self.root, *self.root.parents) if each.exists())
        if not existing.is_dir():
            raise SpoolError(f"the spool {self.root} can't be made: {existing} is no folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            why = f"{existing} belongs to another user; grant it, or choose another"
            raise SpoolError(f"the spool {self.root} can't be written: {why}")

    def read(self, address: str, most: int | None = None) -> bytes | None:
        with self._told(address):
            try:
                with open(self.path(address), "rb", opener=_at_once) as file:
                    check_size(address, os.fstat(file.fileno()).st_size, most)
                    return file.read()
            except _ABSENT:
                return None

    def create(self, address: str, data: bytes) -> bool:
        with self._told(address):
            return create_if_absent(self.path(address), data)

    def size(self, address: str) -> int | None:
        with self._told(address):
            try:
                return self.path(address).stat().st_size
            except _ABSENT:
                return None

    def entries(self, folder: str, prefix: str = "") -> list[Entry]:
        with self._told(folder):
            named = [entry for entry in _scan(self.path(folder)) if entry.name.startswith(prefix)]
            # A link that leads out, or round in a ring, is nothing of ours, and keeps nobody from the rest.
            found = [entry for entry in named if not entry.is_symlink() or _inside(Path(entry.path), self.root)]
            return [entry for entry in (_entry(folder, each) for each in found) if entry is not None]

    def find(self, folder: str) -> list[Entry]:
        found: list[Entry] = []
        for entry in self.entries(folder):
            found += self.find(entry.address) if entry.is_folder else [entry]
        return found

    def delete(self, address: str) -> None:
        path = self.path(address)
        with self._told(address), suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def move(self, source: str, target: str, last: str) -> bool:  # noqa: ARG002 a rename is seen whole
        place, folder = self.path(target), self.path(source)
        if not place.exists():
            try:
                folder.rename(place)
                reached(Failpoint.FOLDER_MOVED)
            except OSError:
                if not place.exists():
                    return False
        with self._told(target):
            sync_folder(place.parent)
        with suppress(OSError):
            folder.parent.rmdir()
        return True

    @contextmanager
    def local(self, address: str) -> Iterator[Path]:
        path = self.path(address)
        if not path.is_file():
            raise SpoolError(f"{address} is not there: restore it")
        yield path

    def work(self, folder: str) -> Path:
        path = self.path(folder)
        with self._told(folder):
            make_folder(path)
        return path

    def keep(self, folder: str, names: list[str]) -> None:  # noqa: ARG002 they are where they stay
        with self._told(folder):
            sync_folder(self.path(folder))

    def home(self, folder: str) -> Path:
        return self.work(folder)

    @contextmanager
    def _told(self, address: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolAway(f"{self.root / address}: {error.strerror or error}") from error


def _at_once(path: str, flags: int) -> int:
    """An `opener` that waits for nobody, as a pipe would have it do. Raises SpoolError for what is no file."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise SpoolError(f"{path} is no file: it is none of ours")
    return handle


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):
        # A ring of links, or names that no file system takes.
        return False


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entry(folder: str, found: os.DirEntry[str]) -> Entry | None:
    """None for one that is gone by now, is neither file nor folder, or has a name that we'd never give."""
    address = f"{folder}/{found.name}" if folder else found.name
    if not is_address(address):
        return None
    try:
        known, is_folder = found.stat(follow_symlinks=False), found.is_dir()
    except FileNotFoundError:
        return None
    if not is_folder and not found.is_file(follow_symlinks=False):
        return None
    return Entry(address, known.st_size, datetime.fromtimestamp(known.st_mtime, UTC), is_folder)
