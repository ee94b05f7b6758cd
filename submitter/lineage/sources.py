"""Which topics are other ones than a statement has read so far: other records stand under their offsets. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.definition import Definition, Source


@dataclass(frozen=True)
class Change:
    """One topic of one statement, and what became of it."""

    statement: str
    topic: str
    kind: Literal["recreated", "moved", "dropped"]
    said: str


def changes(before: Sequence[Definition], now: Sequence[Definition]) -> list[Change]:
    """What changed; `before` are the definitions of all that was ever sealed, the newest last."""
    found: list[Change] = []
    for definition in now:
        read = [each.source for each in before if each.statement == definition.statement and each.source]
        if read and definition.source:
            found += _of(definition.statement, read, definition.source)
    return found


def _of(statement: str, read: Sequence[Source], now: Source) -> Iterator[Change]:
    known = {topic_id for source in read for _, topic_id in source.topics}
    former = {name: (source.cluster_id, topic_id) for source in read for name, topic_id in source.topics}
    lost = "records of the former one that stood in no finished file can't be read again"
    for topic, topic_id in now.topics:
        if topic_id in known or topic not in former:
            continue
        cluster, old_id = former[topic]
        if cluster != now.cluster_id:
            said = (
                f"topic {topic} for {statement} is on another Kafka cluster than before ({now.cluster_id}, not "
                f"{cluster}): none of its records counts as paid for, whatever its offset; {lost}"
            )
            yield Change(statement, topic, "moved", said)
        else:
            said = (
                f"topic {topic} for {statement} was deleted and created again (its id is {topic_id}, not {old_id}): it "
                f"is read from its beginning, and none of its records counts as paid for; {lost}"
            )
            yield Change(statement, topic, "recreated", said)
    named = {topic for topic, _ in now.topics}
    for topic, _ in read[-1].topics:
        if topic not in named:
            said = (
                f"{statement} no longer reads topic {topic}: records of it that stood in no finished file are not sent"
            )
            yield Change(statement, topic, "dropped", said)
