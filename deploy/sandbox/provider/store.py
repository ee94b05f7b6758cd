"""The provider's own state on disk: a JSON file for each batch and uploaded file, read again at a restart."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from deploy.sandbox.provider.batches import Batch, Phase
from deploy.sandbox.provider.processing import Outcome


@dataclass(slots=True)
class FileRecord:
    """An uploaded or produced file; `hidden_until` serves the fault of row 3. The data outlive the deletion."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: float
    path: str
    expires_at: float | None = None
    hidden_until: float = 0.0
    deleted: bool = False

    def available(self, now: float) -> bool:
        return not self.deleted and now >= self.hidden_until and (self.expires_at is None or now < self.expires_at)


Record = TypeVar("Record", Batch, FileRecord)


class Records(Generic[Record]):
    """Records by id in order of their creation, each kept in `<directory>/<id>.json`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._records: dict[str, Record] = {}

    def load(self, record: Record) -> None:
        self._records[record.id] = record

    def put(self, record: Record) -> None:
        self._records[record.id] = record
        path = self._directory / f"{record.id}.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(orjson.dumps(asdict(record)))
        temporary.replace(path)

    def get(self, name: str) -> Record | None:
        return self._records.get(name)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def stored(self) -> list[dict[str, Any]]:
        """Return what stands on disk, oldest first."""
        entries: list[dict[str, Any]] = [orjson.loads(path.read_bytes()) for path in self._directory.glob("*.json")]
        return sorted(entries, key=lambda entry: float(entry["created_at"]))


class Store:
    """All state of one fake provider, under one directory."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.files: Records[FileRecord] = Records(directory / "files")
        self.batches: Records[Batch] = Records(directory / "batches")
        for entry in self.files.stored():
            self.files.load(FileRecord(**entry))
        for entry in self.batches.stored():
            self.batches.load(_batch(entry))

    def path(self, name: str) -> Path:
        return self.data / name

    def used_bytes(self, now: float) -> int:
        return sum(record.bytes for record in self.files if record.available(now))


def _batch(entry: dict[str, Any]) -> Batch:
    entry["phase"] = Phase(entry["phase"])
    if entry["outcome"] is not None:
        entry["outcome"] = Outcome(**entry["outcome"])
        entry["outcome_for"] = tuple(entry["outcome_for"])
    return Batch(**entry)


def new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


def remove(path: str) -> None:
    """Remove produced data; gone already is fine."""
    try:
        os.unlink(path)  # noqa: PTH108 - paths are stored as text
    except FileNotFoundError:
        return
