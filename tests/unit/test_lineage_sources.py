"""What is said of topics that are not what they were."""

from shared.definition import Definition, Source
from submitter.lineage.sources import changes
from tests.rig.samples import definition


def reading(cluster: str, *topics: tuple[str, str], statement: str = "s") -> Definition:
    return definition(statement=statement, source=Source(cluster_id=cluster, topics=topics))


def kinds(before: list[Definition], now: Definition) -> list[tuple[str, str]]:
    return [(change.topic, change.kind) for change in changes(before, [now])]


def test_the_same_topics_are_nothing_to_speak_of() -> None:
    assert kinds([reading("c", ("a", "1"), ("b", "2"))], reading("c", ("b", "2"), ("a", "1"))) == []


def test_a_topic_that_nobody_read_before_is_new_and_no_change() -> None:
    assert kinds([], reading("c", ("a", "1"))) == []
    assert kinds([reading("c", ("a", "1"))], reading("c", ("a", "1"), ("b", "2"))) == []
    assert kinds([reading("c", ("a", "9"), statement="other")], reading("c", ("a", "1"))) == []


def test_another_id_is_a_topic_that_was_created_again_and_another_cluster_is_said_to_be_one() -> None:
    before = [reading("c", ("a", "1"), ("b", "2"))]
    assert kinds(before, reading("c", ("a", "7"), ("b", "2"))) == [("a", "recreated")]
    assert kinds(before, reading("d", ("a", "7"), ("b", "8"))) == [("a", "moved"), ("b", "moved")]


def test_a_topic_that_was_read_once_is_known_for_good() -> None:
    """As after a detour over another cluster."""
    before = [reading("c", ("a", "1")), reading("d", ("a", "7"))]
    assert kinds(before, reading("c", ("a", "1"))) == []


def test_a_topic_that_is_left_out_is_told_of() -> None:
    assert kinds([reading("c", ("a", "1"), ("b", "2"))], reading("c", ("a", "1"))) == [("b", "dropped")]


def test_an_input_without_positions_has_no_topics() -> None:
    assert changes([reading("c", ("a", "1"))], [definition(statement="s", source=None)]) == []
