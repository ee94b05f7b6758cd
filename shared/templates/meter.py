"""How much one rendering of a template may do: what it does is charged in units, and large values bring it more.

A unit is a character that is made or looked through, a quarter of an element of a list, or a sixteenth of a step.
"""

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from shared.errors import BatchlineError

STEP = 16
"""Units of an iteration, a call, a filter, a test or an operator, whatever it works on."""
_BASE = 4 << 20
_PER_CHARACTER = 32
_ELEMENT = 4
_DEEPEST = 100
_MOST_BITS = 8192
SCALARS = frozenset((int, float, bool, type(None)))
_EMPTY: dict[str, str] = {}
_COLLECTIONS: tuple[type[Collection[Any]], ...] = (
    list,
    tuple,
    set,
    frozenset,
    type(_EMPTY.keys()),
    type(_EMPTY.values()),
    type(_EMPTY.items()),
)
_SIZED: tuple[type[Collection[Any]], ...] = (*_COLLECTIONS, dict, range)


class TooMuch(BatchlineError):
    """A template did more than a rendering may do with such values."""

    def __init__(self, what: str = "it takes too much time or memory: make less, in fewer steps") -> None:
        super().__init__(what)


class Meter:
    """The units that are left to the rendering that goes on; none while no rendering does."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = -1

    def open(self, values: Iterable[Any]) -> None:
        """Begin a rendering of these values."""
        left = _BASE
        for value in values:
            if type(value) is str:
                left += _PER_CHARACTER * len(value)
            elif type(value) not in SCALARS:
                left += _PER_CHARACTER * size_of(value)[0]
        self.left = left

    def close(self) -> None:
        self.left = -1

    def charge(self, units: int) -> None:
        """Raises TooMuch."""
        if units > 0:
            self.left -= units
        if self.left < 0:
            raise TooMuch

    def weigh(self, value: Any, times: int = 1, per: int = 1) -> None:
        """Charge a value's size, `times` as much, its texts at `per` characters a unit. Raises TooMuch."""
        if isinstance(value, str):
            self.charge(times * (len(value) // per))
        else:
            self.charge(times * size_of(value, self.left, per)[0])

    def whole(self, bits: int) -> None:
        """Let a whole number of a usual size pass. Raises TooMuch for one that is slow to reckon with, or to write."""
        if bits > _MOST_BITS:
            raise TooMuch("a number has too many digits")


def size_of(value: Any, most: int | None = None, per: int = 1) -> tuple[int, int]:
    """The size of a value with all that is in it, and how deep that is; no further than to a size above `most`.

    What stands in it twice counts twice, as it does where it is written. Raises TooMuch for what is nested too deeply.
    """
    size, depth, level = 0, 0, [value]
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise TooMuch("a value is nested too deeply")
        inner: list[Any] = []
        for each in level:
            size += _ELEMENT + len(each) // per if isinstance(each, str) else _ELEMENT * _width(each)
            if most is not None and size > most:
                return size, depth
            if isinstance(each, dict):
                inner += each
                inner += each.values()
            elif isinstance(each, _COLLECTIONS):
                inner += each
        level = inner
    return size, depth


def _width(value: Any) -> int:
    """The elements of a value, or the digits of one that has none."""
    if isinstance(value, _SIZED):
        return len(value)
    # Written out in full it has as many digits.
    return 1 + abs(value.adjusted()) if isinstance(value, Decimal) else 1
