"""Whether a value at a line's end is whole, so that the line below, which is no entry, is a remark. Pure.

A text may go on in any line. A number, a truth value, a date and a value that is one of a list can't, unless it was
broken in two.
"""

import re
from collections.abc import Callable

from shared.definition import Column
from shared.enumerations import allowed
from shared.schema import TEXT

IsWhole = Callable[[str, str], bool]
"""Given the value, and the line below it."""
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_GOES_ON = re.compile(r"\s*([0-9.,+-]|[eE][-+]?[0-9])")
"""How the second half of a number or a date would begin."""
_WHOLE = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL"), _NUMBER),
    "BOOLEAN": re.compile(r"true|false", re.IGNORECASE),
    "DATE": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
}


def is_whole_of(column: Column) -> IsWhole:
    """What tells it for a column's values."""
    if column.type.root in TEXT:
        values = [str(value) for value in allowed(column) or ()]
        # One that begins another may be the half of it.
        ends = {value for value in values if not any(each != value and each.startswith(value) for each in values)}
        return lambda value, _below: value in ends
    form = _WHOLE.get(column.type.root)
    if form is None:
        return lambda _value, _below: False
    return lambda value, below: form.fullmatch(value) is not None and _GOES_ON.match(below) is None
