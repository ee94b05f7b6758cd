"""Where a key stands that must stand in the environment only: files of a run, and messages."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from confluent_kafka import Message

from tests.chaos.pipeline import KEYS
from tests.rig.leaks import Leaks

LEAKS = Leaks(KEYS.values())


def leaks(folder: Path, others: Iterable[Path], messages: Iterable[Message]) -> Iterator[str]:
    """Names of files below a folder, and of messages, that hold a key; `others` are the provider's own folders."""
    yield from LEAKS.in_files(folder, others)
    for message in messages:
        pairs = message.headers() or []
        headers = b"".join(_bytes(value) for _, value in (pairs.items() if isinstance(pairs, dict) else pairs))
        if LEAKS.holds(b"\0".join((_bytes(message.key()), _bytes(message.value()), headers))):
            yield f"{message.topic()}/{message.partition()}/{message.offset()}"


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
