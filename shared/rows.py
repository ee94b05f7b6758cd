"""How a sealed line is parsed: fast, or without the loss of digits where a DECIMAL is among its columns. Pure."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from shared.definition import Column, Definition, SqlType


def row_reader(definition: Definition) -> Callable[[bytes], Any]:
    """Parses the lines that a definition sealed; a number that no float and no 64-bit integer holds is a Decimal."""
    if not has_decimal(definition.row):
        return orjson.loads
    return partial(json.loads, parse_float=Decimal, parse_int=_whole)


def has_decimal(columns: Iterable[Column]) -> bool:
    """Whether a DECIMAL is among them, at any depth."""
    return any(_has_decimal(column.type) for column in columns)


def _whole(digits: str) -> int | Decimal:
    number = int(digits)
    return number if -(1 << 63) <= number < 1 << 63 else Decimal(digits)


def _has_decimal(kind: SqlType) -> bool:
    inner = [kind.element, kind.key, *(field.type for field in kind.fields)]
    return kind.root == "DECIMAL" or any(_has_decimal(each) for each in inner if each is not None)
