"""Where a key stands that must stand in the environment only: files of a run, and messages."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from confluent_kafka import Message

from tests.chaos.pipeline import KEYS

_KEYS = [value.encode() for value in KEYS.values()]


def leaks(folder: Path, others: Iterable[Path], messages: Iterable[Message]) -> Iterator[str]:
    """Names of files below a folder, and of messages, that hold a key; `others` are the provider's own folders."""
    excluded = tuple(f"{other}/" for other in others)
    for path in folder.rglob("*"):
        if path.is_file() and not str(path).startswith(excluded) and _holds(path.read_bytes()):
            yield str(path.relative_to(folder))
    for message in messages:
        pairs = message.headers() or []
        headers = b"".join(_bytes(value) for _, value in (pairs.items() if isinstance(pairs, dict) else pairs))
        if _holds(b"\0".join((_bytes(message.key()), _bytes(message.value()), headers))):
            yield f"{message.topic()}/{message.partition()}/{message.offset()}"


def _holds(text: bytes) -> bool:
    return any(key in text for key in _KEYS)


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
