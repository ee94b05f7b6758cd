"""What a record asks, as a digest: records with the same one would have the same request, and the same answer. Pure."""

from collections.abc import Callable
from hashlib import blake2b

import orjson

from shared.definition import Definition
from shared.media import Part, content_of
from shared.render import Row, as_json

Question = Callable[[Row], bytes]
"""Gives a row's digest; raises Unrenderable for one without a prompt."""


def digest_of(content: str | list[Part]) -> bytes:
    """Of a rendered prompt: all else in the body is the definition's."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else orjson.dumps(content)
    return blake2b(data, digest_size=16).digest()


def scope_of(definition: Definition) -> str:
    """All of a request that is not the record's, and how its answer is read: answers hold for no other."""
    batch, model = definition.batch, definition.model
    shape = model.model_dump(mode="json", exclude={"name", "api_key", "descriptor"})
    reading = {name: value for name, value in batch.model_dump(mode="json").items() if name.startswith("response_")}
    told: dict[str, object] = {"model": shape, "reading": reading, "prompt": batch.prompt}
    told |= {"packed": batch.is_packed, "media": batch.media_columns}
    return blake2b(orjson.dumps(told, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def question_of(definition: Definition) -> Question:
    """Of a row that shares its request with others: what stands there of it, whatever its number."""
    if not definition.batch.is_packed or definition.model.task == "embeddings":
        content = content_of(definition)
        return lambda row: digest_of(content(row))
    model = definition.model
    names = [(column.name, name) for column, name in zip(model.input, model.descriptor, strict=True)]
    return lambda row: digest_of(as_json({name: row[column] for name, column in names}))
