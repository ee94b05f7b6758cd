"""One attempt at a file's plan: a single pass over its rows writes the requests and manifests of all its batches."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from shared.admission import UNCUT, Cut
from shared.causes import Cause
from shared.definition import Definition, Source
from shared.errors import SpoolError
from shared.failpoints import Failpoint, reached
from shared.keys import batch_key, custom_id
from shared.manifest import Manifest
from shared.providers.port import Profile, Requests
from shared.render import Unrenderable, prompt_of
from shared.rows import row_reader
from shared.spool import MANIFEST, REQUESTS, SealedFile, make_folder, private_opener, write_atomic
from submitter.plan import Fates, Limits, Offsets

_CHUNK = 1 << 20

Paid = Callable[[int, int, int], list[tuple[int, int]]]
"""(topic index, partition, lowest offset) to the runs that are paid for from there on."""


class Ledger:
    """The positions of one file's rows, held against those that are paid for."""

    def __init__(self, source: Source, paid: Paid) -> None:
        self._source, self._paid = source, paid
        self._partitions: dict[tuple[int, int], Offsets] = {}
        self._last: list[int] = []
        self._is_new = False

    def take(self, position: list[int] | None) -> bool:
        """Whether a row's position is new. A row without one always is.

        Rows of one position that follow each other are of one record: Flink's JSON format makes a row of each element
        of a top-level array.
        """
        if not position:
            return True
        if position != self._last:
            self._last, self._is_new = position, self._take(position)
        return self._is_new

    def _take(self, position: list[int]) -> bool:
        topic, partition, offset = position
        offsets = self._partitions.get((topic, partition))
        if offsets is None:
            offsets = self._partitions[topic, partition] = Offsets(self._paid(topic, partition, 0))
        return offsets.take(offset)

    def runs(self) -> Iterator[tuple[str, str, int, int, int]]:
        """(cluster id, topic id, partition, start, end) of each run taken."""
        for (topic, partition), offsets in sorted(self._partitions.items()):
            for start, end in offsets.runs():
                yield self._source.cluster_id, self._source.topics[topic][1], partition, start, end


class _Part:
    """A batch being written: its request lines, the fates of its rows, its first byte in the sealed file."""

    def __init__(self, folder: Path, key: str, start: int) -> None:
        self.key, self.start = key, start
        self.requests = self.size = 0
        self.fates = Fates()
        self.rejected: list[tuple[int, str, str]] = []
        self.folder = folder / key
        make_folder(self.folder)
        self._file: BinaryIO = open(self.folder / REQUESTS, "wb", buffering=0, opener=private_opener)  # noqa: SIM115 closed by close()
        self._digest = hashlib.sha256()
        self._lines: list[bytes] = []
        self._pending = 0

    def request(self, line: bytes) -> None:
        self._lines.append(line)
        self.requests += 1
        self.size += len(line)
        self._pending += len(line)
        self.fates.add("request")
        if self._pending >= _CHUNK:
            self._flush()

    def reject(self, cause: Cause, message: str) -> None:
        self.rejected.append((self.fates.rows, cause, message))
        self.fates.add("rejected")

    def close(self) -> str:
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


class Draft:
    """Turns one sealed file into batches within the provider's limits, below an attempt's folder. Memory stays flat."""

    def __init__(
        self,
        definition: Definition,
        requests: Requests,
        profile: Profile,
        file: SealedFile,
        folder: Path,
        ledger: Ledger | None,
        cut: Cut = UNCUT,
    ) -> None:
        self._definition, self._file, self._folder, self._ledger = definition, file, folder, ledger
        self._prompt = prompt_of(definition)
        self._read = row_reader(definition)
        self._line = requests.line
        embeddings = definition.model.task == "embeddings"
        self._limits = Limits.of(profile, definition.batch, embeddings=embeddings, cut=cut)
        self._manifests: list[Manifest] = []
        self._part = self._open(0)
        self.rows = self.skipped = 0

    def write(self, sealed: Path) -> list[Manifest]:
        """Write every batch of the file; gives their manifests, in order. Raises SpoolError for a damaged line."""
        offset = 0
        with sealed.open("rb") as lines:
            for line in lines:
                try:
                    record = self._read(line)
                    row, position = record["row"], record.get("position")
                    new = self._ledger is None or self._ledger.take(position)
                except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                    raise SpoolError(f"{self._file.address}, byte {offset}: not a sealed row ({error})") from error
                self.rows += 1
                if new:
                    self._add(row, offset)
                else:
                    self.skipped += 1
                    self._part.fates.add("elsewhere")
                offset += len(line)
        self._close(offset)
        return self._manifests

    def positions(self) -> list[tuple[str, str, int, int, int]]:
        """The runs of positions that these batches pay for."""
        return list(self._ledger.runs()) if self._ledger else []

    def _add(self, row: dict[str, object], offset: int) -> None:
        part = self._part
        try:
            prompt = self._prompt(row)
        except Unrenderable as error:
            if self._limits.full(0, 0, 0, len(part.rejected)):
                part = self._cut(offset)
            part.reject(error.cause, str(error))
            return
        line = self._line(custom_id(part.key, part.requests), prompt)
        if self._limits.full(part.requests, part.size, len(line), len(part.rejected)):
            if self._limits.full(0, 0, len(line)):
                self._too_large(offset, len(line))
                return
            part = self._cut(offset)
            line = self._line(custom_id(part.key, 0), prompt)
        part.request(line)

    def _too_large(self, offset: int, size: int) -> None:
        part = self._part
        if self._limits.full(0, 0, 0, len(part.rejected)):
            part = self._cut(offset)
        limit = self._limits.max_bytes
        part.reject(Cause.TOO_LARGE, f"its request has {size} bytes, and a batch holds {limit}; shorten the record")

    def _open(self, start: int) -> _Part:
        key = self._key(len(self._manifests))
        return _Part(self._folder, key, start)

    def _key(self, part: int) -> str:
        file, definition = self._file.address, self._definition
        return batch_key(definition.pipeline, definition.statement, file.partition("/sealed/")[2], part)

    def _cut(self, offset: int) -> _Part:
        self._close(offset)
        self._part = self._open(offset)
        return self._part

    def _close(self, end: int) -> None:
        part, definition = self._part, self._definition
        digest = part.close()
        records = part.requests + len(part.rejected)
        if records == 0:
            (part.folder / REQUESTS).unlink()
            part.folder.rmdir()
            return
        manifest = Manifest(
            batch_key=part.key,
            pipeline=definition.pipeline,
            statement=definition.statement,
            generation=0,
            definition=definition,
            sealed_file=self._file.address,
            sealed_at=self._file.modified_at,
            mode=definition.batch.mode,
            start=part.start,
            end=end,
            runs=part.fates.closed(),
            rejected=tuple(part.rejected),
            requests=part.requests,
            records=records,
            bytes=part.size,
            sha256=digest,
        )
        reached(Failpoint.PLAN_REQUESTS)
        write_atomic(part.folder / MANIFEST, manifest.model_dump_json().encode())
        self._manifests.append(manifest)
