"""The names of things: batch keys and custom_ids, each built by a pure function and parsed by its inverse."""

import base64
import hashlib
import re
import string
from typing import NamedTuple

_BATCH_KEY = re.compile(r"[a-z2-7]{26}-(0|[1-9][0-9]{0,8})[a-z]{0,99}")
_CUSTOM_ID = re.compile(rf"({_BATCH_KEY.pattern})-(0|[1-9][0-9]{{0,8}})")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class RequestId(NamedTuple):
    """A custom_id, taken apart."""

    batch_key: str
    request: int


def batch_key(pipeline: str, statement: str, sealed_file: str, part: int) -> str:
    """The key of the `part`-th batch of a sealed file: 128 bits of a hash of the file's name, and the part.

    `sealed_file` is the file's address below its statement's sealed/ folder. A custom_id built on the key stays
    within 64 characters of [a-zA-Z0-9_-], legal at every provider.
    """
    digest = hashlib.sha256(f"{pipeline}\0{statement}\0{sealed_file}".encode()).digest()[:16]
    return f"{base64.b32encode(digest).decode().rstrip('=').lower()}-{part}"


def child_key(parent: str, number: int = 0) -> str:
    """The key of a batch's `number`-th child (at most 26): the parent's, and a letter."""
    return parent + string.ascii_lowercase[number]


def is_batch_key(text: str) -> bool:
    """Whether a foreign text has the form of a batch key."""
    return _BATCH_KEY.fullmatch(text) is not None


def generation(key: str) -> int:
    """0 for a batch that came from a sealed file, one more for each child."""
    return len(key) - len(key.rstrip(string.ascii_lowercase)) if is_batch_key(key) else 0


def custom_id(key: str, request: int) -> str:
    """The custom_id of the `request`-th request of a batch, counted from 0."""
    return f"{key}-{request}"


def parse_custom_id(text: str) -> RequestId | None:
    """The inverse of `custom_id`; None for an id that is not ours."""
    match = _CUSTOM_ID.fullmatch(text)
    return RequestId(match[1], int(match[3])) if match else None


def is_name(text: str) -> bool:
    """Whether a pipeline's or statement's name may stand in a path: letters, digits, `_`, `.` and `-`, at most 100."""
    return _NAME.fullmatch(text) is not None
