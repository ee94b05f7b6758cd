"""In which partition a result lies: where Kafka's own producer in Java would have put its key."""

import subprocess
from pathlib import Path

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from deploy.sandbox.topics import TopicSettings
from tests.rig.fixtures import MakeTopic
from tests.rig.results import Back, sink
from tests.rig.stage import Stage

ROOT = Path(__file__).parents[2]
PARTITIONS = TopicSettings(partitions=7)


def partitions_in_java(broker: LocalBroker, topic: str, keys: list[str]) -> list[int]:
    """Where a producer of Kafka's, as it is by default, sends each key."""
    program = str(ROOT / "tests/rig/JavaProducer.java")
    done = subprocess.run(
        ["java", "-cp", f"{ROOT}/deploy/jars/kafka/*", program, broker.bootstrap, topic],
        input="".join(f"{key}\n" for key in keys),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.splitlines()]


def test_a_key_lies_where_a_java_producer_puts_it(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    server.clear_faults()
    topic = make_topic("sentiments", PARTITIONS)
    stage = Stage(server, tmp_path, sink=sink(broker, topic))
    back = Back(stage, broker, f"progress-{topic}")
    try:
        key = stage.submit(60)
        back.collect(key)
        back.publish(key)
    finally:
        stage.close()
    published = {(record.key or b"").decode(): record.partition for record in back.outputs(at_least=60)}
    assert len(published) == 60
    assert set(published.values()) == set(range(7))
    expected = partitions_in_java(broker, make_topic("java", PARTITIONS), list(published))
    assert dict(zip(published, expected, strict=True)) == published
