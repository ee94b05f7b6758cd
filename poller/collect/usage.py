"""results.usage beside results.index: what each request used, where the SELECT asks for tokens, cost, status or model.

A record's share of a request is exact: the shares of all its records add up to what the request used.
"""

import struct
import sys
from array import array
from pathlib import Path
from typing import NamedTuple

import orjson

from shared.definition import Definition
from shared.errors import SpoolError
from shared.extras import OF_USAGE
from shared.manifest import Manifest
from shared.providers.port import Answer, Cached
from shared.spool import write_atomic

USAGE = "results.usage"
_HEADER = struct.Struct("<8sQI")
_MAGIC = b"batchlu1"
_COUNTS = 5
"""Tokens: input, output, and those of the cache."""
_MOST = (1 << 32) - 1
_MODELS = (1 << 16) - 1
_STRIDE = 4 * _COUNTS + 2 + 2


class Used(NamedTuple):
    """What one record's answer used; None for what the provider did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached: Cached = Cached()
    http_status: int | None = None
    model: str | None = None


UNKNOWN = Used()


def is_kept(definition: Definition) -> bool:
    """Whether the SELECT asks for something that only this file tells."""
    return any(each.source == "extra" and each.column in OF_USAGE for each in definition.projection)


def kept_usage(definition: Definition) -> tuple[str, ...]:
    """The name of the file, where there is one."""
    return (USAGE,) if is_kept(definition) else ()


class UsageWriter:
    """Takes what each request used; the last word on a request counts."""

    def __init__(self, folder: Path, requests: int) -> None:
        self._path = folder / USAGE
        self._counts = array("I", bytes(4 * _COUNTS * requests))
        self._statuses, self._models = array("H", bytes(2 * requests)), array("H", bytes(2 * requests))
        self._names: dict[str, int] = {}

    def put(self, request: int, answer: Answer) -> None:
        counts = (answer.input_tokens, answer.output_tokens, *answer.cached)
        at = _COUNTS * request
        self._counts[at : at + _COUNTS] = array("I", [min(count, _MOST) for count in counts])
        status = answer.http_status or 0
        self._statuses[request] = status if 0 < status < 1000 else 0
        if answer.model and len(self._names) < _MODELS:
            self._models[request] = self._names.setdefault(answer.model, len(self._names) + 1)

    def seal(self) -> None:
        names = orjson.dumps([name.encode("utf-8", "replace").decode() for name in self._names])
        columns = (self._counts, self._statuses, self._models)
        if sys.byteorder == "big":
            for column in columns:
                column.byteswap()
        head = _HEADER.pack(_MAGIC, len(self._statuses), len(names))
        write_atomic(self._path, b"".join((head, names, *(column.tobytes() for column in columns))))


class Usage:
    """What each request of a collected batch used."""

    def __init__(self, path: Path, requests: int) -> None:
        """Raises SpoolError for a file that is missing, damaged, or of another batch."""
        try:
            data = path.read_bytes()
            magic, count, length = _HEADER.unpack_from(data)
            self._names: list[str] = orjson.loads(data[_HEADER.size : _HEADER.size + length])
        except (OSError, struct.error, orjson.JSONDecodeError) as error:
            raise SpoolError(f"{path} can't be read: {error}") from error
        body = memoryview(data)[_HEADER.size + length :]
        if (magic, count, len(body)) != (_MAGIC, requests, _STRIDE * requests):
            raise SpoolError(f"{path} is damaged, or is not of a batch with {requests} requests")
        ends = (4 * _COUNTS * requests, (4 * _COUNTS + 2) * requests)
        self._counts, self._statuses, self._models = array("I"), array("H"), array("H")
        self._counts.frombytes(body[: ends[0]])
        self._statuses.frombytes(body[ends[0] : ends[1]])
        self._models.frombytes(body[ends[1] :])
        if sys.byteorder == "big":
            for column in (self._counts, self._statuses, self._models):
                column.byteswap()

    def of(self, request: int, record: int = 0, records: int = 1) -> Used:
        """What one of a request's records used: its share, or all of it where the request holds no other."""
        at = _COUNTS * request
        counts = [_share(count, record, records) for count in self._counts[at : at + _COUNTS]]
        model = self._models[request]
        return Used(
            counts[0],
            counts[1],
            Cached(*counts[2:]),
            self._statuses[request] or None,
            self._names[model - 1] if 0 < model <= len(self._names) else None,
        )


def usage_for(manifest: Manifest, folder: Path) -> UsageWriter | None:
    """The writer for a batch; None where nobody asks."""
    return UsageWriter(folder, manifest.requests) if is_kept(manifest.definition) else None


def _share(count: int, record: int, records: int) -> int:
    whole, rest = divmod(count, records)
    return whole + (record < rest)
