"""CAST from one scalar type to another, as Flink does it, on values as JSON carries them. Pure."""

import base64
import math
from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from typing import Any

from shared import lexical
from shared.definition import SqlType

Cast = Callable[[Any], Any]
"""Takes a value that is not None; raises ValueError when it can't be cast."""

TEXTS, BYTES = ("CHAR", "VARCHAR"), ("BINARY", "VARBINARY")
INTEGERS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64}
FLOATS = ("FLOAT", "DOUBLE")
NUMBERS = (*INTEGERS, *FLOATS, "DECIMAL")
DATE, TIME = "DATE", "TIME_WITHOUT_TIME_ZONE"
TIMESTAMP, LOCAL_TIMESTAMP = "TIMESTAMP_WITHOUT_TIME_ZONE", "TIMESTAMP_WITH_LOCAL_TIME_ZONE"
UNBOUNDED = 2**31 - 1
"""The length of STRING and BYTES."""


def scalar(source: SqlType, target: SqlType) -> Cast | None:
    """The function that casts values of a scalar type to another scalar type; None where there is none."""
    if target.root in TEXTS:
        text = _text(source)
        return limited_text(text, target) if text else None
    made = _TO.get(target.root)
    return made(source, target) if made else None


def same_root(source: SqlType, target: SqlType) -> Cast | None:
    """The function between two scalar types with one root; None where a value stays as it is."""
    root = target.root
    if root in (*TEXTS, *BYTES):
        shorter = (target.length or UNBOUNDED) < (source.length or UNBOUNDED) or root in ("CHAR", "BINARY")
        return (limited_text(str, target) if root in TEXTS else _limited_bytes(target)) if shorter else None
    if root == LOCAL_TIMESTAMP:
        return lambda value: _cut(value.removesuffix("Z"), precision_of(target)) + "Z"
    made = {"DECIMAL": _to_decimal, TIME: _to_time, TIMESTAMP: _to_timestamp}.get(root)
    return made(source, target) if made else None


def precision_of(type_: SqlType) -> int:
    """The digits of a second of a TIME or TIMESTAMP."""
    default = 0 if type_.root == TIME else 6
    return default if type_.precision is None else type_.precision


def limited_text(cast: Cast, target: SqlType) -> Cast:
    """A cast to text, with the text cut (and for CHAR filled up) to the target's length."""
    length = target.length or UNBOUNDED
    if target.root == "CHAR":
        return lambda value: cast(value)[:length].ljust(length)
    return cast if length >= UNBOUNDED else lambda value: cast(value)[:length]


def _text(source: SqlType) -> Cast | None:
    root = source.root
    if root in (*TEXTS, *INTEGERS, DATE):
        return str
    if root in FLOATS:
        return lambda value: lexical.text_of_float(float(value), single=root == "FLOAT")
    if root == "DECIMAL":
        scale = Decimal(1).scaleb(-(source.scale or 0))
        return lambda value: format(Decimal(value).quantize(scale), "f")
    if root in (TIME, TIMESTAMP):
        return lambda value: lexical.padded(value, precision_of(source))
    if root in BYTES:
        return lambda value: base64.b64decode(value).decode("utf-8", "replace")
    return (lambda value: "TRUE" if value else "FALSE") if root == "BOOLEAN" else None


def _limited_bytes(target: SqlType) -> Cast:
    length, fixed = target.length or UNBOUNDED, target.root == "BINARY"

    def cast(value: str) -> str:
        data = base64.b64decode(value)[:length]
        return base64.b64encode(data.ljust(length, b"\0") if fixed else data).decode()

    return cast


def _to_bytes(source: SqlType, target: SqlType) -> Cast | None:
    limited = _limited_bytes(target)
    if source.root in TEXTS:
        return lambda value: limited(base64.b64encode(value.encode("utf-8", "replace")).decode())
    return limited if source.root in BYTES else None


def _to_boolean(source: SqlType, target: SqlType) -> Cast | None:  # noqa: ARG001 - the table's signature
    if source.root in TEXTS:
        return lexical.boolean_of
    return (lambda value: float(value) != 0) if source.root in NUMBERS else None


def _to_integer(source: SqlType, target: SqlType) -> Cast | None:
    bits = INTEGERS[target.root]
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if source.root in TEXTS:

        def from_text(value: str) -> int:
            number = lexical.integer_of(value)
            if not low <= number <= high:
                raise ValueError(f"'{value}' is beyond {target.root}")
            return number

        return from_text
    if source.root in FLOATS:
        return lambda value: _wrapped(_saturated(float(value), 64 if bits == 64 else 32), bits)
    if source.root in NUMBERS:
        return lambda value: _wrapped(int(Decimal(value).to_integral_value(ROUND_DOWN)), bits)
    return int if source.root == "BOOLEAN" else None


def _to_float(source: SqlType, target: SqlType) -> Cast | None:
    if source.root in TEXTS:
        read: Callable[[Any], float] = lexical.float_of
    elif source.root == "FLOAT":
        read = _widened
    elif source.root in NUMBERS or source.root == "BOOLEAN":
        read = float
    else:
        return None
    if target.root == "FLOAT":
        return lambda value: _carried(float(lexical.text_of_float(read(value), single=True)))
    return lambda value: _carried(read(value))


def _to_decimal(source: SqlType, target: SqlType) -> Cast | None:
    precision, scale = target.precision or 10, target.scale or 0
    if source.root in TEXTS:
        return lambda value: lexical.decimal_of(value.strip(), precision, scale)
    if source.root == "FLOAT":
        return lambda value: lexical.decimal_of(_widened(value), precision, scale)
    if source.root in NUMBERS:
        return lambda value: lexical.decimal_of(value, precision, scale)
    return (lambda value: lexical.decimal_of(int(value), precision, scale)) if source.root == "BOOLEAN" else None


def _to_date(source: SqlType, target: SqlType) -> Cast | None:  # noqa: ARG001 - the table's signature
    if source.root in TEXTS:
        return lexical.date_of
    return (lambda value: value[:10]) if source.root == TIMESTAMP else None


def _to_time(source: SqlType, target: SqlType) -> Cast | None:
    precision = precision_of(target)
    if source.root in (*TEXTS, TIME):
        return lambda value: lexical.time_of(value, precision)
    return (lambda value: lexical.time_of(value[11:], precision)) if source.root == TIMESTAMP else None


def _to_timestamp(source: SqlType, target: SqlType) -> Cast | None:
    precision = precision_of(target)
    if source.root in (*TEXTS, DATE):
        return lambda value: lexical.timestamp_of(value, precision)
    return (lambda value: _cut(value, precision)) if source.root == TIMESTAMP else None


def _cut(value: str, precision: int) -> str:
    whole, _, digits = value.partition(".")
    return whole + lexical.fraction(digits, precision)


def _widened(value: Any) -> float:
    return lexical.as_float32(float(value))


def _carried(value: float) -> Any:
    """What has no digits is a text in JSON, as Jackson writes it."""
    return value if math.isfinite(value) else lexical.text_of_float(value)


def _saturated(value: float, bits: int) -> int:
    if math.isnan(value):
        return 0
    limit = 1 << (bits - 1)
    return int(max(min(value, float(limit)), float(-limit))) - (1 if value >= limit else 0)


def _wrapped(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


_TO: dict[str, Callable[[SqlType, SqlType], Cast | None]] = {
    "BOOLEAN": _to_boolean,
    "DECIMAL": _to_decimal,
    DATE: _to_date,
    TIME: _to_time,
    TIMESTAMP: _to_timestamp,
    **dict.fromkeys(INTEGERS, _to_integer),
    **dict.fromkeys(FLOATS, _to_float),
    **dict.fromkeys(BYTES, _to_bytes),
}
