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
    """None where there are none, or none that are clearly this record's."""


Split = Callable[[str, int], tuple[list[Entry], bool]]
"""Gives a text's entries, told the number of records that it answers, and whether something had to be forgiven.

Raises Unreadable. An entry whose text may not be its own alone comes without fields.
"""


def index_of(value: Any) -> int | None:
    """A record's number, as models write one; NOBODY for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_INDEX:
        return int(value)
    if value is None or (type(value) is int and 0 <= value < 10**_LONGEST_INDEX):
        return value
    return NOBODY


def without_fields(entries: list[Entry], numbers: set[int | None]) -> list[Entry]:
    """The entries, those of these records without what they say: another of the same record proves nothing."""
    return [entry._replace(fields=None) if entry.number in numbers else entry for entry in entries]
