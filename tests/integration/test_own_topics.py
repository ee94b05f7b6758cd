"""Our own topics on a real broker: whoever comes first creates them, everyone finds them compacted."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.topics import TopicSettings
from shared.errors import TopicMismatch
from shared.topics import ensure_topic
from tests.rig.fixtures import MakeTopic


def test_all_who_start_at_once_find_the_same_topic(broker: LocalBroker, topic_name: Callable[[str], str]) -> None:
    client = {"bootstrap.servers": broker.bootstrap}
    for _ in range(5):
        name = topic_name("own")
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _, name=name: ensure_topic(client, name, 3, 1), range(8)))
        assert found == [3] * 8


def test_a_topic_that_forgets_is_refused(broker: LocalBroker, make_topic: MakeTopic) -> None:
    name = make_topic("own", TopicSettings(cleanup="delete"))
    with pytest.raises(TopicMismatch, match=r"cleanup\.policy=delete"):
        ensure_topic({"bootstrap.servers": broker.bootstrap}, name, 3, 1)
