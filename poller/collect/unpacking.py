"""An answer for several records becomes one answer for each: paired by index, by nothing else. Pure.

What says nothing, or nothing clear, of a record leaves that record without an answer; it is never guessed. One record's
part is kept as if it had been asked alone, so that what follows knows no difference.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from poller.collect.entries import Split, Unreadable
from poller.collect.splitters import splitter_of
from poller.collect.values import Read, Unfit, reader_of
from shared.causes import Cause
from shared.definition import Definition
from shared.packed import answer_format, asked
from shared.providers.bodies import structured_by
from shared.providers.port import Answer
from shared.schema import is_text


class OddEntries(NamedTuple):
    """What was odd about answers for several records."""

    duplicates: int = 0
    """Entries for a record that has one already."""
    unknown: int = 0
    """Entries for no record of the request."""
    forgiven: int = 0
    """Answers that could be read in spite of a fence, a preface, a trailing comma."""
    unreadable: int = 0

    def plus(self, duplicates: int = 0, unknown: int = 0, forgiven: int = 0, unreadable: int = 0) -> "OddEntries":
        return OddEntries(
            self.duplicates + duplicates,
            self.unknown + unknown,
            self.forgiven + forgiven,
            self.unreadable + unreadable,
        )


NOTHING_ODD = OddEntries()


class Unpacked(NamedTuple):
    """One answer, taken apart: for each record its own answer, or why it has none. A tuple, as one is made for each."""

    answers: Sequence[bytes | str]
    duplicates: int = 0
    unknown: int = 0
    is_forgiven: bool = False

    @property
    def oddities(self) -> tuple[int, int, int]:
        """What OddEntries counts of it, in that order."""
        return self.duplicates, self.unknown, int(self.is_forgiven)


Unpack = Callable[[Answer, int], Unpacked]
"""Takes an answer and its request's number of records. Raises Unreadable."""


def unpacker_of(definition: Definition) -> Unpack | None:
    """How a definition's answers are taken apart; None where each is one record's, as it is."""
    is_packed = definition.batch.is_packed
    if definition.model.task == "embeddings":
        return _vectors if is_packed else None
    form = answer_format(definition)
    if definition.model.task == "moderations":
        return None
    is_plain = form in (None, "json") and not is_packed and definition.batch.response_path is None
    if is_plain and is_text(definition.model.output):
        return None
    if form is None:
        return Alone(_Texts(definition, splitter_of(definition, "json"), is_whole_when_cut=True))
    # A tool's arguments come parsed: where they were cut, what is left of the last entry may look whole.
    is_closed = structured_by(asked(definition)) == "tool"
    return _Texts(definition, splitter_of(definition, form), is_whole_when_cut=form != "json" or is_closed)


class _Texts:
    """Unpacks answers that are texts."""

    def __init__(self, definition: Definition, split: Split, *, is_whole_when_cut: bool) -> None:
        self._split, self._is_whole_when_cut = split, is_whole_when_cut
        self._is_packed, self._output = definition.batch.is_packed, definition.model.output
        self._value_field, self._is_text = definition.batch.response_value_field, is_text(definition.model.output)
        self._read = reader_of(definition.model)

    def __call__(self, answer: Answer, records: int) -> Unpacked:
        text = answer.text if answer.text is not None else answer.raw or ""
        if answer.cause == Cause.TRUNCATED and self._is_whole_when_cut:
            raise Unreadable("it was cut, and where its last entry ends can't be known")
        entries, is_forgiven = self._split(text, records)
        if not self._is_packed:
            entries = [entry._replace(number=1) for entry in entries]
        elif records == 1 and len(entries) == 1 and entries[0].number is None:
            # One record, one entry, and no index that says otherwise.
            entries = [entries[0]._replace(number=1)]
        values = [(entry.number, self._value(entry.fields)) for entry in entries]
        return _paired(values, records, self._read, is_forgiven=is_forgiven)

    def _value(self, fields: Any) -> bytes | None:
        """A record's own answer; None for what is none."""
        # What a path finds may be the text itself.
        is_named = self._is_text and isinstance(fields, dict)
        field = self._value_field or (self._output[0].name if is_named else None)
        value = fields
        if field is not None:
            if not isinstance(fields, dict) or field not in fields:
                return None
            value = fields[field]
        if value is None:
            return None
        if self._is_text:
            return value.encode("utf-8", "replace") if isinstance(value, str) else _dumped(value)
        names = [column.name for column in self._output]
        if not isinstance(value, dict):
            value = {names[0]: value} if len(names) == 1 else {}
        kept = {name: value[name] for name in names if name in value}
        return _dumped(kept) if kept else None


class Alone:
    """Unpacks one record's own JSON: as it is, or what stands in it where it is more than JSON.

    Whoever finds with `is_json` that it is no more can do without the call.
    """

    def __init__(self, lenient: Unpack) -> None:
        self._lenient = lenient

    def __call__(self, answer: Answer, records: int) -> Unpacked:
        text = answer.text if answer.text is not None else "null"
        as_it_is = Unpacked([text.encode("utf-8", "replace")])
        if is_json(text):
            return as_it_is
        try:
            found = self._lenient(answer, records)
        except Unreadable:
            return as_it_is
        return found if isinstance(found.answers[0], bytes) else as_it_is


def is_json(text: str) -> bool:
    """Whether a text is JSON as a whole."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _paired(
    values: Sequence[tuple[int | None, bytes | None]], records: int, read: Read, *, is_forgiven: bool
) -> Unpacked:
    """Each record with its one answer. Raises Unreadable where the numbers themselves can't be trusted."""
    found: dict[int, list[bytes | None]] = {}
    unknown = 0
    for index, value in values:
        if index is None or not 0 < index <= records:
            unknown += 1
        else:
            found.setdefault(index, []).append(value)
    if records not in found and any(index == 0 for index, _ in values):
        raise Unreadable("it counts records from 0, so that each would get its neighbour's answer")
    if not found:
        raise Unreadable("it has no entry for any record")
    answers = [_best(found.get(number, []), read) for number in range(1, records + 1)]
    return Unpacked(answers, sum(len(same) - 1 for same in found.values()), unknown, is_forgiven)


def _best(candidates: list[bytes | None], read: Read) -> bytes | str:
    """The one answer among a record's entries: where several differ, the only one that the OUTPUT columns take."""
    distinct = list(dict.fromkeys(value for value in candidates if value is not None))
    if not distinct:
        return f"the answer {'has no value that is clearly its own' if candidates else 'has no entry'} for it"
    if len(distinct) == 1:
        return distinct[0]
    fitting = [value for value in distinct if _fits(value, read)]
    return fitting[0] if len(fitting) == 1 else f"the answer has {len(distinct)} different entries for it"


def _fits(value: bytes, read: Read) -> bool:
    try:
        read(value)
    except Unfit:
        return False
    return True


def _vectors(answer: Answer, records: int) -> Unpacked:
    """The embeddings of a request's inputs, by the place that each is said to have."""
    vectors = answer.embeddings if answer.embeddings is not None else ((0, answer.embedding or []),)
    values = [(place + 1 if place >= 0 else None, orjson.dumps(vector)) for place, vector in vectors]
    return _paired(values, records, lambda text: {"": text}, is_forgiven=False)


def _dumped(value: Any) -> bytes | None:
    """A value as JSON, its numbers digit by digit; None where it is none (NaN, a name that stands twice)."""
    try:
        return orjson.dumps(value, default=_exact)
    except (orjson.JSONEncodeError, RecursionError):
        return None


def _exact(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is no JSON")
