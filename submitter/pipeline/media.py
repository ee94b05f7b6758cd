"""Whether a model's `batch.media-columns` are INPUT columns that can hold images or documents. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from shared.definition import Column
from submitter.pipeline.endpoint import Task
from submitter.pipeline.faults import nearest

_ROOTS = ("CHAR", "VARCHAR", "BINARY", "VARBINARY")


def media_faults(names: Sequence[str], columns: Sequence[Column], task: Task | None, size: Any) -> Iterator[str]:
    """What is wrong with the named columns; `size` is what `batch.size` says."""
    types = {column.name: column.type for column in columns}
    for name in names:
        if name not in types:
            yield f"'{name}' is no INPUT column of the model{nearest(name, list(types))} (it has {', '.join(types)})"
        elif types[name].root not in _ROOTS:
            yield f"INPUT column '{name}' is {types[name].root}: an address stands in a STRING, bytes in BYTES"
    if size not in (None, 1):
        yield "images and documents go one record a request: leave 'batch.size' out, or set 1"
    if task == "embeddings":
        yield "an embedding is made of text alone: leave it out"
    if task == "moderations" and len(names) > 1:
        yield "a moderation takes one image: name one column"
