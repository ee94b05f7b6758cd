"""From a row and its outputs to a Kafka message: the SELECT's casts, then key, value, headers and timestamp. Pure.

Made once for a definition; `write` is the hot path. What can't be cast is an error of that record.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from poller.publish.formats import Encode, encoder
from shared.casts import Cast, caster, nullable
from shared.definition import Column, Definition, Projected, Sink, SqlType
from shared.rows import has_decimal

Row = Mapping[str, Any]
NO_OUTPUTS: Row = {}
_ROW, _OUTPUT, _EXTRA = range(3)
_PLACES = {"input": _ROW, "output": _OUTPUT, "extra": _EXTRA}
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


Written = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int | None]
"""A message without what batchline adds to it.

Key and value; headers from the sink's `headers` column; milliseconds since the epoch from its `timestamp` column. A
plain tuple: one is made for each record.
"""


@dataclass(frozen=True)
class _Taken:
    """Where a sink column's value comes from."""

    name: str
    source: int
    """_ROW, _OUTPUT or _EXTRA."""
    column: str
    cast: Cast | None


class Outputs:
    """Writes the messages of one definition."""

    def __init__(self, definition: Definition) -> None:
        """Raises UnsupportedCast, SettingsError for a definition that `check` would have refused."""
        sink = definition.sink
        self._taken = [taken for column in definition.projection if (taken := _taken(column))]
        # As they are, from the row and from the outputs; and the rest.
        self._copied = [(t.name, t.column) for t in self._taken if t.source == _ROW and t.cast is None]
        self._answered = [(t.name, t.column) for t in self._taken if t.source == _OUTPUT and t.cast is None]
        self._rest = [t for t in self._taken if t.source == _EXTRA or t.cast is not None]
        constants = {column.name: _constant(column) for column in definition.projection if column.source == "literal"}
        self._blank: dict[str, Any] = {column.name: constants.get(column.name) for column in sink.columns}
        extra = [name for name in (sink.headers_column, sink.timestamp_column) if name]
        self._blank |= {name: constants.get(name) for name in extra}
        self._headers, self._timestamp = sink.headers_column, sink.timestamp_column
        # What is cast, or is not of the row or the answer, may be one whatever its column's type.
        plain = not any(column.casts or column.source not in ("input", "output") for column in definition.projection)
        decimals = not plain or has_decimal((*definition.row, *definition.model.output, *sink.columns))
        self._key, self._key_columns = _key(sink, has_decimals=decimals)
        self._value, self._dropped = _value(sink, self._key_columns, extra, has_decimals=decimals)

    def write(self, row: Row, outputs: Row, extras: Row = NO_OUTPUTS) -> Written:
        """The message of a record with its outputs.

        Raises ValueError when a value can't be cast, or a timestamp is none that Kafka has.
        """
        fields = self._blank.copy()
        for name, column in self._copied:
            fields[name] = row.get(column)
        for name, column in self._answered:
            fields[name] = outputs.get(column)
        for taken in self._rest:
            value = (row, outputs, extras)[taken.source].get(taken.column)
            fields[taken.name] = value if taken.cast is None else taken.cast(value)
        return self._encoded(fields)

    def write_failed(self, row: Row, extras: Row = NO_OUTPUTS) -> Written:
        """The message of a record without outputs: they are NULL, and so is an input that can't be written."""
        fields = self._blank.copy()
        places = (row, NO_OUTPUTS, extras)
        for taken in self._taken:
            fields[taken.name] = _or_null(taken.cast, places[taken.source].get(taken.column))
        if self._timestamp and _or_null(_milliseconds, fields[self._timestamp]) is None:
            fields[self._timestamp] = None
        return self._encoded(fields)

    def write_key_only(self, row: Row, extras: Row = NO_OUTPUTS) -> Written:
        """As `write_failed`, with every column NULL that the key doesn't need: the smallest message of a record."""
        names = {column for column, _ in self._key_columns}
        kept = {taken.column for taken in self._taken if taken.name in names}
        return self.write_failed({name: value for name, value in row.items() if name in kept}, extras)

    def _encoded(self, fields: dict[str, Any]) -> Written:
        key = None
        if self._key:
            # In Python 3.11 a comprehension is a call, and this is made for each record.
            named = {}
            for column, name in self._key_columns:
                named[name] = fields[column]
            key = self._key(named)
        if not self._dropped:
            return key, self._value(fields), [], None
        headers = _header_list(fields[self._headers]) if self._headers else []
        timestamp = _milliseconds(fields[self._timestamp]) if self._timestamp else None
        for name in self._dropped:
            del fields[name]
        return key, self._value(fields), headers, timestamp


def _taken(projected: Projected) -> _Taken | None:
    if projected.source == "literal" or projected.column is None:
        return None
    return _Taken(projected.name, _PLACES[projected.source], projected.column, _casts(projected))


def _casts(projected: Projected) -> Cast | None:
    """The casts from left to right as one function, which leaves None as it is."""
    steps: list[Cast] = []
    type_: SqlType = projected.type
    for target in projected.casts:
        step = nullable(caster(type_, target))
        if step is not None:
            steps.append(step)
        type_ = target
    if len(steps) < 2:
        return steps[0] if steps else None

    def cast(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return cast


def _constant(projected: Projected) -> Any:
    return _or_null(_casts(projected), projected.literal)


def _or_null(cast: Cast | None, value: Any) -> Any:
    if cast is None:
        return value
    try:
        return cast(value)
    except (ValueError, ArithmeticError):
        return None


def _key(sink: Sink, *, has_decimals: bool) -> tuple[Encode | None, list[tuple[str, str]]]:
    """The key's encoder, and its sink columns with their names in the key; no key where the sink has none."""
    if sink.key_format is None:
        return None, []
    names = [(name, name.removeprefix(sink.key_fields_prefix)) for name in sink.key_fields]
    types = {column.name: column.type for column in sink.columns}
    columns = [Column(name=name, type=types[column]) for column, name in names]
    return encoder(sink.key_format, sink.key_options, columns, has_decimals=has_decimals), names


def _value(
    sink: Sink, key_columns: list[tuple[str, str]], extra: list[str], *, has_decimals: bool
) -> tuple[Encode, list[str]]:
    """The value's encoder, and the columns that are not in it."""
    keys = [column for column, _ in key_columns] if sink.value_fields_include == "EXCEPT_KEY" else []
    dropped = [*extra, *keys]
    columns = [column for column in sink.columns if column.name not in dropped]
    return encoder(sink.value_format, sink.value_options, columns, has_decimals=has_decimals), dropped


def _header_list(value: Mapping[str, str | None] | None) -> list[tuple[str, bytes | None]]:
    return [(name, None if item is None else base64.b64decode(item)) for name, item in (value or {}).items()]


def _milliseconds(value: str | None) -> int | None:
    """Since the epoch. Raises ValueError for a time before it, which Kafka doesn't have, or after the year 9999."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(_microseconds(value.removesuffix("Z"))).replace(tzinfo=UTC)
    except ValueError:
        moment = datetime.min.replace(tzinfo=UTC)
    if moment < _EPOCH:
        raise ValueError(f"'{value}' is no timestamp of a message: those go from 1970 to 9999")
    return (moment - _EPOCH) // _MILLISECOND


def _microseconds(text: str) -> str:
    """Python reads three or six digits of a second, JSON has as many as are needed."""
    whole, point, digits = text.partition(".")
    return f"{whole}.{digits[:6]:0<6}" if point else whole
