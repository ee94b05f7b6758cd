"""The messages of one batch, in input order: each row joined to its answer, written for the sink or the error topic.

A record's own fault never stops its batch: it comes out with NULL outputs and its cause, or on the error topic.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO

import orjson

from poller.collect.results import Results, Verdict, parse_failure
from poller.collect.values import Unfit, reader_of
from poller.publish.extra import MOST_RAW, Extras
from poller.publish.frame import MOST_SAID, Failed, Frame, Headers, bytes_of
from poller.publish.outputs import NO_OUTPUTS, Outputs, Row, Written
from shared.causes import Cause
from shared.definition import Definition
from shared.errors import SpoolError
from shared.extras import RAW
from shared.manifest import Manifest
from shared.messages import ErrorRecord
from shared.rows import row_reader
from shared.topic_limits import TopicLimits

_ANSWERED, _FAILED = int(Verdict.ANSWERED), int(Verdict.FAILED)
_HEADROOM = 576
"""Bytes of a message beside key, value and the headers that vary: a record's framing, the constant headers."""


Outgoing = tuple[int, bool, str, bytes | None, bytes | None, Headers, int | None]
"""A message for the outbox: its row's ordinal within the batch's range, whether it holds an answer, topic, key, value,
headers, its own timestamp in milliseconds. A plain tuple: one is made for each record.
"""


class Messages:
    """Writes the messages of the batches of one definition."""

    def __init__(self, definition: Definition, limits: Callable[[str], TopicLimits]) -> None:
        """`limits` tells what a topic takes."""
        self._definition, self._limits = definition, limits
        self._outputs, self._extras = Outputs(definition), Extras(definition)
        self._has_extras = bool(self._extras)
        self._read = reader_of(definition.model)
        self._loads = row_reader(definition)
        self._topic, self._error_topic = definition.sink.topic, definition.batch.error_topic
        source = definition.source
        self._topics = [f"{name}/" for name, _ in source.topics] if source else []

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
        frame = Frame(manifest, provider_batch_id, self._definition, results)
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
                if fate == "request":
                    record, mine = following, frame
                    following += 1
                elif fate == "echo":
                    record, mine = manifest.echoes[echo], echoing
                    echo += 1
                elif fate == "known":
                    answer = orjson.loads(next(answers)).encode()
                    yield self._answered(place, sealed, answer, echoing, None, limits)
                    continue
                else:
                    yield self._failed(place, sealed, rejected[place], frame, None)
                    continue
                verdict = verdicts[record]
                if verdict == _ANSWERED:
                    yield self._answered(place, sealed, results.answer(record), mine, record, limits)
                elif verdict == _FAILED:
                    failed = Failed(*parse_failure(results.answer(record)))
                    yield self._failed(place, sealed, failed, mine, record)
            if skipped < count:
                # Or the batch would count as out, for good, without what is missing.
                raise SpoolError(f"{manifest.sealed_file} ends before row {ordinal + skipped} of its batch: restore it")
            ordinal += count

    def _answered(
        self, ordinal: int, sealed: Any, answer: bytes, frame: Frame, record: int | None, limits: TopicLimits
    ) -> Outgoing:
        row, limit = sealed["row"], limits.size - _HEADROOM
        try:
            known = NO_OUTPUTS
            if self._has_extras:
                known = self._extras.answered(frame.manifest, answer, frame.used(record))
            key, value, extra, timestamp = self._outputs.write(row, self._read(answer), known)
        except Unfit as unfit:
            failed = Failed(unfit.cause, str(unfit), answer.decode())
            return self._failed(ordinal, sealed, failed, frame, record)
        except (ValueError, ArithmeticError) as error:
            failed = Failed(Cause.CAST, str(error), answer.decode())
            return self._failed(ordinal, sealed, failed, frame, record)
        size = (len(value) if value else 0) + (len(key) if key else 0)
        if size > limit or (extra and size + bytes_of(extra) > limit):
            message = f"the record has {size} bytes or more, and topic {self._topic} takes {limit}"
            return self._failed(ordinal, sealed, Failed(Cause.TOO_LARGE_OUTPUT, message), frame, record)
        if (key is None or timestamp is not None) and (refusal := limits.refusal(key, timestamp)):
            failed = Failed(Cause.CAST, f"{self._topic}: {refusal}", answer.decode())
            return self._failed(ordinal, sealed, failed, frame, record)
        headers = frame.succeeded(record, self._position(sealed))
        if extra:
            headers += extra
        return ordinal, True, self._topic, key, value, headers, timestamp

    def _failed(self, ordinal: int, sealed: Any, failed: Failed, frame: Frame, record: int | None) -> Outgoing:
        row, position = sealed["row"], self._position(sealed)
        headers = frame.failed(record, position, failed)
        if self._error_topic is None:
            known = NO_OUTPUTS
            if self._has_extras:
                used = frame.used(record)
                known = self._extras.failed(frame.manifest, f"{failed.cause}: {failed.message}", failed.raw, used)
            limits = self._limits(self._topic)
            key, value, extra, timestamp = self._fitting(row, known, limits.size - _HEADROOM - bytes_of(headers))
            key, timestamp = limits.nearest(key, timestamp)
            return ordinal, False, self._topic, key, value, headers + extra, timestamp
        limits = self._limits(self._error_topic)
        key, _ = limits.nearest(self._outputs.write_key_only(row)[0], None)
        limit = limits.size - _HEADROOM - bytes_of(headers)
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
            if len(value or b"") + len(key or b"") + bytes_of(extra) <= limit:
                return key, value, extra, timestamp
        return self._outputs.write_failed({})

    def _error_record(self, sealed: Any, failed: Failed, frame: Frame, record: int | None, limit: int) -> bytes:
        row, written = sealed["row"], b""
        for kept, raw in ((row, failed.raw), (row, None), ({}, None)):
            written = ErrorRecord(
                batch_key=frame.batch_key,
                provider_batch_id=frame.provider_batch_id,
                request_id=None if record is None else frame.request_id(record),
                position=sealed.get("position") or None,
                row=_jsonable(kept),
                cause=failed.cause,
                message=failed.message[:MOST_SAID],
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
        return f"{self._topics[topic]}{partition}/{offset}"


def _skip(rows: Iterable[bytes], count: int) -> None:
    for _ in islice(rows, count):
        pass


def _jsonable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its DECIMALs as text: the error record is JSON for people, and keeps every digit."""
    return {name: value if _is_json(value) else str(value) for name, value in row.items()}


def _is_json(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool | list | dict)
