"""The same file on a standalone cluster of the wheel's own, with a task manager, or the command, that dies."""

from collections import Counter
from pathlib import Path

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.topics import TopicSettings
from submitter.job.rest import FlinkRest
from tests.integration.flink_cluster import FlinkCluster
from tests.integration.job_files import sealed_rows
from tests.integration.job_pipeline import JobPipeline
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import fill_topic, read_topic
from tests.rig.processes import Processes
from tests.rig.recreating import recreate_topic
from tests.rig.waiting import wait_until

ROWS = 60_000
PATIENCE = 240


def test_a_task_manager_that_is_killed_loses_nothing(
    broker: LocalBroker, make_topic: MakeTopic, processes: Processes, tmp_path: Path
) -> None:
    topic = make_topic("reviews", TopicSettings(partitions=2))
    with ProviderServer(tmp_path / "provider") as server:
        pipeline = JobPipeline(broker, server, tmp_path, topic)
        pipeline.settings["batchline.shared-spool"] = "true"
        pipeline.model["batch.max-bytes"] = "1 mb"
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


def test_a_topic_that_is_created_again_when_the_command_is_dead_is_read_from_its_beginning(
    broker: LocalBroker, make_topic: MakeTopic, processes: Processes, tmp_path: Path
) -> None:
    topic = make_topic("reviews")
    with ProviderServer(tmp_path / "provider") as server:
        pipeline = JobPipeline(broker, server, tmp_path, topic)
        pipeline.settings["batchline.shared-spool"] = "true"
        del pipeline.source["scan.bounded.mode"]
        cluster = FlinkCluster(processes, tmp_path / "flink", pipeline.environ)
        cluster.start(1)
        fill_topic(broker.bootstrap, topic, ({"id": n, "review": f"former {n}"} for n in range(50)))
        first = pipeline.start(processes, *cluster.flags())
        wait_until(lambda: pipeline.submitted() == 50, PATIENCE, lambda: f"the former records; {first.tail()}")
        first.kill()

        recreate_topic(broker, topic)
        fill_topic(broker.bootstrap, topic, ({"id": n, "review": f"later {n}"} for n in range(20)))
        flink, job = FlinkRest(f"http://127.0.0.1:{cluster.port}"), pipeline.runs()[0].job_id or ""
        why = f"topic {topic} was deleted and created again while it was read"
        wait_until(
            lambda: any(why in each for each in flink.failures(job)), PATIENCE, lambda: f"{why}: {flink.failures(job)}"
        )
        flink.cancel(job)
        wait_until(lambda: flink.state(job) == "CANCELED", PATIENCE, "the job's end")

        second = pipeline.start(processes, *cluster.flags())
        wait_until(lambda: pipeline.submitted() == 70, PATIENCE, lambda: f"the later records; {second.tail()}")
        assert second.terminate(60) == 0, second.tail()
        assert f"topic {topic} for answers was deleted and created again" in second.log.read_text()
        assert sum(server.witness().custom_ids().values()) == 70
