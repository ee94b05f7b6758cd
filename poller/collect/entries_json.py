"""The entries of an answer that is JSON, one for each record. What surrounds them is forgiven. Pure."""

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from poller.collect.entries import Entry, Unreadable, index_of
from shared.definition import Definition
from shared.errors import SettingsError
from shared.packed import RESULTS
from shared.queries import json_path

_MOST_FAILURES = 100
"""Places at which no JSON begins after all, until an answer is given up."""
_OPENING = re.compile(r"[\[{]")
_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])', re.DOTALL)
_FIELD = re.compile(r'\{\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
"""How an object begins: its first field."""


class JsonSplitter:
    """Splits JSON: the list at `batch.response.path`, else the one that a packed request asks for, else the object."""

    def __init__(self, definition: Definition) -> None:
        self._index, path = definition.batch.response_index_field, definition.batch.response_path
        self._is_packed = definition.batch.is_packed
        own = self._listed if self._is_packed else _alone
        self._find: Callable[[Any], list[Any]] = own if path is None else json_path(path)
        self._decoder, self._lenient = _decoder(strict=True), _decoder(strict=False)

    def __call__(self, text: str, _records: int) -> tuple[list[Entry], bool]:
        try:
            values, is_forgiven = [self._decoder.decode(text)], False
        except (ValueError, RecursionError):
            values, is_forgiven = list(self._values(text)), True
        try:
            entries = [self._entry(item) for value in values for item in self._find(value)]
        except SettingsError as error:
            raise Unreadable(str(error)) from None
        if is_forgiven and self._is_packed:
            # A number in brackets stands in many a preface.
            entries = [entry for entry in entries if isinstance(entry.fields, dict)]
        if not entries:
            raise Unreadable("there is no JSON in it that holds entries")
        return entries, is_forgiven

    def _entry(self, item: Any) -> Entry:
        return Entry(index_of(item.get(self._index)) if isinstance(item, dict) else None, item)

    def _listed(self, value: Any) -> list[Any]:
        """The list itself, or the one in an object; an object that names an index is an entry by itself."""
        if isinstance(value, list):
            return value
        if not isinstance(value, dict):
            return []
        if isinstance(value.get(RESULTS), list):
            return list(value[RESULTS])
        if self._index in value:
            return [value]
        lists = [part for part in value.values() if isinstance(part, list)]
        return list(lists[0]) if len(lists) == 1 else []

    def _values(self, text: str) -> Iterator[Any]:
        """Every JSON value in a text that is more than JSON, or less: what is cut is left out.

        Into an object that is cut only its wrapper is followed: what stands within an entry is none.
        """
        at = failures = 0
        while failures < _MOST_FAILURES and (opening := _OPENING.search(text, at)):
            at = opening.start()
            try:
                value, at = self._lenient.raw_decode(text, at)
            except (ValueError, RecursionError):
                found = self._without_commas(text, at)
                if found is None:
                    field = _FIELD.match(text, at)
                    if field is not None and field[1] != RESULTS:
                        return
                    failures, at = failures + 1, at + 1
                    continue
                value, at = found
            yield value

    def _without_commas(self, text: str, at: int) -> tuple[Any, int] | None:
        """The value that begins here when no comma stands before a closing bracket; None when there is none."""
        rest = text[at:]
        blanked = _COMMA.sub(lambda match: match[1] or " ", rest)
        try:
            value, end = self._lenient.raw_decode(blanked)
        except (ValueError, RecursionError):
            return None
        return value, at + end


def _alone(value: Any) -> list[Any]:
    """The one object that a request for one record asks for."""
    return [value] if isinstance(value, dict) else []


def _decoder(*, strict: bool) -> json.JSONDecoder:
    """Keeps every digit of a number."""
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_float=Decimal, parse_int=_whole, parse_constant=_NoNumber, strict=strict
    )


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < 20 else Decimal(digits)


class _NoNumber:
    """NaN and its kin, and an object that names a field twice: no JSON, and the end of their own record only."""

    def __init__(self, _: str) -> None:
        pass


def _object(pairs: list[tuple[str, Any]]) -> Any:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _NoNumber("")
