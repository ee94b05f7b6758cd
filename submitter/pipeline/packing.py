"""Whether the options of several records in a request, and of how answers are read, fit together. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.definition import Column
from shared.errors import SettingsError
from shared.packed import RESERVED
from shared.queries import json_path, pattern, x_path_gives
from shared.schema import is_text
from submitter.pipeline.road import Remark

_NESTED = frozenset({"ARRAY", "MAP", "MULTISET", "ROW"})
_NAMES = {"xml": re.compile(r"[^\W\d][\w.-]*"), "regex": re.compile(r"[A-Za-z_][A-Za-z0-9_]*")}
"""What an XML element, or a group of a pattern, can be called."""
_OF_FORMAT = {"delimiter": ("delimited",), "pattern": ("regex",), "path": (None, "json", "xml")}
_OF_SEVERAL = ("on-error", "index-field", "tokens")


def packing_remarks(
    values: Mapping[str, Any], columns: tuple[Column, ...], output: tuple[Column, ...]
) -> Iterator[Remark]:
    """Remarks on the given options, typed (None for what can't be used), of a model with such INPUT and OUTPUT."""
    size, form = values.get("batch.size", 1), values.get("batch.response.format")
    is_packed = size not in (None, 1)
    yield from _meaningless(values, form, is_packed=is_packed)
    index = values.get("batch.response.index-field") or "index"
    value = values.get("batch.response.value-field")
    if is_packed:
        names = [value] if value else [column.name for column in output]
        if index in names:
            message = f"'{index}' is an entry's field already: choose another 'batch.response.index-field'"
            yield Remark("batch.response.index-field", message)
        if any(column.name == RESERVED for column in columns):
            message = f"records are numbered as '{RESERVED}', which is an INPUT column's name: rename the column"
            yield Remark("batch.size", message)
    if form in ("xml", "delimited", "regex"):
        for column in output:
            if column.type.root in _NESTED:
                message = f"'{form}' holds texts and numbers, and column '{column.name}' is more: use 'json'"
                yield Remark("batch.response.format", message)
    yield from _unnameable(form, value, index if is_packed else None, output)
    yield from _queries(values, form, is_alone=not is_packed and is_text(output))
    if value and (form == "delimited" or (form == "regex" and not is_text(output))):
        message = f"an answer in '{form}' has nothing in which an entry could hold its columns: leave it out"
        yield Remark("batch.response.value-field", message)
    if (form == "regex" or values.get("batch.response.path")) and not values.get("batch.prompt"):
        message = "no schema is sent with it: say what an answer looks like, in 'system-prompt' or in a 'batch.prompt'"
        option = "batch.response.format" if form == "regex" else "batch.response.path"
        yield Remark(option, message, is_fault=False)
    if form == "regex":
        fields = [value] if value and is_text(output) else [column.name for column in output]
        named = [each for each in (*fields, *([index] if is_packed else [])) if _NAMES["regex"].fullmatch(each)]
        yield from _groups(values.get("batch.response.pattern"), named)


def _meaningless(values: Mapping[str, Any], form: str | None, *, is_packed: bool) -> Iterator[Remark]:
    for name, forms in _OF_FORMAT.items():
        option = f"batch.response.{name}"
        if option in values and form not in forms:
            wanted = " or ".join(f"'{each}'" for each in forms if each)
            yield Remark(option, f"it has no meaning without 'batch.response.format' = {wanted}", is_fault=False)
    for name in _OF_SEVERAL:
        option = f"batch.response.{name}"
        is_read = name == "on-error" and (form is not None or "batch.response.path" in values)
        if option in values and not is_packed and not is_read:
            yield Remark(option, "it has no meaning where each request holds one record", is_fault=False)
        elif values.get(option) in ("split", "individual") and not is_packed:
            message = "each request holds one record, which can't be cut smaller: it is asked again, as by 'retry'"
            yield Remark(option, message, is_fault=False)
    option = "batch.response.value-field"
    if option in values and not is_packed and form is None and "batch.response.path" not in values:
        yield Remark(option, "it has no meaning where the answer is the record's own", is_fault=False)
    if "batch.context-window" in values and not is_packed:
        yield Remark("batch.context-window", "it has no meaning where each request holds one record", is_fault=False)


def _unnameable(form: str | None, value: str | None, index: str | None, output: tuple[Column, ...]) -> Iterator[Remark]:
    """Names that no answer of a format could have for its fields; `index` where entries have one."""
    legal = _NAMES.get(form or "")
    if legal is None:
        return
    for option, name in (("batch.response.index-field", index), ("batch.response.value-field", value)):
        if name is not None and legal.fullmatch(name) is None:
            yield Remark(option, f"'{name}' can't be a field's name in '{form}': take letters, digits and '_'")
    for column in () if is_text(output) and (value or form == "xml") else output:
        if legal.fullmatch(column.name) is None:
            message = f"OUTPUT column '{column.name}' can't be a field's name in '{form}': rename it, or use 'json'"
            yield Remark("batch.response.format", message)


def _queries(values: Mapping[str, Any], form: str | None, *, is_alone: bool) -> Iterator[Remark]:
    """Remarks on the path; `is_alone` where an answer is one record's one text, which a path may find by itself."""
    path = values.get("batch.response.path")
    if path is None or form not in (None, "json", "xml"):
        return
    try:
        if form != "xml":
            json_path(path)
            return
        given = x_path_gives(path)
    except SettingsError as error:
        yield Remark("batch.response.path", str(error))
        return
    if given != "elements" and not (is_alone and given == "texts"):
        message = f"it finds {given}, and never an element with an entry's fields: end it with an element's name"
        yield Remark("batch.response.path", message)


def _groups(text: str | None, wanted: list[str]) -> Iterator[Remark]:
    """What a pattern has to name."""
    if text is None:
        yield Remark("batch.response.format", "'regex' needs 'batch.response.pattern'")
        return
    try:
        named = pattern(text).groupindex
    except SettingsError as error:
        yield Remark("batch.response.pattern", str(error))
        return
    missing = [name for name in wanted if name not in named]
    if missing:
        groups = ", ".join(f"(?P<{name}>…)" for name in missing)
        yield Remark("batch.response.pattern", f"it has no group for {', '.join(missing)}: name {groups} in it")
