"""What a sink's topics would do to its records, by their own settings: refuse all, refuse some, lose some. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from shared.definition import Definition, Sink
from shared.topic_limits import ALWAYS, HOUR, TopicLimits

_LEFT = "only the newest of these is kept"


class TopicRemark(NamedTuple):
    """What is wrong with a topic; a warning where some records come out as they should."""

    message: str
    is_fault: bool = False


def sink_remarks(definition: Definition, limits: TopicLimits) -> Iterator[TopicRemark]:
    """Remarks on the topic that a statement's answers go to."""
    sink = definition.sink
    topic = f"topic {sink.topic} at {sink.bootstrap_servers}"
    if limits.needs_key:
        yield from _of_key(definition, topic)
    if sink.timestamp_column is not None:
        yield from _of_timestamp(sink.timestamp_column, topic, limits)


def error_remarks(definition: Definition, topic: str, limits: TopicLimits) -> Iterator[TopicRemark]:
    """Remarks on the topic that a statement's failed records go to: there a missing key is an empty one."""
    if limits.needs_key and (why := _unkeyed(definition.sink)):
        yield TopicRemark(
            f"topic {topic} at {definition.sink.bootstrap_servers} is compacted, and {why}: failed records go there "
            f"with an empty key, and {_LEFT}; give it cleanup.policy=delete, or the sink key.fields"
        )


def _of_key(definition: Definition, topic: str) -> Iterator[TopicRemark]:
    sink = definition.sink
    if sink.key_format is None:
        yield TopicRemark(
            f"{topic} is compacted and takes no message without a key, and the sink writes none: no answer could come "
            "out; name the columns of a key with 'key.format' and 'key.fields', or choose a topic with "
            "cleanup.policy=delete",
            is_fault=True,
        )
    elif why := _unkeyed(sink):
        lost = "go to the error topic" if definition.batch.error_topic else f"come out with an empty key, and {_LEFT}"
        yield TopicRemark(
            f"{topic} is compacted and takes no message without a key, and {why}: such records fail and {lost}; "
            "use 'key.format' = 'json', or declare the column NOT NULL"
        )


def _unkeyed(sink: Sink) -> str | None:
    """Why a message may have no key. JSON always is one; a raw NULL is none."""
    if sink.key_format is None:
        return "the sink writes no key"
    names = [column.name for column in sink.columns if column.name in sink.key_fields and column.type.nullable]
    return f"a raw key is none where '{names[0]}' is NULL" if sink.key_format == "raw" and names else None


def _of_timestamp(column: str, topic: str, limits: TopicLimits) -> Iterator[TopicRemark]:
    if limits.stamps:
        yield TopicRemark(
            f"{topic} has message.timestamp.type=LogAppendTime: it puts the time of its writing in place of column "
            f"'{column}'; give it CreateTime"
        )
    if limits.before < ALWAYS:
        yield TopicRemark(
            f"{topic} takes no message whose timestamp is more than {limits.before / 1000:,.0f} s old "
            f"(message.timestamp.before.max.ms), and a batch may take a day: records whose column '{column}' is older "
            "by then come out as failed; raise it, or leave the column out"
        )
    if limits.after < HOUR:
        yield TopicRemark(
            f"{topic} takes no message whose timestamp lies more than {limits.after / 1000:,.0f} s ahead "
            f"(message.timestamp.after.max.ms): records whose column '{column}' lies beyond come out as failed"
        )
