"""Whether each statement still has the name that its positions are kept under. No I/O.

A statement has its sink's name, numbered where that is repeated: another order of the INSERTs gives them other names.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.definition import Definition

_NUMBERS = re.compile(r"(-\d+)+$")


@dataclass(frozen=True)
class Moved:
    """A statement under another's name."""

    was: str
    now: str

    @property
    def said(self) -> str:
        return (
            f"this statement was '{self.was}' so far and would be '{self.now}' now, so that it would take what is paid "
            f"for there for its own, and pay again for what it paid as '{self.was}'. Keep the INSERTs into one table "
            "in their order, and put a new one below them; or give a statement a table of its own name, whatever the "
            f"order: CREATE TABLE `{self.was}` LIKE `{_NUMBERS.sub('', self.now)}`, and INSERT INTO `{self.was}`"
        )


def moved(before: Iterable[Definition], now: Iterable[Definition]) -> list[Moved]:
    """The statements whose name another statement had so far.

    `before` are the definitions of all that was ever sealed, the newest last. Each of them is paired with the
    statement that continues it: the one that is most like it, and among equals the one of its own name.
    """
    last = {each.statement: each for each in before}
    current = {each.statement: each for each in now}
    pairs = sorted(_pairs(last, current), reverse=True)
    continued: dict[str, str] = {}
    for _, _, was, name in pairs:
        if was not in continued and name not in continued.values():
            continued[was] = name
    return [Moved(was, name) for was, name in sorted(continued.items()) if was != name]


def _pairs(
    last: Mapping[str, Definition], current: Mapping[str, Definition]
) -> Iterable[tuple[tuple[bool, ...], bool, str, str]]:
    for was, former in last.items():
        for name, definition in current.items():
            if _NUMBERS.sub("", was) != _NUMBERS.sub("", name):
                continue
            likeness, reads_the_same = _likeness(former, definition), _topics(former) == _topics(definition)
            if was == name or reads_the_same:
                yield likeness, was == name, was, name


def _likeness(former: Definition, definition: Definition) -> tuple[bool, ...]:
    """What two definitions have in common, the weightiest first; an edit leaves most of it."""
    return (
        _nameless(former) == _nameless(definition),
        _topics(former) == _topics(definition),
        former.model.name == definition.model.name,
        former.projection == definition.projection,
        former.model == definition.model,
        former.row == definition.row,
    )


def _nameless(definition: Definition) -> tuple[object, ...]:
    sink = definition.sink.model_copy(update={"table": ""})
    return (_topics(definition), definition.model, definition.batch, definition.row, definition.projection, sink)


def _topics(definition: Definition) -> tuple[str, ...]:
    return tuple(topic for topic, _ in definition.source.topics) if definition.source else ()
