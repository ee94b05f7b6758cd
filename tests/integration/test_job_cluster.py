"""The same file on a standalone cluster of the wheel's own, with a task manager that dies."""

from collections import Counter
from pathlib import Path

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.topics import TopicSettings
from tests.integration.flink_cluster import FlinkCluster
from tests.integration.job_files import sealed_rows
from tests.integration.job_pipeline import JobPipeline
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import fill_topic, read_topic
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

ROWS = 200_000
PATIENCE = 240


def test_a_task_manager_that_is_killed_loses_nothing(
    broker: LocalBroker, make_topic: MakeTopic, processes: Processes, tmp_path: Path
) -> None:
    topic = make_topic("reviews", TopicSettings(partitions=2))
    with ProviderServer(tmp_path / "provider") as server:
        pipeline = JobPipeline(broker, server, tmp_path, topic)
        pipeline.settings["batchline.shared-spool"] = "true"
        pipeline.model["batch.max-bytes"] = "4 mb"
        cluster = FlinkCluster(processes, tmp_path / "flink", pipeline.environ)
        managers = cluster.start(2)
        fill_topic(broker.bootstrap, topic, ({"id": n, "review": f"review {n}"} for n in range(ROWS)))

        run = pipeline.start(processes, "-D", "parallelism.default=2", *cluster.flags())
        sealed = pipeline.spool / pipeline.name / "answers" / "sealed"
        wait_until(lambda: any(sealed.rglob(".part-*")), PATIENCE, lambda: f"a file in progress; {run.tail()}")
        cluster.kill(managers[0])
        cluster.add(1)

        assert run.wait(PATIENCE) == 0, run.tail()
        rows = Counter((row["position"][1], row["position"][2]) for row in sealed_rows(sealed))
        assert len(rows) == ROWS
        assert set(rows.values()) == {1}
        batches = pipeline.batches()
        assert sum(batch.records for batch in batches) == ROWS
        assert all(batch.provider_batch_id for batch in batches)
        assert sum(server.witness().custom_ids().values()) == ROWS
        events = {record.key for record in read_topic(broker.bootstrap, pipeline.batches_topic)}
        assert events == {batch.batch_key.encode() for batch in batches}
