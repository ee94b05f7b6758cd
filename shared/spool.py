"""The spool: addresses of sealed files, batches and results, and atomic writes. Nobody else builds a path in it."""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from shared.errors import SpoolError
from shared.keys import is_batch_key, is_name
from shared.manifest import Manifest

MANIFEST, REQUESTS, RESULTS = "manifest.json", "requests.jsonl", "results"
_DEFINITION = re.compile(r"[0-9a-f]{16}")
_ATTEMPT = re.compile(r"\.plan-[0-9a-f]{32}")


@dataclass(frozen=True)
class SealedFile:
    """A finished, immutable file of rows."""

    address: str
    """Below the spool's root: <pipeline>/<statement>/sealed/<definition>/<name>."""
    definition: str
    size: int
    modified_at: datetime
    """Its last write, which was before its seal."""


class Spool:
    """The spool below one root.

    `address` is a `file://` URL of a folder; every path that is given out lies inside it.
    """

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        if url.scheme != "file" or url.netloc not in ("", "localhost") or not url.path.startswith("/"):
            raise SpoolError(f"spool '{address}' can't be used; give an absolute folder as file:///path")
        self.address = address.rstrip("/")
        self.root = Path(unquote(url.path))

    def path(self, relative: str) -> Path:
        """The path of an address below the root. Raises SpoolError for one that leads outside."""
        path = self.root / relative
        if relative.startswith("/") or ".." in Path(relative).parts or not _inside(path, self.root):
            raise SpoolError(f"address '{relative}' leads out of the spool {self.address}")
        return path

    def statement(self, pipeline: str, statement: str) -> str:
        """The address of a statement's folder. Raises SpoolError for a name that can't stand in a path."""
        for name in (pipeline, statement):
            if not is_name(name):
                raise SpoolError(f"'{name}' can't name a folder of the spool; use letters, digits, '_', '.' and '-'")
        return f"{pipeline}/{statement}"

    def batch(self, pipeline: str, statement: str, batch_key: str) -> str:
        """The address of a batch's folder."""
        if not is_batch_key(batch_key):
            raise SpoolError(f"'{batch_key}' is not a batch key")
        return f"{self.statement(pipeline, statement)}/batches/{batch_key}"

    def sealed(self, pipeline: str, statement: str, definition: str) -> str:
        """The address of the folder that Flink seals a definition's files in."""
        return f"{self.statement(pipeline, statement)}/sealed/{definition}"

    def sealed_files(self, pipeline: str, statement: str) -> list[SealedFile]:
        """The finished files of a statement, oldest first; Flink hides those in progress behind a leading dot."""
        top = self.path(f"{self.statement(pipeline, statement)}/sealed")
        found = [
            SealedFile(
                f"{pipeline}/{statement}/sealed/{folder.name}/{entry.name}",
                folder.name,
                entry.stat().st_size,
                datetime.fromtimestamp(entry.stat().st_mtime, UTC),
            )
            for folder in _entries(top)
            if _DEFINITION.fullmatch(folder.name)
            for entry in _entries(Path(folder.path))
            if entry.name[0] not in "._" and entry.is_file(follow_symlinks=False)
        ]
        return sorted(found, key=lambda file: (file.modified_at, file.address))

    def manifest(self, pipeline: str, statement: str, batch_key: str) -> Manifest:
        """A batch's manifest. Raises SpoolError when it is missing, or speaks of another batch."""
        address = f"{self.batch(pipeline, statement, batch_key)}/{MANIFEST}"
        try:
            manifest = Manifest.model_validate_json(self.path(address).read_bytes())
        except OSError as error:
            raise SpoolError(f"manifest {address} can't be read: {error.strerror}") from error
        except ValueError as error:
            raise SpoolError(f"manifest {address} is damaged: {error}") from error
        if (manifest.batch_key, manifest.pipeline, manifest.statement) != (batch_key, pipeline, statement):
            raise SpoolError(f"manifest {address} belongs to batch {manifest.batch_key}")
        return manifest

    def new_attempt(self, pipeline: str, statement: str) -> str:
        """The address of a fresh folder in which batches are written before their plan is committed."""
        address = f"{self.statement(pipeline, statement)}/batches/.plan-{uuid4().hex}"
        make_folder(self.path(address))
        return address

    def settle(self, attempt: str, pipeline: str, statement: str, batch_key: str) -> str:
        """Move a committed batch's folder from its attempt to its place, once; gives its address.

        Raises SpoolError when it is in neither.
        """
        if not _ATTEMPT.fullmatch(attempt.rpartition("/")[2]):
            raise SpoolError(f"'{attempt}' is no plan attempt")
        address = self.batch(pipeline, statement, batch_key)
        place, source = self.path(address), self.path(attempt) / batch_key
        if not place.exists():
            try:
                source.rename(place)
            except OSError as error:
                if not place.exists():
                    raise SpoolError(f"batch {address} is neither in place nor in {attempt}") from error
        sync_folder(place.parent)
        with suppress(OSError):
            source.parent.rmdir()
        return address

    def discard(self, attempt: str) -> None:
        """Remove the folder of an attempt that lost."""
        if _ATTEMPT.fullmatch(attempt.rpartition("/")[2]):
            shutil.rmtree(self.path(attempt), ignore_errors=True)


def make_folder(path: Path) -> None:
    """A folder, with its parents, for its owner alone; parents that exist stay as they are."""
    path.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)


def private_opener(path: str, flags: int) -> int:
    """An `opener` for `open` that makes files readable by their owner alone."""
    return os.open(path, flags, stat.S_IRUSR | stat.S_IWUSR)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file that is seen either complete or not at all, also after a crash of the machine."""
    partial = _write_partial(path, data)
    partial.replace(path)
    sync_folder(path.parent)


def create_if_absent(path: Path, data: bytes) -> bool:
    """Write a whole file unless one is there already; says whether it was written. Atomic among processes."""
    partial = _write_partial(path, data)
    try:
        os.link(partial, path)
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


def _inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return
