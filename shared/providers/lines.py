"""Request lines, written fast: everything but the custom_id and the prompt is encoded once for a model. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.errors import SettingsError

HOLE = "batchline-hole:8b1f1d0e"
"""Stands for the prompt while the body is encoded."""
_HEAD = b'{"custom_id":"'


class Lines:
    """Writes `{"custom_id": …, <envelope>}` with the prompt where the body has its hole; the same bytes every time."""

    __slots__ = ("_before", "_tail")

    def __init__(self, envelope: Mapping[str, Any]) -> None:
        """`envelope` is what follows the custom_id; `HOLE` must stand in it exactly once.

        Raises SettingsError when it does not: `batch.extra-body` has put something in the prompt's place.
        """
        parts = orjson.dumps(envelope).split(orjson.dumps(HOLE))
        if len(parts) != 2:
            raise SettingsError(
                "'batch.extra-body' replaces the part of the request that holds the prompt; "
                "leave out messages, input and contents there"
            )
        self._before = b'",' + parts[0][1:]
        self._tail = parts[1] + b"\n"

    def line(self, custom_id: str, prompt: str | list[Any]) -> bytes:
        """One line of requests.jsonl, with its newline; a lone surrogate, which UTF-8 can't hold, becomes `?`."""
        try:
            encoded = orjson.dumps(prompt)
        except TypeError:
            encoded = orjson.dumps(_clean(prompt) if isinstance(prompt, str) else [_clean(each) for each in prompt])
        return b"".join((_HEAD, custom_id.encode(), self._before, encoded, self._tail))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def rename(line: bytes, custom_id: str) -> bytes:
    """A request line with another custom_id; the rest stays as it is, byte for byte."""
    end = line.index(b'"', len(_HEAD))
    return b"".join((_HEAD, custom_id.encode(), line[end:]))


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with `extra` laid over it, objects merged at every depth; extra keys come last, sorted."""
    result = dict(body)
    for key in sorted(extra):
        ours, theirs = result.get(key), extra[key]
        if isinstance(theirs, Mapping):
            result[key] = merged(ours if isinstance(ours, Mapping) else {}, theirs)
        else:
            result[key] = theirs
    return result
