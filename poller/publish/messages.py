"""The messages of one batch, in input order: each row joined to its answer, written for the sink or the error topic.

A record's own fault never stops its batch: it comes out with NULL outputs and its cause, or on the error topic.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

import orjson

from poller.collect.results import Results, Verdict, parse_failure
from poller.collect.usage import UNKNOWN, Used
from poller.collect.values import Unfit, reader_of
from poller.publish.extra import MOST_RAW, Extras
from poller.publish.outputs import NO_OUTPUTS, Outputs, Row, Written
from poller.publish.topic_limits import TopicLimits
from shared.causes import Cause
from shared.definition import Definition
from shared.extras import RAW
from shared.manifest import Manifest
from shared.messages import ErrorRecord, Header
from shared.rows import row_reader

Headers = list[tuple[str, str | bytes | None]]
_ANSWERED, _FAILED = int(Verdict.ANSWERED), int(Verdict.FAILED)
_MESSAGE = 1000
"""Characters of a cause's message in a header."""
_HEADROOM = 512
"""Bytes of a message beside key, value and the headers that vary: a record's framing, the constant headers."""


Outgoing = tuple[int, bool, str, bytes | None, bytes | None, Headers, int | None]
"""A message for the outbox: its row's ordinal within the batch's range, whether it holds an answer, topic, key, value,
headers, its own timestamp in milliseconds. A plain tuple: one is made for each record.
"""


class Failed(NamedTuple):
    """Why a record has no outputs."""

    cause: str
    message: str
    raw: str | None = None


class Messages:
    """Writes the messages of the batches of one definition."""

    def __init__(self, definition: Definition, limits: Callable[[str], TopicLimits]) -> None:
        """`limits` tells what a topic takes."""
        self._definition, self._limits = definition, limits
        self._outputs, self._extras = Outputs(definition), Extras(definition)
        self._read = reader_of(definition.model)
        self._loads = row_reader(definition)
        self._topic, self._error_topic = definition.sink.topic, definition.batch.error_topic
        source = definition.source
        self._topics = [name for name, _ in source.topics] if source else []

    def of(
        self,
        manifest: Manifest,
        provider_batch_id: str | None,
        rows: BinaryIO,
        results: Results,
        start: int,
        known: Iterable[bytes] = (),
    ) -> Iterator[Outgoing]:
        """The messages of the rows from ordinal `start` on; `rows` stands at the range's first byte.

        `known` are the answers of the rows that were not asked because they had one, a JSON string each.
        """
        answers = iter(known)
        frame = _Frame(manifest, provider_batch_id, self._definition, results)
        # An echo used nothing: what its answer took is told with the record that asked.
        echoing = frame.without_usage()
        rejected = {row: Failed(cause, message) for row, cause, message in manifest.rejected}
        verdicts, loads, limits = results.verdicts, self._loads, self._limits(self._topic)
        ordinal = following = echo = 0
        for count, fate in manifest.runs:
            skipped = min(max(start - ordinal, 0), count) if fate != "elsewhere" else count
            _skip(rows, skipped)
            following += skipped if fate == "request" else 0
            echo += skipped if fate == "echo" else 0
            _skip(answers, skipped if fate == "known" else 0)
            for line in islice(rows, count - skipped):
                place = ordinal + skipped
                skipped += 1
                sealed = loads(line)
                if fate == "rejected":
                    yield self._failed(place, sealed, rejected[place], frame, None)
                    continue
                if fate == "known":
                    answer = orjson.loads(next(answers)).encode()
                    yield self._answered(place, sealed, answer, echoing, None, limits)
                    continue
                record, mine = following, frame
                if fate == "echo":
                    record, mine = manifest.echoes[echo], echoing
                    echo += 1
                else:
                    following += 1
                verdict = verdicts[record]
                if verdict == _ANSWERED:
                    yield self._answered(place, sealed, results.answer(record), mine, record, limits)
                elif verdict == _FAILED:
                    failed = Failed(*parse_failure(results.answer(record)))
                    yield self._failed(place, sealed, failed, mine, record)
            ordinal += count

    def _answered(
        self, ordinal: int, sealed: Any, answer: bytes, frame: "_Frame", record: int | None, limits: TopicLimits
    ) -> Outgoing:
        row, limit = sealed["row"], limits.size - _HEADROOM
        try:
            known = self._extras.answered(frame.manifest, answer, frame.used(record)) if self._extras else NO_OUTPUTS
            key, value, extra, timestamp = self._outputs.write(row, self._read(answer), known)
        except Unfit as unfit:
            failed = Failed(unfit.cause, str(unfit), answer.decode())
            return self._failed(ordinal, sealed, failed, frame, record)
        except (ValueError, ArithmeticError) as error:
            failed = Failed(Cause.CAST, str(error), answer.decode())
            return self._failed(ordinal, sealed, failed, frame, record)
        size = (len(value) if value else 0) + (len(key) if key else 0)
        if size > limit or (extra and size + _size(extra) > limit):
            message = f"the record has {size} bytes or more, and topic {self._topic} takes {limit}"
            return self._failed(ordinal, sealed, Failed(Cause.TOO_LARGE_OUTPUT, message), frame, record)
        if (key is None or timestamp is not None) and (refusal := limits.refusal(key, timestamp)):
            failed = Failed(Cause.CAST, f"{self._topic}: {refusal}", answer.decode())
            return self._failed(ordinal, sealed, failed, frame, record)
        headers = frame.succeeded(record, self._position(sealed))
        if extra:
            headers += extra
        return ordinal, True, self._topic, key, value, headers, timestamp

    def _failed(self, ordinal: int, sealed: Any, failed: Failed, frame: "_Frame", record: int | None) -> Outgoing:
        row, position = sealed["row"], self._position(sealed)
        headers = frame.failed(record, position, failed)
        if self._error_topic is None:
            known = NO_OUTPUTS
            if self._extras:
                used = frame.used(record)
                known = self._extras.failed(frame.manifest, f"{failed.cause}: {failed.message}", failed.raw, used)
            limits = self._limits(self._topic)
            key, value, extra, timestamp = self._fitting(row, known, limits.size - _HEADROOM - _size(headers))
            key, timestamp = limits.nearest(key, timestamp)
            return ordinal, False, self._topic, key, value, headers + extra, timestamp
        limits = self._limits(self._error_topic)
        key, _ = limits.nearest(self._outputs.write_key_only(row)[0], None)
        limit = limits.size - _HEADROOM - _size(headers)
        value = self._error_record(sealed, failed, frame, record, limit - len(key or b""))
        return ordinal, False, self._error_topic, key, value, headers, None

    def _fitting(self, row: Row, known: Row, limit: int) -> Written:
        """The failed record's message, with less of it where that is more than `limit` bytes."""
        less = {name: value for name, value in known.items() if name != RAW}
        tries = [(self._outputs.write_failed, known), (self._outputs.write_key_only, less)]
        if known:
            tries.insert(1, (self._outputs.write_failed, less))
        for write, kept in tries:
            key, value, extra, timestamp = write(row, kept)
            if len(value or b"") + len(key or b"") + _size(extra) <= limit:
                return key, value, extra, timestamp
        return self._outputs.write_failed({})

    def _error_record(self, sealed: Any, failed: Failed, frame: "_Frame", record: int | None, limit: int) -> bytes:
        row, written = sealed["row"], b""
        for kept, raw in ((row, failed.raw), (row, None), ({}, None)):
            written = ErrorRecord(
                batch_key=frame.batch_key,
                provider_batch_id=frame.provider_batch_id,
                request_id=None if record is None else frame.request_id(record),
                position=sealed.get("position") or None,
                row=_jsonable(kept),
                cause=failed.cause,
                message=failed.message[:_MESSAGE],
                raw_answer=raw[:MOST_RAW] if raw else None,
            ).encode()
            if len(written) <= limit:
                break
        return written

    def _position(self, sealed: Any) -> str | None:
        position = sealed.get("position")
        if not position:
            return None
        topic, partition, offset = position
        return f"{self._topics[topic]}/{partition}/{offset}"


class _Frame:
    """The headers that all messages of a batch have alike, and those that follow from a record."""

    def __init__(
        self, manifest: Manifest, provider_batch_id: str | None, definition: Definition, results: Results
    ) -> None:
        self.batch_key, self.provider_batch_id = manifest.batch_key, provider_batch_id
        self.manifest, self.usage, self._packing = manifest, results.usage, manifest.packing
        self._id, self._is_packed = f"{manifest.batch_key}-", bool(manifest.packs)
        common: Headers = [
            (Header.BATCH, manifest.batch_key.encode()),
            (Header.MODEL, definition.model.model.encode()),
            (Header.GENERATION, str(manifest.generation).encode()),
        ]
        if provider_batch_id:
            common.append((Header.PROVIDER_BATCH, provider_batch_id.encode()))
        self._succeeded: Headers = [*common, (Header.STATUS, b"succeeded")]
        self._failed: Headers = [*common, (Header.STATUS, b"failed")]

    def without_usage(self) -> "_Frame":
        """The same for records that used nothing."""
        silent = copy(self)
        silent.usage = None
        return silent

    def used(self, record: int | None) -> Used:
        """What a record used: its share of its request."""
        if self.usage is None or record is None:
            return UNKNOWN
        request = self._packing.request(record)
        records = self._packing.of(request)
        return self.usage.of(request, record - records.start, len(records))

    def request_id(self, record: int) -> str:
        return f"{self._id}{self._packing.request(record)}"

    def succeeded(self, record: int | None, position: str | None) -> Headers:
        headers: Headers = list(self._succeeded)
        if record is not None:
            headers.append((Header.REQUEST, self.request_id(record)))
        if position is not None:
            headers.append((Header.POSITION, position))
        if self._is_packed and record is not None:
            headers.append((Header.INDEX, str(self._packing.place(record))))
        return headers

    def failed(self, record: int | None, position: str | None, failed: Failed) -> Headers:
        said = f"{failed.cause}: {failed.message}"[:_MESSAGE]
        headers: Headers = [*self._failed, (Header.ERROR, said.encode("utf-8", "replace"))]
        if record is not None:
            headers.append((Header.REQUEST, self.request_id(record)))
            if self._is_packed:
                headers.append((Header.INDEX, str(self._packing.place(record))))
        if position is not None:
            headers.append((Header.POSITION, position))
        return headers


def _skip(rows: Iterable[bytes], count: int) -> None:
    for _ in islice(rows, count):
        pass


def _size(headers: Headers | list[tuple[str, bytes | None]]) -> int:
    return sum(len(name) + len(value or b"") + 10 for name, value in headers)


def _jsonable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its DECIMALs as text: the error record is JSON for people, and keeps every digit."""
    return {name: value if _is_json(value) else str(value) for name, value in row.items()}


def _is_json(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool | list | dict)
