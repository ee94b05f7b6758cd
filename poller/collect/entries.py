"""What an answer's text says of each record, whatever its format. Pure."""

from collections.abc import Callable
from typing import Any, NamedTuple

from shared.errors import BatchlineError

_LONGEST_INDEX = 9
NOBODY = -1


class Unreadable(BatchlineError):
    """An answer's text holds no entries that can be told apart."""


class Entry(NamedTuple):
    """What an answer says of one record: the number that it names, and an object, or whatever stands in its place."""

    number: int | None
    """None where it names none; NOBODY where what it names is no number."""
    fields: Any


Split = Callable[[str], tuple[list[Entry], bool]]
"""Gives a text's entries, and whether something had to be forgiven. Raises Unreadable."""


def index_of(value: Any) -> int | None:
    """A record's number, as models write one; NOBODY for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_INDEX:
        return int(value)
    if value is None or (type(value) is int and 0 <= value < 10**_LONGEST_INDEX):
        return value
    return NOBODY
