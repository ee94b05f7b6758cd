"""Prompts that hold several numbered records: what is asked of each, the answer to all, and how it may be spoilt. Pure.

Records stand one JSON object a line, each with its "index". An answer is what each would get alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import orjson

from deploy.sandbox.provider.asks import Ask
from deploy.sandbox.provider.errors import ProviderError

Entry = dict[str, Any]
Alone = Callable[[Ask], Any]
"""The value, or the text, that is answered to a request for one record."""
_XML_FIELD = re.compile(r"<(\w+)>…</\1>")
_LINE = re.compile(r"nothing else: index(?P<delimiter>\W+?)(?P<names>\w.*)$", re.MULTILINE)
_QUOTED = re.compile(r'"(\w+)"')


@dataclass(frozen=True)
class Pack:
    """A prompt's records, each as it would be asked alone, by its index."""

    asks: dict[int, Ask]
    shape: str
    """json, xml or delimited."""
    names: tuple[str, ...]
    """The fields that the prompt asks for in words."""
    delimiter: str = ""


def pack_of(ask: Ask) -> Pack | None:
    """The records of a prompt; None for a prompt of another kind."""
    head, _, body = ask.prompt.partition("\n\n")
    try:
        records = [orjson.loads(line) for line in body.split("\n")]
    except orjson.JSONDecodeError:
        return None
    if not records or not all(isinstance(each, dict) and isinstance(each.get("index"), int) for each in records):
        return None
    try:
        schema = _item(ask.schema)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    alone = {each.pop("index"): replace(ask, prompt=_text(each), schema=schema, tool=None) for each in records}
    line = _LINE.search(head)
    if line:
        return Pack(alone, "delimited", tuple(line["names"].split(line["delimiter"])), line["delimiter"])
    fields = tuple(_XML_FIELD.findall(head))
    if fields:
        return Pack(alone, "xml", fields)
    _, _, wanted = head.partition("as a number, and ")
    return Pack(alone, "json", tuple(_QUOTED.findall(wanted)))


def _text(record: Entry) -> str:
    values = list(record.values())
    return values[0] if len(values) == 1 and isinstance(values[0], str) else orjson.dumps(record).decode()


def _item(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema of one record's answer, without its index."""
    if schema is None:
        return None
    (results,) = schema["properties"].values()
    item = results["items"]
    properties = {name: part for name, part in item["properties"].items() if name != "index"}
    return {**item, "properties": properties, "required": list(properties)}


def entries(pack: Pack, value: Alone) -> list[Entry]:
    """What each record gets, with its index."""
    made = []
    for index, ask in pack.asks.items():
        found = value(ask)
        fields = found if isinstance(found, dict) else dict.fromkeys(pack.names, found)
        made.append({"index": index, **fields})
    return made


def written(pack: Pack, answers: list[Entry]) -> str:
    """The answer's text, in the shape that the prompt asks for."""
    if pack.shape == "delimited":
        rows = [[answer["index"], *(answer[name] for name in pack.names)] for answer in answers]
        return "\n".join(pack.delimiter.join(map(str, row)) for row in rows)
    if pack.shape == "xml":
        parts = [
            f'<result index="{answer["index"]}">'
            + "".join(f"<{name}>{answer[name]}</{name}>" for name in pack.names)
            + "</result>"
            for answer in answers
        ]
        return f"<results>{''.join(parts)}</results>"
    return orjson.dumps({"results": answers}).decode()


def spoilt_text(text: str, how: str, pack: Pack | None, answers: list[Entry]) -> str:
    """A pack's answer as a careless model leaves it, in its own shape; ProviderError for what that shape can't show.

    Entries are spoilt before they are written. What answers no pack, or was cut, has none to spoil.
    """
    if how in _DRESS:
        return _DRESS[how](text)
    if pack is None:
        return text
    if how in _CHANGES:
        if how == "wrong_type" and pack.shape != "json":
            raise _impossible(how, pack)
        return written(pack, _CHANGES[how](list(answers), Random(text)))
    if how == "trailing_comma" and pack.shape != "json":
        raise _impossible(how, pack)
    old, new = {
        "trailing_comma": ("]}", ",]}"),
        "json": (":", ";"),
        "xml": ("</", "<"),
        "delimited": (pack.delimiter, " "),
    }[how if how == "trailing_comma" else pack.shape]
    return text.replace(old, new)


def _impossible(how: str, pack: Pack) -> ProviderError:
    return ProviderError(400, f"The sandbox can't answer '{how}' in '{pack.shape}': choose another 'how'.")


_DRESS: dict[str, Callable[[str], str]] = {
    "fenced": lambda text: f"```json\n{text}\n```",
    "prefaced": lambda text: f"Sure! Here are the [{len(text)}] characters:\n{text}\nAnything else?",
    "cut": lambda text: text[: len(text) * 2 // 3],
}


def _contradicted(answers: list[Entry], _: Random) -> list[Entry]:
    other = {name: f"not {value}" if isinstance(value, str) else value for name, value in answers[0].items()}
    return [*answers, other]


def _shuffled(answers: list[Entry], draw: Random) -> list[Entry]:
    """In another order, where there is one."""
    order = draw.sample(answers, len(answers))
    return order if order != answers else order[::-1]


_CHANGES: dict[str, Callable[[list[Entry], Random], list[Entry]]] = {
    "shuffled": _shuffled,
    "dropped": lambda answers, _: answers[:-1],
    "duplicated": lambda answers, _: [*answers, answers[0]],
    "contradicted": _contradicted,
    "unknown": lambda answers, _: [*answers, {**answers[0], "index": len(answers) + 7}],
    "from_zero": lambda answers, _: [{**answer, "index": answer["index"] - 1} for answer in answers],
    "wrong_type": lambda answers, _: [
        {name: value if name == "index" else [value] for name, value in answers[0].items()},
        *answers[1:],
    ],
}
HOW = (*_DRESS, "trailing_comma", "broken", *_CHANGES)
