"""Answers written as a definition wants to read them: JSON, XML, lines with a delimiter, what a pattern finds. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import orjson

from shared.definition import AnswerFormat, Definition
from shared.packed import RESULTS
from shared.schema import is_text

Entry = tuple[int, Mapping[str, Any]]
"""A record's number, and its OUTPUT columns."""
Write = Callable[[Definition, Sequence[Entry]], str]
_STEP = re.compile(r"\.\.?(?P<name>\w+|\*)|\[(?P<all>\*)\]|\[(?P<quote>['\"])(?P<quoted>[^'\"\\]+)(?P=quote)\]")
_ELEMENTS = re.compile(r"(?:/{1,2}[A-Za-z_][\w.-]*)+")
_CONTROL = re.compile(r"[\x00-\x1f\ufffe\uffff]")
_FLAGS, _GROUP = re.compile(r"^\(\?[a-zA-Z]+\)"), re.compile(r"\(\?P?<(\w+)>")
_BETWEEN = re.compile(
    r"(?P<plain>[^\\.^$*+?{}\[\]()|])|\\(?P<escaped>[^\w\s])|(?P<space>\\s[*+]?|\\t|\\n)|(?P<nothing>[\^$])"
)


class CannotWrite(ValueError):
    """No text of this form can be made up; the message names the option at fault."""


def writer_of(form: AnswerFormat) -> Write:
    """How answers of a format are written. What it gives raises CannotWrite."""
    return {"json": _json, "xml": _xml, "delimited": _delimited, "regex": _regex}[form]


def _json(definition: Definition, entries: Sequence[Entry]) -> str:
    options = definition.batch
    made = [{**_index(definition, number), **_named(definition, values)} for number, values in entries]
    if options.response_path is not None:
        return orjson.dumps(_at(_steps(options.response_path), made)).decode()
    return orjson.dumps({RESULTS: made} if options.is_packed else made[0]).decode()


def _index(definition: Definition, number: int) -> dict[str, int]:
    return {definition.batch.response_index_field: number} if definition.batch.is_packed else {}


def _named(definition: Definition, values: Mapping[str, Any]) -> Mapping[str, Any]:
    name = definition.batch.response_value_field
    if name is None:
        return values
    return {name: next(iter(values.values())) if is_text(definition.model.output) else values}


def _steps(path: str) -> list[str]:
    """The names of a simple JSONPath, and `*` for what is in a list."""
    steps: list[str] = []
    at = 1
    while path.startswith("$") and (found := _STEP.match(path, at)):
        steps.append(found["name"] or found["all"] or found["quoted"])
        at = found.end()
    if at < len(path) or not path.startswith("$"):
        raise CannotWrite(f"'batch.response.path' = '{path}'")
    return steps


def _at(steps: Sequence[str], entries: Sequence[Any]) -> Any:
    """The entries where the steps lead: the last list holds all of them."""
    if not steps:
        if len(entries) != 1:
            raise CannotWrite("'batch.response.path', which leads to one entry,")
        return entries[0]
    first, rest = steps[0], steps[1:]
    if first != "*":
        return {first: _at(rest, entries)}
    return [_at(rest, entries)] if "*" in rest else [_at(rest, [entry]) for entry in entries]


def _xml(definition: Definition, entries: Sequence[Entry]) -> str:
    path = definition.batch.response_path or f"//{RESULTS}/result"
    if not _ELEMENTS.fullmatch(path):
        raise CannotWrite(f"'batch.response.path' = '{path}'")
    *above, name = re.split("/+", path)[1:]
    if not above and (len(entries) > 1 or path.startswith("//")):
        above = ["answer" if name == RESULTS else RESULTS]
    made = "".join(_element(definition, name, *entry) for entry in entries)
    return "".join(f"<{each}>" for each in above) + made + "".join(f"</{each}>" for each in reversed(above))


def _element(definition: Definition, name: str, number: int, values: Mapping[str, Any]) -> str:
    index = "".join(f" {field}={quoteattr(str(said))}" for field, said in _index(definition, number).items())
    fields = _texts(definition, values)
    inner = "".join(f"<{field}>{escape(_CONTROL.sub(' ', text))}</{field}>" for field, text in fields.items())
    value = definition.batch.response_value_field
    if value is not None and not is_text(definition.model.output):
        inner = f"<{value}>{inner}</{value}>"
    return f"<{name}{index}>{inner}</{name}>"


def _delimited(definition: Definition, entries: Sequence[Entry]) -> str:
    delimiter = definition.batch.response_delimiter
    lines = []
    for number, values in entries:
        parts = [*map(str, _index(definition, number).values()), *_texts(definition, values).values()]
        lines.append(delimiter.join(_CONTROL.sub(" ", part.replace(delimiter, " ")) for part in parts))
    return "\n".join(lines)


def _regex(definition: Definition, entries: Sequence[Entry]) -> str:
    """A line for each record: the pattern itself, its named groups filled."""
    pattern = definition.batch.response_pattern or ""
    lines = []
    for number, values in entries:
        fields = {**_index(definition, number), **_texts(definition, values)}
        lines.append(_filled(pattern, {name: _CONTROL.sub(" ", str(text)) for name, text in fields.items()}))
    return "\n".join(lines)


def _filled(pattern: str, fields: Mapping[str, str]) -> str:
    made, at = "", 0
    text = _FLAGS.sub("", pattern)
    while at < len(text):
        group = _GROUP.match(text, at)
        between = None if group else _BETWEEN.match(text, at)
        if group and group[1] in fields:
            made += fields[group[1]]
            at = _end(text, group.end())
        elif between:
            blank = {"\\s": " ", "\\s+": " ", "\\s*": "", "\\t": "\t", "\\n": "\n"}.get(between["space"] or "", "")
            made += between["plain"] or between["escaped"] or blank
            at = between.end()
        else:
            raise CannotWrite(f"'batch.response.pattern' = '{pattern}'")
    return made


def _end(pattern: str, at: int) -> int:
    """Behind the bracket that closes the group which was opened before `at`."""
    depth, is_set = 1, False
    while at < len(pattern) and depth:
        mark = pattern[at]
        if mark == "\\":
            at += 1
        elif is_set or mark == "[":
            is_set = mark != "]"
        else:
            depth += (mark == "(") - (mark == ")")
        at += 1
    return at


def _texts(definition: Definition, values: Mapping[str, Any]) -> dict[str, str]:
    """The columns as texts; one text under the name that an entry has for it."""
    name = definition.batch.response_value_field
    texts = {column: _text(value) for column, value in values.items()}
    return {name: next(iter(texts.values()))} if name is not None and is_text(definition.model.output) else texts


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
