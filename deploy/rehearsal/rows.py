"""Rows that a user wrote down, as lines of a sealed file. Pure."""

from collections.abc import Iterable, Iterator

import orjson

from shared.definition import Definition
from shared.errors import SettingsError


def sealed_lines(definition: Definition, rows: Iterable[bytes], where: str) -> Iterator[bytes]:
    """A sealed line of each JSON object; columns that it lacks are NULL, and what else it has is left out.

    Raises SettingsError, which names the line, for what is no JSON object, and for a row without any column of ours.
    """
    names = [column.name for column in definition.row]
    for number, line in enumerate(rows, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise SettingsError(f"{where}, line {number}: it is no JSON ({error})") from None
        if not isinstance(row, dict):
            raise SettingsError(f"{where}, line {number}: write a JSON object, a column's name to its value")
        if not any(name in row for name in names):
            raise SettingsError(f"{where}, line {number}: it has none of the columns {', '.join(names)}")
        # As it was written: a number may have more digits than a float holds.
        whole = line.strip() if all(name in row for name in names) else orjson.dumps({**dict.fromkeys(names), **row})
        yield b'{"row":' + whole + b',"position":null}\n'
