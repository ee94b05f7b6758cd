"""The values that a column's comment allows: `COMMENT 'the mood, one of: good, bad, mixed'`. Pure.

They follow `one of:` to the end of the comment, separated by commas; values with commas stand in a JSON array. Texts
and integers can have them, and an ARRAY of such for its elements.
"""

import re
from typing import Any

import orjson

from shared.definition import Column, SqlType
from shared.errors import SettingsError

_LISTED = re.compile(r"\bone of:(.*)", re.IGNORECASE | re.DOTALL)
_TEXTS = frozenset({"CHAR", "VARCHAR"})
_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT"})
_MOST = 1000
"""OpenAI's limit for the values of one schema."""

Allowed = tuple[str, ...] | tuple[int, ...]


def is_listed(column: Column) -> bool:
    """Whether a column's comment lists values at all, be they possible or not."""
    return _LISTED.search(column.comment or "") is not None


def allowed(column: Column, where: str = "") -> Allowed | None:
    """The values that a column, or each element of it, may have; None for all.

    Raises SettingsError, which names the column, for a list that its type can't have.
    """
    found = _LISTED.search(column.comment or "")
    if found is None:
        return None
    name, type_ = where or column.name, _of_values(column.type)
    try:
        values = _values(found[1].strip(), type_)
    except ValueError as error:
        message = f"the comment of the output column '{name}' lists its values after 'one of:'; {error}"
        raise SettingsError(message) from None
    return values


def _of_values(type_: SqlType) -> SqlType:
    return type_.element if type_.root == "ARRAY" and type_.element is not None else type_


def _values(text: str, type_: SqlType) -> Allowed:
    listed = _listed(text)
    if not listed:
        raise ValueError("none stands there")
    if len(listed) > _MOST:
        raise ValueError(f"there are more than {_MOST}")
    if type_.root in _INTEGERS:
        return _unique(tuple(_integer(value) for value in listed))
    if type_.root not in _TEXTS:
        raise ValueError(f"only texts and integers can be listed, and it is {type_.root}")
    texts = tuple(str(value) for value in listed)
    too_long = next((value for value in texts if type_.length is not None and len(value) > type_.length), None)
    if too_long is not None:
        raise ValueError(f"'{too_long}' has more than {type_.length} characters")
    return _unique(texts)


def _listed(text: str) -> list[Any]:
    if not text.startswith("["):
        return [value for value in (part.strip() for part in text.split(",")) if value]
    try:
        listed = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it begins as a JSON array and is none: {error}") from None
    if not all(type(value) in (str, int) for value in listed):
        raise ValueError("a JSON array of them holds texts or integers only")
    return list(listed)


def _integer(value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"'{value}' is no integer") from None


def _unique(values: Allowed) -> Allowed:
    twice = next((value for number, value in enumerate(values) if value in values[:number]), None)
    if twice is not None:
        raise ValueError(f"'{twice}' stands there twice")
    return values
