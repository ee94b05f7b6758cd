"""One batch while it is written: its request lines, and what becomes of its rows."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from shared.causes import Cause
from shared.definition import Definition
from shared.manifest import Manifest
from shared.packing import packs_of
from shared.spool import REQUESTS, SealedFile, make_folder, private_opener
from submitter.planning.plan import Fates

_CHUNK = 1 << 20
MAX_ECHOES = 100_000
"""Echoes that one manifest lists, so that it stays small; what comes after them is asked."""


class Part:
    """A batch being written: its request lines, the fates of its rows, its first byte in the sealed file."""

    def __init__(self, folder: Path, key: str, start: int) -> None:
        self.key, self.start = key, start
        self.size = self.records = 0
        self.sizes: list[int] = []
        """Records in each request."""
        self.fates = Fates()
        self.rejected: list[tuple[int, str, str]] = []
        self.echoes: list[int] = []
        self.known: list[bytes] = []
        """The questions of rows that have an answer already."""
        self._asked: dict[bytes, int] = {}
        """What is asked, by its digest, to the record that asks it."""
        self.folder = folder / key
        make_folder(self.folder)
        self._file: BinaryIO = open(self.folder / REQUESTS, "wb", buffering=0, opener=private_opener)  # noqa: SIM115 closed by close()
        self._digest = hashlib.sha256()
        self._lines: list[bytes] = []
        self._pending = 0

    @property
    def requests(self) -> int:
        return len(self.sizes)

    def request(self, line: bytes, records: int = 1) -> None:
        """Take a request's line; the fates of its rows are added apart."""
        self._lines.append(line)
        self.sizes.append(records)
        self.records += records
        self.size += len(line)
        self._pending += len(line)
        if self._pending >= _CHUNK:
            self._flush()

    def asks(self, question: bytes | None, record: int) -> None:
        """Remember what a record asks, so that others can be its echoes; None where nothing is deduplicated."""
        if question is not None:
            self._asked[question] = record

    def asker(self, question: bytes | None) -> int | None:
        """The record that asks the same, where there is one and the manifest has room."""
        return None if question is None or len(self.echoes) >= MAX_ECHOES else self._asked.get(question)

    def answered(self, question: bytes) -> None:
        """A row whose question was answered lately."""
        self.known.append(question)
        self.fates.add("known")

    def echo(self, record: int) -> None:
        """A row whose answer is that of a record before it."""
        self.echoes.append(record)
        self.fates.add("echo")

    def reject(self, cause: Cause, message: str) -> None:
        self.rejected.append((self.fates.rows, cause, message))
        self.fates.add("rejected")

    def manifest(self, definition: Definition, file: SealedFile, end: int) -> Manifest:
        """The batch as it is, its request file closed; `end` is its last byte in the sealed file."""
        digest = self._close()
        return Manifest(
            batch_key=self.key,
            pipeline=definition.pipeline,
            statement=definition.statement,
            generation=0,
            definition=definition,
            sealed_file=file.address,
            sealed_at=file.modified_at,
            mode=definition.batch.mode,
            start=self.start,
            end=end,
            runs=self.fates.closed(),
            rejected=tuple(self.rejected),
            echoes=tuple(self.echoes),
            known=len(self.known),
            packs=packs_of(self.sizes),
            requests=self.requests,
            records=self.records + len(self.rejected) + len(self.echoes) + len(self.known),
            bytes=self.size,
            sha256=digest,
        )

    def _close(self) -> str:
        """Make the request file durable; gives its SHA-256."""
        self._flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()

    def _flush(self) -> None:
        data = b"".join(self._lines)
        self._digest.update(data)
        self._file.write(data)
        self._lines.clear()
        self._pending = 0
