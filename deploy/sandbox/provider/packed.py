"""Prompts that hold several numbered records: what is asked of each, and the answer to all. Pure.

Records stand one JSON object a line, each with its "index". An answer is what each would get alone, under the names
that the request has for it: in its schema, else in its words.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import orjson

from deploy.sandbox.provider.asks import Ask
from deploy.sandbox.provider.structured import LABEL_NAMES, SCORE_NAMES

Json = dict[str, Any]
Alone = Callable[[Ask], Any]
"""The value, or the text, that is answered to a request for one record."""
INDEX = "index"
_XML = re.compile(r'one <result (?P<index>[^\s=]+)="its index">(?P<inner>.*)</result>')
_XML_FIELD = re.compile(r"<([^<>]+)>…</\1>")
_XML_WRAPPER = re.compile(r"<([^<>]+)>(<.*>)</\1>")
_LINE = re.compile(r"nothing else: index(?P<delimiter>\W+?)(?P<names>\w.*)$", re.MULTILINE)
_JSON_INDEX = re.compile(r"one object for each record: \"([^\"]+)\", the record's index")
_JSON_VALUE = re.compile(r'an object "([^"]+)" with ')
_QUOTED = re.compile(r'"([^"]+)"')
_DESCRIBED = re.compile(r'^"([^"]+)": (.+)$', re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x1f\ufffe\uffff]")
_KINDS: dict[str, Json] = {
    "a whole number": {"type": "integer"},
    "a number": {"type": "number"},
    "true or false": {"type": "boolean"},
    "a date": {"type": "string", "format": "date"},
    "a time, as 2": {"type": "string", "format": "date-time"},
    "a time": {"type": "string", "format": "time"},
}
"""What the words for a field begin with; the first that fits."""


class Entry(NamedTuple):
    """A record's number, and what is said of it."""

    number: int
    fields: Any


@dataclass(frozen=True)
class Pack:
    """A prompt's records, each as it would be asked alone, by its index."""

    asks: dict[int, Ask]
    shape: str
    """json, xml or delimited."""
    names: tuple[str, ...]
    """The fields that the prompt asks for in words."""
    delimiter: str = ""
    index: str = INDEX
    """What an answer calls a record's number."""
    value: str | None = None
    """In which part of an entry the fields that the words ask for stand; None where they are the entry's own."""
    described: Mapping[str, Json] | None = None
    """What the words say of fields, as a schema."""


def pack_of(ask: Ask) -> Pack | None:
    """The records of a prompt; None for a prompt of another kind."""
    head, _, body = ask.prompt.partition("\n\n")
    try:
        records = [orjson.loads(line) for line in body.split("\n")]
    except orjson.JSONDecodeError:
        return None
    if not records or not all(isinstance(each, dict) and isinstance(each.get(INDEX), int) for each in records):
        return None
    try:
        index, schema = _item(ask.schema)
    except (AttributeError, KeyError, TypeError, ValueError):
        # Any object, as 'json_object' asks for: what is in it the words say.
        index, schema = None, None
    only = _only_text(schema)
    alone = {
        each.pop(INDEX): replace(ask, prompt=_text(each), schema=schema if only is None else None, tool=None)
        for each in records
    }
    pack = _worded(head, alone)
    if only is not None:
        pack = replace(pack, names=(only,), value=None)
    return replace(pack, index=index or pack.index)


def _worded(head: str, alone: dict[int, Ask]) -> Pack:
    """The pack as a prompt's words describe it."""
    described = {name: _schema(words) for name, words in _DESCRIBED.findall(head)}
    line, xml, named = _LINE.search(head), _XML.search(head), _JSON_INDEX.search(head)
    if line:
        names = tuple(line["names"].split(line["delimiter"]))
        return Pack(alone, "delimited", names, line["delimiter"], described=described)
    if xml:
        wrapper = _XML_WRAPPER.fullmatch(xml["inner"])
        names = tuple(_XML_FIELD.findall(xml["inner"]))
        return Pack(alone, "xml", names, "", xml["index"], wrapper[1] if wrapper else None, described)
    _, _, wanted = head.partition("as a number, and ")
    value = _JSON_VALUE.match(wanted)
    names = tuple(_QUOTED.findall(wanted[value.end() :] if value else wanted))
    return Pack(alone, "json", names, "", named[1] if named else INDEX, value[1] if value else None)


def _text(record: Json) -> str:
    values = list(record.values())
    return values[0] if len(values) == 1 and isinstance(values[0], str) else orjson.dumps(record).decode()


def _item(schema: Json | None) -> tuple[str | None, Json | None]:
    """What a schema calls a record's number, and the schema of its answer without that."""
    if schema is None:
        return None, None
    (results,) = schema["properties"].values()
    item = results["items"]
    described = (name for name, part in item["properties"].items() if part.get("description") == "the record's index")
    index = next(described, INDEX)
    properties = {name: part for name, part in item["properties"].items() if name != index}
    return index, {**item, "properties": properties, "required": list(properties)}


def _only_text(schema: Json | None) -> str | None:
    """The one field of an answer that is a text: what would be the whole answer to a request for one record."""
    properties = (schema or {}).get("properties", {})
    if len(properties) != 1:
        return None
    ((name, part),) = properties.items()
    return name if part.get("type") == "string" and not {"enum", "format"} & part.keys() else None


def _schema(words: str) -> Json:
    """What is said of a field in words, as a schema; a text where nothing is known."""
    schema = next((kind for start, kind in _KINDS.items() if words.startswith(start)), {"type": "string"})
    _, _, listed = words.partition("one of:")
    if not listed:
        return schema
    try:
        values = (
            orjson.loads(listed) if listed.lstrip().startswith("[") else [each.strip() for each in listed.split(",")]
        )
        return {**schema, "enum": [int(each) for each in values] if schema["type"] == "integer" else values}
    except ValueError:
        return schema


def entries(pack: Pack, value: Alone) -> list[Entry]:
    """What each record gets."""
    made, wanted = [], _wanted(pack)
    for index, ask in pack.asks.items():
        found = value(ask)
        if not isinstance(found, dict):
            told = value(replace(ask, schema={"type": "object", "properties": wanted})) if wanted else {}
            fields = {name: told.get(name, found) for name in pack.names}
            found = {pack.value: fields} if pack.value else fields
        made.append(Entry(index, found))
    return made


def _wanted(pack: Pack) -> dict[str, Json]:
    """The fields that are asked for in words and are more than a text, by what these say, or the name does."""
    numbers: dict[str, Json] = {name: {"type": "number"} for name in SCORE_NAMES - LABEL_NAMES}
    known = {**numbers, **(pack.described or {})}
    return {name: known[name] for name in pack.names if name in known and known[name] != {"type": "string"}}


def written(pack: Pack, answers: list[Entry]) -> str:
    """The answer's text, in the shape that the prompt asks for."""
    if pack.shape == "delimited":
        return "\n".join(pack.delimiter.join(_cells(pack, answer)) for answer in answers)
    if pack.shape == "xml":
        parts = [f'<result {pack.index}="{answer.number}">{_elements(answer.fields)}</result>' for answer in answers]
        return f"<results>{''.join(parts)}</results>"
    return orjson.dumps({"results": [{pack.index: answer.number, **answer.fields} for answer in answers]}).decode()


def _cells(pack: Pack, answer: Entry) -> list[str]:
    fields = [_CONTROL.sub(" ", _said(answer.fields[name])) for name in pack.names]
    # More delimiters would be more fields.
    return [str(answer.number), *(each.replace(pack.delimiter, " ") for each in fields)]


def _elements(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{name}>{_elements(part)}</{name}>" for name, part in value.items())
    return escape(_CONTROL.sub(" ", _said(value)))


def _said(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
