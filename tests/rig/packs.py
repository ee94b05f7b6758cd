"""Answers to several records, as a model might give them, and what they are taken apart into."""

import json
from typing import Any

import orjson

from poller.collect.unpacking import Unpacked, unpacker_of
from shared.definition import BatchOptions, Column, Definition
from shared.providers.port import Answer
from tests.rig import samples


def stated(**options: Any) -> Definition:
    return samples.definition(batch=BatchOptions(**{"size": 20, **options}))


def texts(**options: Any) -> Definition:
    return samples.definition(
        batch=BatchOptions(**{"size": 20, **options}), model={"output": (Column(name="label", type=samples.STRING),)}
    )


def unpacked(text: str, records: int, definition: Definition | None = None, **answer: Any) -> Unpacked:
    unpack = unpacker_of(definition or stated())
    assert unpack is not None
    return unpack(Answer("id", **{"status": "succeeded", "text": text, **answer}), records)


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"index": number, "label": f"label {number}", "score": number / 10, **more}


def listed(*entries: dict[str, Any]) -> str:
    return json.dumps({"results": entries}, ensure_ascii=False)


def labels(made: Unpacked) -> list[str | None]:
    return [orjson.loads(each)["label"] if isinstance(each, bytes) else None for each in made.answers]
