"""A statement keeps its name, and so what it has paid for, or the file is refused."""

from typing import Any

import pytest

from shared.definition import Definition, Source
from submitter.pipeline.names import Moved, moved
from tests.rig.samples import definition


def statement(called: str, topic: str = "reviews", prompt: str = "Classify.", **changes: Any) -> Definition:
    return definition(
        statement=called,
        source=Source(cluster_id="cluster", topics=((topic, f"id-of-{topic}"),)),
        model={"system_prompt": prompt, **changes},
    )


ONE, TWO, THREE = "results", "results-2", "results-3"
LIKES = {"name": "likes", "model": "gpt-5"}


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        pytest.param([statement(ONE)], [statement(ONE)], [], id="nothing changes"),
        pytest.param([], [statement(ONE), statement(TWO)], [], id="nothing was sealed"),
        pytest.param([statement(ONE)], [statement(ONE, prompt="Say it.")], [], id="a prompt is edited"),
        pytest.param([statement(ONE)], [statement(ONE, "films", **LIKES)], [], id="it is replaced"),
        pytest.param(
            [statement(ONE)], [statement(ONE, prompt="Say it."), statement(TWO, "films")], [], id="one is added below"
        ),
        pytest.param(
            [statement(ONE)], [statement(ONE, "films", **LIKES), statement(TWO, "tweets")], [], id="replaced, and added"
        ),
        pytest.param([statement(ONE), statement(TWO, "films")], [statement(ONE)], [], id="the last one is removed"),
        pytest.param(
            [statement(ONE)], [statement(ONE, "films"), statement(TWO)], [Moved(ONE, TWO)], id="one is added above"
        ),
        pytest.param(
            [statement(ONE)],
            [statement(ONE, **LIKES), statement(TWO, prompt="Say it.")],
            [Moved(ONE, TWO)],
            id="one of the same topic is added above, and the prompt edited",
        ),
        pytest.param(
            [statement(ONE), statement(TWO, "films")],
            [statement(ONE, "films"), statement(TWO)],
            [Moved(ONE, TWO), Moved(TWO, ONE)],
            id="two change places",
        ),
        pytest.param(
            [statement(ONE), statement(TWO, "films")],
            [statement(ONE, "films")],
            [Moved(TWO, ONE)],
            id="the first one is removed",
        ),
        pytest.param(
            [statement(ONE), statement(TWO, "films"), statement(THREE, "tweets")],
            [statement(ONE), statement(TWO, "tweets", prompt="Say it.")],
            [Moved(THREE, TWO)],
            id="the second of three is removed",
        ),
        pytest.param(
            [statement(ONE), statement(ONE, "films"), statement(TWO)],
            [statement(ONE, "films"), statement(TWO)],
            [],
            id="it was replaced long ago",
        ),
        pytest.param([statement(ONE)], [statement("others")], [], id="another sink is another statement"),
    ],
)
def test_a_statement_under_anothers_name_is_found(
    before: list[Definition], now: list[Definition], found: list[Moved]
) -> None:
    assert moved(before, now) == found


def test_a_table_of_the_statements_own_name_keeps_it() -> None:
    kept = definition(statement=TWO, sink={"table": f"`{TWO}`"}, source=statement(TWO, "films").source)
    before = [statement(ONE), definition(statement=TWO, source=statement(TWO, "films").source)]
    assert moved(before, [kept]) == []
    (said,) = moved(before, [definition(statement=ONE, source=kept.source)])
    assert "CREATE TABLE `results-2` LIKE `results`, and INSERT INTO `results-2`" in said.said
