from typing import Any

import pytest

from shared.definition import Column, Definition, SqlType
from shared.topic_limits import ALWAYS, TopicLimits, read_limits
from submitter.pipeline.topic_remarks import TopicRemark, error_remarks, sink_remarks
from tests.rig import samples

COMPACTED = TopicLimits(needs_key=True)
NULLABLE, NEEDED = samples.STRING, samples.STRING.model_copy(update={"nullable": False})


def stated(**sink: Any) -> Definition:
    return samples.definition(sink=sink)


def keyed(key_format: str | None, type_: SqlType = NULLABLE) -> Definition:
    columns = (Column(name="review_id", type=type_), Column(name="label", type=samples.STRING))
    return stated(columns=columns, key_format=key_format, key_fields=("review_id",) if key_format else ())


def of_sink(definition: Definition, limits: TopicLimits) -> list[TopicRemark]:
    return list(sink_remarks(definition, limits))


def test_a_topic_with_kafka_s_defaults_takes_everything() -> None:
    for definition in (keyed(None), keyed("raw"), stated(timestamp_column="at")):
        assert of_sink(definition, TopicLimits()) == []
        assert list(error_remarks(definition, "errors", TopicLimits())) == []


@pytest.mark.parametrize(
    ("definition", "faults"),
    [
        (keyed(None), [True]),
        (keyed("raw"), [False]),
        (keyed("raw", NEEDED), []),
        (keyed("json"), []),
    ],
)
def test_a_compacted_topic_wants_a_key(definition: Definition, faults: list[bool]) -> None:
    assert [remark.is_fault for remark in of_sink(definition, COMPACTED)] == faults
    # There it gets an empty one, so that some come out, or are lost.
    assert [remark.is_fault for remark in error_remarks(definition, "errors", COMPACTED)] == [False] * len(faults)


def test_timestamps_are_no_matter_where_the_sink_writes_none() -> None:
    assert of_sink(stated(), TopicLimits(before=1, after=1, stamps=True)) == []


def test_each_limit_of_a_timestamp_is_told_with_its_setting() -> None:
    definition = stated(timestamp_column="at")
    old, ahead = of_sink(definition, TopicLimits(before=7_200_000, after=60_000))
    assert "7,200 s old (message.timestamp.before.max.ms)" in old.message
    assert "60 s ahead (message.timestamp.after.max.ms)" in ahead.message
    assert not old.is_fault
    assert not ahead.is_fault


def test_a_broker_s_own_time_is_told_as_what_it_is() -> None:
    limits = read_limits(
        {
            "max.message.bytes": None,
            "cleanup.policy": "delete",
            "message.timestamp.type": "LogAppendTime",
            "message.timestamp.before.max.ms": "1",
        }
    )
    assert (limits.before, limits.after, limits.stamps) == (ALWAYS, ALWAYS, True)
    (remark,) = of_sink(stated(timestamp_column="at"), limits)
    assert "LogAppendTime" in remark.message
