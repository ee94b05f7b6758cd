"""What lies where in the spool: sealed files, plan attempts, batches. Nobody else builds an address in it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from shared.errors import SpoolError
from shared.keys import is_batch_key, is_name
from shared.manifest import LARGEST, Manifest
from shared.plausible import implausible
from shared.spool.address import open_files
from shared.spool.port import Entry, Files

MANIFEST, REQUESTS, RESULTS, DECISION = "manifest.json", "requests.jsonl", "results", "collected.json"
KNOWN = "known.jsonl"
PLAN, ANNALS = "plan.json", "annals"
"""A plan's record, in its attempt's folder; and where it is kept for good, below the pipeline's."""
_DEFINITION = re.compile(r"[0-9a-f]{16}")
_ATTEMPT = re.compile(r"\.plan-[0-9a-f]{32}")
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class SealedFile:
    """A finished, immutable file of rows."""

    address: str
    """Below the spool's root: <pipeline>/<statement>/sealed/<definition>/<name>."""
    definition: str
    size: int
    modified_at: datetime
    """In a folder its last write, which was before its seal; see Files.tells_last_write."""


class Spool:
    """The spool at an address: what is where in it, and `files`, which reads and writes there."""

    def __init__(self, address: str) -> None:
        """Raises SpoolError for an address that can't be used."""
        self.files: Files = open_files(address)
        self.address = address.rstrip("/")

    def statement(self, pipeline: str, statement: str) -> str:
        """The address of a statement's folder. Raises SpoolError for a name that can't stand in a path."""
        for name in (pipeline, statement):
            if not is_name(name):
                raise SpoolError(f"'{name}' can't name a folder of the spool; use letters, digits, '_', '.' and '-'")
        return f"{pipeline}/{statement}"

    def pipelines(self) -> list[str]:
        """Every pipeline that left anything here: its annals, or a statement's folder."""
        return [name for name in self._names() if self._has(name, ANNALS) or any(self.statements(name))]

    def statements(self, pipeline: str | None = None) -> Iterator[tuple[str, str]]:
        """Every statement, of one pipeline or of all, that has sealed files or batches: (pipeline, statement).

        In an object store a folder ends with the last file in it: batches stay when all sealed files are deleted.
        """
        for name in self._names() if pipeline is None else [pipeline]:
            for entry in sorted(self.files.entries(name), key=lambda entry: entry.name):
                if is_name(entry.name) and (self._has(entry.address, "sealed") or self._has(entry.address, "batches")):
                    yield name, entry.name

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
        found = [
            SealedFile(entry.address, definition, entry.size, entry.modified_at or _EPOCH)
            for definition, entry in self._staged(pipeline, statement)
            if entry.name[0] not in "._"
        ]
        return sorted(found, key=lambda file: (file.modified_at, file.address))

    def in_progress(self, pipeline: str, statement: str) -> list[Entry]:
        """The files of a statement that are still being written, or that a killed process left."""
        return [entry for _, entry in self._staged(pipeline, statement) if entry.name[0] in "._"]

    def manifest(self, pipeline: str, statement: str, batch_key: str) -> Manifest:
        """A batch's manifest. Raises SpoolError when it is missing, speaks of another batch, or can't be true."""
        address = f"{self.batch(pipeline, statement, batch_key)}/{MANIFEST}"
        data = self.files.read(address, LARGEST)
        if data is None:
            raise SpoolError(f"manifest {address} is not there")
        try:
            manifest = Manifest.model_validate_json(data)
        except ValueError as error:
            raise SpoolError(f"manifest {address} is damaged: {error}") from error
        if (manifest.batch_key, manifest.pipeline, manifest.statement) != (batch_key, pipeline, statement):
            raise SpoolError(f"manifest {address} belongs to batch {manifest.batch_key}")
        if (what := implausible(manifest)) is not None:
            raise SpoolError(f"manifest {address} can't be true: it tells of {what}")
        return manifest

    def new_attempt(self, pipeline: str, statement: str) -> str:
        """The address of a fresh folder in which batches are written before their plan is committed."""
        address = f"{self.statement(pipeline, statement)}/batches/.plan-{uuid4().hex}"
        self.files.work(address)
        return address

    def keep_attempt(self, attempt: str, batch_keys: Sequence[str]) -> None:
        """Make the batches of an attempt last: requests first, each manifest after them."""
        written = self.files.work(attempt)
        names = [f"{key}/{name}" for key in batch_keys for name in (REQUESTS, KNOWN, MANIFEST)]
        self.files.keep(attempt, [name for name in names if not name.endswith(KNOWN) or (written / name).exists()])

    def attempts(self, pipeline: str, statement: str, until: datetime) -> list[str]:
        """The attempts' folders that nobody has written into since a moment."""
        batches = f"{self.statement(pipeline, statement)}/batches"
        found = [entry for entry in self.files.entries(batches, ".plan-") if _ATTEMPT.fullmatch(entry.name)]
        return [entry.address for entry in found if self._written_at(entry) < until]

    def settle(self, attempt: str, pipeline: str, statement: str, batch_key: str) -> str:
        """Give a committed batch its place, once; gives its address. Raises SpoolError when it is nowhere."""
        if not _ATTEMPT.fullmatch(attempt.rpartition("/")[2]):
            raise SpoolError(f"'{attempt}' is no plan attempt")
        address = self.batch(pipeline, statement, batch_key)
        if self.files.size(f"{address}/{MANIFEST}") is None:
            self.place_plan(attempt, pipeline, batch_key)
        if not self.files.move(f"{attempt}/{batch_key}", address, MANIFEST):
            raise SpoolError(f"batch {address} is neither in place nor in {attempt}")
        return address

    def place_plan(self, attempt: str, pipeline: str, batch_key: str) -> None:
        """Keep the record of a committed plan, under the part of the key that its batches share.

        Before the first of them gets its place, so that none can be sent without it. A child has none.
        """
        address = f"{pipeline}/{ANNALS}/plans/{batch_key.rpartition('-')[0]}.json"
        data = self.files.read(f"{attempt}/{PLAN}") if self.files.size(address) is None else None
        if data is not None:
            self.files.create(address, data)

    def discard(self, attempt: str) -> None:
        """Remove the folder of an attempt that lost; what can't be removed now is the janitor's."""
        if _ATTEMPT.fullmatch(attempt.rpartition("/")[2]):
            with suppress(SpoolError):
                self.files.delete(attempt)

    def _names(self) -> list[str]:
        """The folders at the top that may be pipelines'."""
        return sorted(entry.name for entry in self.files.entries("") if entry.is_folder and is_name(entry.name))

    def _has(self, folder: str, name: str) -> bool:
        """Whether a folder has a folder of this name."""
        return any(entry.name == name and entry.is_folder for entry in self.files.entries(folder, name))

    def _written_at(self, folder: Entry) -> datetime:
        times = [entry.modified_at for entry in self.files.find(folder.address) if entry.modified_at is not None]
        return max(times, default=folder.modified_at or _EPOCH)

    def _staged(self, pipeline: str, statement: str) -> Iterator[tuple[str, Entry]]:
        """What Flink writes, with the definition that it is written by."""
        top = f"{self.statement(pipeline, statement)}/sealed"
        for entry in self.files.find(top):
            definition, _, name = entry.address.removeprefix(f"{top}/").partition("/")
            if _DEFINITION.fullmatch(definition) and name and "/" not in name:
                yield definition, entry
