"""What Jinja's filters and the methods of texts cost beyond the size of what they work on, where it can be much."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from shared.templates.meter import TooMuch, size_of

PARTS = 8
"""What makes a list of a text's parts takes several times its memory."""

CHEAP = frozenset(
    (
        *("attr", "boolean", "callable", "count", "d", "default", "defined", "divisibleby", "escaped", "even", "false"),
        *("filter", "first", "integer", "iterable", "last", "length", "mapping", "none", "number", "odd", "sameas"),
        *("sequence", "test", "true", "undefined"),
    )
)
"""Filters and tests that look at no more than a part of a value."""
LAZY = frozenset(("map", "reject", "rejectattr", "select", "selectattr"))
"""Filters that take elements one by one, and give them one by one."""
LISTS = frozenset(
    (
        *("batch", "dictsort", "groupby", "indent", "items", "list", "slice", "sort", "striptags", "title", "unique"),
        *("wordcount", "wordwrap"),
    )
)
REFUSED = frozenset(("pprint", "urlize"))
"""Their time grows with the square of a text, or with its depth; no prompt needs them."""

_FORMAT = re.compile(r"%(?:\([^()]*\))?[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.?)", re.DOTALL)
_MOST_PRECISION = 400


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 1


def _whole(value: Any) -> int:
    return abs(value) if isinstance(value, int) else 0


def _lines(value: Any) -> int:
    return len(value.splitlines()) + 1 if isinstance(value, str) else 1


def _indent(value: Any, width: Any = 4, *_: Any, **__: Any) -> int:
    return _lines(value) * (len(width) if isinstance(width, str) else _whole(width))


def _wordwrap(
    value: Any, width: Any = 79, break_long_words: Any = None, wrapstring: Any = None, break_on_hyphens: Any = None
) -> int:
    del break_long_words, break_on_hyphens
    # A long word is cut off anew, and so copied, for each of its lines.
    longest = max(map(len, value.split()), default=0) if isinstance(value, str) else 0
    return longest * longest // (256 * max(_whole(width), 1)) + (
        _lines(value) + _length(value) // max(_whole(width), 1)
    ) * _length(wrapstring)


def _replace(value: Any, old: Any, new: Any, count: Any = None) -> int:
    del count
    return str(value).count(str(old)) * len(str(new))


def _join(value: Any, d: Any = "", attribute: Any = None) -> int:
    del attribute
    return _length(value) * len(str(d))


def _round(value: Any, precision: Any = 0, method: Any = None) -> int:
    del value, method
    if _whole(precision) > _MOST_PRECISION:
        raise TooMuch("a number is rounded to too many digits")
    return 0


def _tojson(value: Any, indent: Any = None) -> int:
    size, depth = size_of(value)
    return size * depth * (_length(indent) if isinstance(indent, str) else _whole(indent))


def _sum(value: Any, attribute: Any = None, start: Any = 0) -> int:
    del value, attribute
    if isinstance(start, list | tuple):
        raise TooMuch("`sum` adds numbers here")
    return 0


def _strip(value: Any, chars: Any = None) -> int:
    return _length(value) * _length(chars) // 16


FILTERS: Mapping[str, Callable[..., int]] = {
    "batch": lambda value, linecount, fill_with=None: 0 if fill_with is None else _whole(linecount),  # noqa: ARG005 the filter's own names
    "center": lambda value, width=80: _whole(width),  # noqa: ARG005 the filter's own names
    "format": lambda value, *args, **kwargs: formatted(value, kwargs or args),
    "indent": _indent,
    "join": _join,
    "replace": _replace,
    "round": _round,
    "sum": _sum,
    "tojson": _tojson,
    "trim": _strip,
    "wordwrap": _wordwrap,
}
"""Units by a filter's name, from what it is given."""


def _padded(text: str, width: Any, fill: Any = None) -> int:
    del text, fill
    return _whole(width)


def _split(text: str, *_: Any, **__: Any) -> int:
    return PARTS * len(text)


def _plain(*_: Any, **__: Any) -> int:
    return 0


_LOOKS = (
    *("capitalize", "casefold", "count", "endswith", "find", "format", "format_map", "index", "isalnum", "isalpha"),
    *("isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper"),
    *("lower", "partition", "removeprefix", "removesuffix", "rfind", "rindex", "rpartition", "startswith"),
    *("swapcase", "title", "upper"),
)
_METHODS: Mapping[type, Mapping[str, Callable[..., int]]] = {
    str: {
        **dict.fromkeys(_LOOKS, _plain),
        **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _padded),
        **dict.fromkeys(("split", "rsplit", "splitlines"), _split),
        **dict.fromkeys(("strip", "lstrip", "rstrip"), _strip),
        "join": lambda text, values: _length(values) * len(text),
        "replace": _replace,
    },
    dict: dict.fromkeys(("get", "items", "keys", "values"), _plain),
    list: dict.fromkeys(("count", "index"), _plain),
    tuple: dict.fromkeys(("count", "index"), _plain),
    float: dict.fromkeys(("is_integer",), _plain),
    int: dict.fromkeys(("bit_length",), _plain),
    Decimal: dict.fromkeys(("is_nan", "is_zero", "normalize", "quantize", "to_integral_value"), _plain),
}
_NONE: Mapping[str, Callable[..., int]] = {}


def methods_of(value: Any) -> Mapping[str, Callable[..., int]] | None:
    """The methods of a value that a template may use, each with what gives its units; None where Jinja decides."""
    for kind in type(value).__mro__:
        if kind in _METHODS:
            return _METHODS[kind]
    return _NONE if type(value).__module__ == "builtins" else None


def formatted(text: Any, values: Any) -> int:
    """Units of `text % values`, which have been weighed. Raises TooMuch for a width that only the values tell."""
    if not isinstance(text, str):
        return 0
    units = uses = 0
    for width, precision, kind in _FORMAT.findall(text):
        if "*" in (width, precision) or kind == "(":
            raise TooMuch("a format's widths must stand in it")
        units += digits(width) + digits(precision)
        uses += 1
    return units + size_of(values)[0] * (uses if isinstance(values, Mapping) else 1)


def digits(text: str) -> int:
    """The units of a width that stands in a format."""
    return 0 if not text else int(text) if len(text) < 10 else 10**10
