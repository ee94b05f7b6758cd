"""How a Kafka key or value is written: `json` and `raw`, as Flink's own formats with the same options do. Pure.

Flink reads back what is written here with the sink's own DDL. Values come as shared.casts describes them.
"""

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from shared.casts import Cast, nullable
from shared.definition import Column, SqlType
from shared.errors import SettingsError
from shared.scalar_casts import BYTES, LOCAL_TIMESTAMP, TEXTS, TIMESTAMP

Fields = dict[str, Any]
Encode = Callable[[Fields], bytes | None]

_PACKED = {"TINYINT": "b", "SMALLINT": "h", "INTEGER": "i", "BIGINT": "q", "FLOAT": "f", "DOUBLE": "d"}


def encoder(
    format_: str, options: Mapping[str, str], columns: Sequence[Column], *, has_decimals: bool = True
) -> Encode:
    """The function that writes these columns, given by name. Raises SettingsError for what can't be written.

    `has_decimals`: whether a value may be, or hold, a Decimal; where none can, JSON is written faster.
    """
    if format_ == "json":
        return _json(options, columns, has_decimals=has_decimals)
    if format_ == "raw" and len(columns) == 1:
        return _raw(options, columns[0])
    raise SettingsError(f"format '{format_}' with {len(columns)} columns can't be written; use 'json'")


def _json(options: Mapping[str, str], columns: Sequence[Column], *, has_decimals: bool) -> Encode:
    plain = options.get("encode.decimal-as-plain-number", "false").lower() == "true"

    def other(value: Any) -> Any:
        if isinstance(value, Decimal):
            return orjson.Fragment(format(value, "f") if plain else str(value))
        raise TypeError(f"{type(value).__name__} is no JSON")

    dumps = orjson.dumps
    iso = options.get("timestamp-format.standard", "SQL") == "ISO-8601"
    changed = [(column.name, cast) for column in columns if iso and (cast := nullable(_iso(column.type)))]
    if options.get("encode.ignore-null-fields", "false").lower() == "true":
        return lambda fields: dumps(_without_nulls(_converted(fields, changed)), other)
    if changed:
        return lambda fields: dumps(_converted(fields, changed), other)
    return (lambda fields: dumps(fields, other)) if has_decimals else dumps


def _converted(fields: Fields, changed: Sequence[tuple[str, Cast]]) -> Fields:
    return {**fields, **{name: cast(fields[name]) for name, cast in changed}}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _iso(type_: SqlType) -> Cast | None:
    """Puts a T between date and time, at every depth; None where there is no timestamp."""
    if type_.root in (TIMESTAMP, LOCAL_TIMESTAMP):
        return lambda value: value.replace(" ", "T")
    if type_.root == "ROW":
        fields = {field.name: cast for field in type_.fields if (cast := nullable(_iso(field.type)))}
        return (lambda value: _converted(value, list(fields.items()))) if fields else None
    element = nullable(_iso(type_.element)) if type_.element else None
    if element is None:
        return None
    if type_.root == "ARRAY":
        return lambda value: [element(item) for item in value]
    return lambda value: {name: element(item) for name, item in value.items()}


def _raw(options: Mapping[str, str], column: Column) -> Encode:
    name, root = column.name, column.type.root
    write = _raw_writer(options, root)

    def encode(fields: Fields) -> bytes | None:
        value = fields[name]
        return None if value is None else write(value)

    return encode


def _raw_writer(options: Mapping[str, str], root: str) -> Callable[[Any], bytes]:
    if root in TEXTS:
        charset = options.get("charset", "UTF-8")
        return lambda value: value.encode(charset, "replace")
    if root in BYTES:
        return base64.b64decode
    if root == "BOOLEAN":
        return lambda value: b"\x01" if value else b"\x00"
    if root in _PACKED:
        order = "<" if options.get("endianness", "big-endian") == "little-endian" else ">"
        pack = struct.Struct(order + _PACKED[root]).pack
        return (lambda value: pack(float(value))) if root in ("FLOAT", "DOUBLE") else pack
    raise SettingsError(f"format 'raw' can't write a column of type {root}; use 'json'")
