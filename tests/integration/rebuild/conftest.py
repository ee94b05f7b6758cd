"""What the tests of a lost store stand on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.publish.outbox import Bounds
from tests.rig.fixtures import MakeTopic
from tests.rig.rebuilding import COMPACTED, MakeBack
from tests.rig.results import SINK_TOPIC, Back, sink
from tests.rig.stage import Stage


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path / "provider", processing_seconds=0.1) as running:
        yield running


@pytest.fixture
def make_back(server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Iterator[MakeBack]:
    made: list[Stage] = []

    def make(provider: str = "openai", **values: Any) -> Back:
        topic = make_topic("sentiments", SINK_TOPIC)
        stage = Stage(server, tmp_path, provider, sink(broker, topic), review=f"{topic} review {{}}".format, **values)
        stage.store.lineage.claim_name("pipe", "/files/pipe.sql")
        made.append(stage)
        return Back(stage, broker, f"progress-{topic}", bounds=Bounds(records=2))

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def batches_topic(make_topic: MakeTopic) -> str:
    return make_topic("batches", COMPACTED)
