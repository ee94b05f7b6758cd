"""The outbox of a rehearsal: messages are kept in memory, where the publisher's would go to Kafka."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from poller.publish.messages import Outgoing
from poller.publish.outbox import Shard
from shared.definition import Definition
from shared.messages import ProgressMarker
from shared.topic_limits import TopicLimits

LARGEST = 1 << 20
"""Bytes of a message, as a broker takes them unless told otherwise."""


@dataclass(frozen=True)
class Message:
    """What would stand in a topic."""

    batch: str
    ordinal: int
    """Of its row, within the batch's range."""
    answered: bool
    """Whether it holds an answer; else its cause stands in the header batchline-error, or in the value."""
    topic: str
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]
    said: str | None = None
    """The answer that a failed record had, as the model gave it; for several records it is all of them's."""

    @property
    def row(self) -> dict[str, Any]:
        """Key and value together, as a table over the topic would read them; {} where they are no JSON objects."""
        found: dict[str, Any] = {}
        for part in (self.key, self.value):
            try:
                read = orjson.loads(part or b"{}")
            except orjson.JSONDecodeError:
                continue
            found |= read if isinstance(read, dict) else {}
        return found

    @property
    def error(self) -> str | None:
        return self.headers.get("batchline-error")


class Paper:
    """Stands in for one shard's outbox, and for all of them."""

    def __init__(self) -> None:
        self.shard = Shard("rehearsal", "rehearsal", 0)
        self.messages: list[Message] = []

    def limits(self, definition: Definition, topic: str) -> TopicLimits:  # noqa: ARG002 - as outboxes have it
        return TopicLimits(size=LARGEST)

    def marker(self, batch_key: str) -> ProgressMarker:  # noqa: ARG002 - as an outbox has it
        return ProgressMarker(next=0, succeeded=0, failed=0)

    def send(self, batch_key: str, messages: Iterator[Outgoing]) -> ProgressMarker:
        """Keep all messages of a batch."""
        taken = [
            Message(batch_key, ordinal, answered, topic, key, value, {name: _text(said) for name, said in headers})
            for ordinal, answered, topic, key, value, headers, _ in messages
        ]
        self.messages += taken
        succeeded = sum(each.answered for each in taken)
        after = max((each.ordinal + 1 for each in taken), default=0)
        return ProgressMarker(next=after, succeeded=succeeded, failed=len(taken) - succeeded, done=True)


def _text(said: str | bytes | None) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said or ""
