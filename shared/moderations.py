"""What a moderation gives, and which OUTPUT columns can take it. Pure.

A category such as `self-harm/intent` may be a ROW's field under its own name, or as `self_harm_intent`.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from shared.definition import Column, SqlType
from shared.schema import is_text

_TEXTS = ("CHAR", "VARCHAR")
_NUMBERS = ("FLOAT", "DOUBLE", "DECIMAL")
_CATEGORIES: dict[str, tuple[str, ...]] = {
    "categories": ("BOOLEAN",),
    "category_scores": _NUMBERS,
    "category_applied_input_types": ("ARRAY",),
}
"""What a result says of each category, and the types that hold it."""
_PUNCTUATION = re.compile(r"[^A-Za-z0-9_]")


def moderation_faults(output: tuple[Column, ...]) -> Iterator[str]:
    """Why columns can't take a moderation. One STRING takes all of it, as JSON."""
    if is_text(output):
        return
    for column in output:
        if column.name == "flagged":
            if column.type.root != "BOOLEAN":
                yield "the OUTPUT column 'flagged' of a moderation is BOOLEAN"
        elif column.name not in _CATEGORIES:
            known = ", ".join(("flagged", *_CATEGORIES))
            yield f"a moderation has no '{column.name}': its OUTPUT may have {known}, or one STRING for all of it"
        elif not _fits(column.type, _CATEGORIES[column.name]):
            value = " or ".join(_CATEGORIES[column.name]).replace("ARRAY", "ARRAY<STRING>")
            yield f"the OUTPUT column '{column.name}' of a moderation is MAP<STRING, {value}>, or a ROW of such fields"


def with_sql_names(result: dict[str, Any], rows: Iterable[str]) -> dict[str, Any]:
    """A result whose objects of these names also have their categories under names without punctuation."""
    named = dict(result)
    for name in rows:
        known = named.get(name)
        if isinstance(known, dict):
            named[name] = {**{_PUNCTUATION.sub("_", each): value for each, value in known.items()}, **known}
    return named


def _fits(type_: SqlType, wanted: tuple[str, ...]) -> bool:
    if type_.root == "MAP":
        return type_.key is not None and type_.key.root in _TEXTS and _is(type_.element, wanted)
    return type_.root == "ROW" and all(_is(field.type, wanted) for field in type_.fields)


def _is(type_: SqlType | None, wanted: tuple[str, ...]) -> bool:
    if type_ is None or type_.root not in wanted:
        return False
    return type_.root != "ARRAY" or (type_.element is not None and type_.element.root in _TEXTS)
