"""results.index and results.answers below a batch's `results`: what became of each record, found by its number.

They lie in a folder that one collection has to itself; poller.collect.decision says which one counts. Answers stand
in the order of arrival; the index holds for each record a verdict (1 byte), an offset (8) and a length (4), as columns.
"""

import os
import struct
import sys
from array import array
from collections.abc import Iterable
from contextlib import ExitStack
from enum import IntEnum
from pathlib import Path
from typing import Self

import orjson

from poller.collect.usage import USAGE, Usage, UsageWriter
from shared.causes import Cause
from shared.errors import SpoolError
from shared.failpoints import Failpoint, reached
from shared.spool import private_opener, write_atomic
from shared.telemetry import SECRETS

INDEX, ANSWERS = "results.index", "results.answers"
_HEADER = struct.Struct("<8sQ")
_MAGIC = b"batchln1"
_BUFFER = 1 << 20
_SMALL = 4 << 20
"""Bytes of answers that are kept in memory when they are read: a call for each record would cost more than it does."""


class Verdict(IntEnum):
    """What became of a record. Only ANSWERED, FAILED and CARRIED stand in an index."""

    MISSING = 0
    ANSWERED = 1
    FAILED = 2
    RETRY = 3
    """The provider's fault: once more, if any retries are left."""
    ACCOUNT = 4
    """The account's fault: once more, without using a retry."""
    CARRIED = 5
    REFUSED = 6
    """The provider refused the request that it shares with others, for the fault of one of them."""
    UNREAD = 7
    """The answer that it shares with others can't be read: as `batch.response.on-error` says."""


class ResultsWriter:
    """Takes each record's answer once; `verdicts` can still change until `seal`.

    Records are those that are asked, in the order of their rows: a request's number where it holds one record.
    """

    def __init__(self, folder: Path, records: int, usage: UsageWriter | None = None) -> None:
        """`usage`: where what requests used is kept too."""
        self._folder = folder
        self.records, self.usage = records, usage
        self.verdicts = bytearray(records)
        self._offsets, self._lengths = array("Q", bytes(8 * records)), array("I", bytes(4 * records))
        self._partial = folder / f".{ANSWERS}"
        self._file = open(self._partial, "wb", buffering=_BUFFER, opener=private_opener)  # noqa: SIM115 closed by seal
        self._at = 0

    def put(self, record: int, verdict: Verdict, answer: bytes) -> None:
        """Keep the answer of a record; of a failed one, what `failure` gives."""
        self.verdicts[record] = verdict
        self._offsets[record], self._lengths[record] = self._at, len(answer)
        self._at += self._file.write(answer)

    def put_all(self, records: Iterable[int], verdict: Verdict, answer: bytes) -> None:
        """Keep one answer for several records, written once."""
        for record in records:
            self.verdicts[record] = verdict
            self._offsets[record], self._lengths[record] = self._at, len(answer)
        self._at += self._file.write(answer)

    def fail(self, record: int, cause: Cause, message: str) -> None:
        """Fail a record that has no answer of its own."""
        self.put(record, Verdict.FAILED, failure(cause, message))

    def having(self, *verdicts: Verdict) -> list[int]:
        """The records with one of these verdicts, in order."""
        if not any(map(self.verdicts.count, verdicts)):
            return []
        return [record for record, verdict in enumerate(self.verdicts) if verdict in verdicts]

    def seal(self) -> None:
        """Make the answers durable, then the index."""
        if self.usage is not None:
            self.usage.seal()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._folder / ANSWERS)
        reached(Failpoint.ANSWERS_WRITTEN)
        offsets, lengths = self._offsets, self._lengths
        if sys.byteorder == "big":
            offsets.byteswap()
            lengths.byteswap()
        columns = (bytes(self.verdicts), offsets.tobytes(), lengths.tobytes())
        write_atomic(self._folder / INDEX, b"".join((_HEADER.pack(_MAGIC, self.records), *columns)))

    def discard(self) -> None:
        """Remove what was written, when collection is broken off."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Results:
    """The verdicts and answers of a collected batch, by record. Memory stays flat."""

    def __init__(self, folder: Path, records: int, *, used_by: int | None = None) -> None:
        """`used_by`: the requests whose usage is kept too.

        Raises SpoolError for an index that is missing, damaged, or of another batch.
        """
        self._folder = folder
        self.verdicts = b""
        self._offsets, self._lengths = array("Q"), array("I")
        self._file = -1
        self._whole = b""
        """All answers, where they are small."""
        self.usage: Usage | None = None
        """What the requests used, where it is kept."""
        if records == 0:
            return
        try:
            index = (folder / INDEX).read_bytes()
            magic, count = _HEADER.unpack_from(index)
        except (OSError, struct.error) as error:
            raise SpoolError(f"{folder / INDEX} can't be read: {error}") from error
        if (magic, count, len(index)) != (_MAGIC, records, _HEADER.size + 13 * records):
            raise SpoolError(f"{folder / INDEX} is damaged, or is not of a batch with {records} records")
        body = memoryview(index)[_HEADER.size :]
        self.verdicts = bytes(body[:records])
        self._offsets.frombytes(body[records : 9 * records])
        self._lengths.frombytes(body[9 * records :])
        if sys.byteorder == "big":
            self._offsets.byteswap()
            self._lengths.byteswap()
        if used_by is not None:
            self.usage = Usage(folder / USAGE, used_by)
        self._open(folder / ANSWERS)

    def answer(self, record: int) -> bytes:
        """What `put` was given."""
        offset, length = self._offsets[record], self._lengths[record]
        if self._whole:
            return self._whole[offset : offset + length]
        # Not through a map of the file: scattered answers would bring their neighbours into this process's memory.
        return self._bytes(length, offset)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise SpoolError(f"{path} can't be read: {error.strerror}") from error
        with ExitStack() as undo:
            undo.callback(self.close)
            size = os.fstat(self._file).st_size
            if any(offset + length > size for offset, length in zip(self._offsets, self._lengths, strict=True)):
                raise SpoolError(f"{path} is shorter than its index says")
            if size <= _SMALL:
                self._whole = self._bytes(size, 0)
            undo.pop_all()

    def _bytes(self, length: int, offset: int) -> bytes:
        """Bytes of the answers. A disk that fails later in a read gives what came before, and no error."""
        found = os.pread(self._file, length, offset)
        if len(found) != length:
            raise SpoolError(f"{self._folder / ANSWERS}: {length} bytes at {offset} can't be read: see to its disk")
        return found


def failure(cause: str, message: str, raw: str | None = None) -> bytes:
    """A failed record as it is kept; `parse_failure` is the inverse."""
    return orjson.dumps([cause, _clean(message), _clean(raw)])


def parse_failure(kept: bytes) -> tuple[str, str, str | None]:
    """(cause, message, raw answer) of a failed record."""
    cause, message, raw = orjson.loads(kept)
    return cause, message, raw


def _clean(text: str | None) -> str | None:
    """What was said of a failure may hold a key; and a lone surrogate can't be written as UTF-8."""
    return None if text is None else SECRETS.redact(text.encode("utf-8", "replace").decode())
