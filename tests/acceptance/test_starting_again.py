"""Every way in which a pipeline starts again: nothing is lost, nothing is paid for twice, and the console says why."""

import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider import ProviderServer
from shared.store import Store
from tests.acceptance.again import PATIENCE, Again, said, wait_for_words
from tests.acceptance.road import sha256
from tests.integration.job_files import newest_checkpoint
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)
AGE = {"batch.max-age": "1 s"}


def test_an_older_savepoint_a_file_without_a_plan_and_a_new_partition(
    broker: LocalBroker, provider_server: ProviderServer, processes: Processes, tmp_path: Path
) -> None:
    """Two topics in one table, one of them with gaps in its offsets."""
    road = Again(broker, provider_server, processes, tmp_path, bounded=False, topics=("first", "second"))
    road.source = {"properties.isolation.level": "read_committed", "scan.topic-partition-discovery.interval": "3 s"}
    sql = road.write(road.model(**AGE), road.insert())
    poller, first = road.poller(), road.start(sql)
    road.send_in_transactions("first", [f"first {number}" for number in range(60)], 10)
    road.send("second", [f"second {number}" for number in range(40)])
    road.wait_for(100, deadline=PATIENCE)
    savepoint = road.savepoint()
    road.add_partitions("second", 3)
    road.send("second", [f"partition 2 record {number}" for number in range(20)], partition=2)
    road.wait_for(120, deadline=PATIENCE)
    with road.nothing_planned(first):
        planned = road.planned_files()
        road.send("first", [f"sealed in vain {number}" for number in range(30)])
        wait_until(lambda: len(road.finished()) > planned, PATIENCE, "a file that nobody plans")

    again = road.start(sql, "-D", f"execution.state-recovery.path={savepoint}")
    road.send("second", [f"late {number}" for number in range(20)])
    road.wait_for(170, deadline=PATIENCE)
    # A transaction's end has an offset and no record: what comes after the first of them is read, and skipped.
    promised = sum(
        int(count) for count in re.findall(r"; (\d+) records after it are paid for and will be", said(again))
    )
    wait_until(lambda: road.skipped() >= promised, PATIENCE, lambda: f"{promised} skipped, there are {road.skipped()}")
    road.stop(again)
    assert poller.terminate() == 0

    road.check()
    assert f"starts from position 0 of {road.topic('first')}/0 for answers" in said(first)
    for words in (
        f"starts without Flink state: {savepoint} is older than the newest sealed file",
        "planned 1 sealed files that had no plan yet",
        f"starts from position 20 of {road.topic('second')}/2 for answers",
        "; everything sealed is durable; ",
    ):
        assert words in said(again)
    (skipped,) = re.findall(r"(\d+) records came again and were skipped, as they are paid for", said(again))
    assert promised == int(skipped) > 0
    assert road.status()["skipped_as_paid"] >= promised
    ids = dict(enumerate(map(road.topic_id, road.topics)))
    assert road.paid() == {(ids[topic], partition, offset) for topic, partition, offset in road.in_files()}


def test_a_column_more_and_topics_that_are_created_again(
    broker: LocalBroker, provider_server: ProviderServer, processes: Processes, tmp_path: Path
) -> None:
    """Once while the job runs, once while nobody reads; beside it, a twin that was started by mistake."""
    road = Again(broker, provider_server, processes, tmp_path, bounded=False, topics=("first", "second"))
    sql = road.write(road.model(**AGE), road.insert())
    poller, submitter = road.poller(), road.start(sql)
    for topic in road.topics:
        road.send(topic, [f"{topic} {number}" for number in range(40)])
    road.wait_for(80, deadline=PATIENCE)
    refused = twin_on_its_cluster(road)
    assert refused.wait(PATIENCE) == 5, refused.tail()
    assert "already runs on the cluster as job" in refused.tail()
    road.recreate("first")
    # Fewer than were read of the former one, so that none that Flink reads meanwhile can pass for one of its records.
    road.send("first", [f"first topic {number}" for number in range(10)])
    assert submitter.wait(PATIENCE) == 1, submitter.tail()
    assert f"topic {road.topic('first')} was deleted and created again while it was read" in said(submitter)
    assert "run again" in said(submitter)

    road.recreate("second")
    road.send("second", [f"second topic {number}" for number in range(30)])
    road.added = ["stars"]
    changed = road.start(road.write(road.model(**AGE), road.insert()))
    road.wait_for(120, deadline=PATIENCE)
    road.stop(changed)
    assert poller.terminate() == 0
    road.check()
    assert "starts without Flink state: the definition has changed" in said(changed)
    for topic in road.topics:
        assert f"topic {road.topic(topic)} for answers was deleted and created again" in said(changed)
        assert f"starts from position 0 of {road.topic(topic)}/0 for answers" in said(changed)
    assert len(road.paid()) == 120
    assert {topic for topic, _, _ in road.paid()} > set(map(road.topic_id, road.topics))


def twin_on_its_cluster(road: Again) -> Child:
    """A second command for the job that runs, as if the first command were dead, and only its job lived on."""
    copy = road.folder / "twin.db"
    with closing(sqlite3.connect(road.folder / "state.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    with Store.open(f"sqlite:///{copy}") as store:
        store.leases.bury(lambda _holder: True)
    flags = {"execution.target": "remote", "rest.address": "127.0.0.1", "rest.port": str(road.rest)}
    shared = {**road.environ, "BATCHLINE_STATE_STORE": f"sqlite:///{copy}"}
    sql = road.write(road.model(**AGE), road.insert(), settings={"batchline.shared-spool": "true"})
    passed = [part for name, value in flags.items() for part in ("-D", f"{name}={value}")]
    return road.processes.command("submitter", "run", str(sql), *passed, env=shared)


def test_a_rebuilt_cluster_and_what_is_added_after_the_end_of_a_bounded_input(
    broker: LocalBroker,
    own_broker: LocalBroker,
    provider_server: ProviderServer,
    processes: Processes,
    tmp_path: Path,
) -> None:
    """A bounded pipeline, as cron would run it; its input's cluster is set up anew between two runs."""
    road = Again(broker, provider_server, processes, tmp_path, elsewhere=own_broker)
    sql = road.write(road.model(**AGE), road.insert())

    def run(*flags: str) -> Child:
        child = road.start(sql, *flags)
        child.wait(PATIENCE)
        return child

    road.send("reviews", [f"review {number}" for number in range(40)])
    first = run()
    assert first.returncode == 0, first.tail()
    own_broker.rebuild()
    road.create_source("reviews")
    road.send("reviews", [f"another review {number}" for number in range(40)])
    second = run()
    assert second.returncode == 0, second.tail()
    assert f"topic {road.topic('reviews')} for answers is on another Kafka cluster than before" in said(second)
    assert "none of its records counts as paid for" in said(second)

    road.send("reviews", [f"late review {number}" for number in range(20)])
    third = run()
    assert third.returncode == 0, third.tail()
    assert "starts without Flink state: the earlier run came to the end of its bounded input" in said(third)
    assert re.search(rf"starts from position [1-9]\d* of {road.topic('reviews')}/0", said(third))
    poller = road.poller()
    road.wait_for(100, deadline=PATIENCE)
    assert poller.terminate() == 0
    road.check()


def test_an_input_without_positions_is_paid_for_again_on_purpose_only(
    broker: LocalBroker, provider_server: ProviderServer, processes: Processes, tmp_path: Path
) -> None:
    """A pattern of topics; and a savepoint that the user names, after which the run is killed before a checkpoint."""
    road = Again(broker, provider_server, processes, tmp_path, bounded=False)
    road.source = {"topic-pattern": f"review.-{road.tag}"}
    sql = road.write(road.model(**AGE), road.insert())
    poller, submitter = road.poller(), road.start(sql)
    road.send("reviews", [f"review {number}" for number in range(40)])
    road.wait_for(40, deadline=PATIENCE)
    road.stop(submitter)
    assert "'topic-pattern', so its records have no positions" in said(submitter)

    kept = tmp_path / "kept" / "state"
    shutil.copytree(newest_checkpoint(road.checkpoints()).removeprefix("file://"), kept)
    # Flink takes a checkpoint as soon as the tasks run, whatever the interval is: it waits for the pause alone
    # (CheckpointCoordinator.startCheckpointScheduler of 2.3; https://github.com/apache/flink/pull/29110 says so).
    none = [f"execution.checkpointing.{name}=1 h" for name in ("interval", "min-pause")]
    killed = road.start(sql, "-D", f"execution.state-recovery.path={kept}", "-D", none[0], "-D", none[1])
    wait_for_words(killed, "records staged")
    assert f"continues from checkpoint {kept} (execution.state-recovery.path)" in said(killed)
    killed.kill()
    again = road.start(sql)
    road.send("reviews", [f"late review {number}" for number in range(20)])
    road.wait_for(60, deadline=PATIENCE)
    assert f"continues from checkpoint {kept} (its lineage)" in said(again)
    road.stop(again)
    assert (kept / "_metadata").exists(), "what the user named is the user's"
    road.check()

    check_it_can_not_be_restored(road, sql)
    refused = road.start(sql, "--fresh")
    assert refused.wait(PATIENCE) == 2, refused.tail()
    assert "give --resubmit if that is what you want" in said(refused)
    twice = road.start(sql, "--fresh", "--resubmit")
    outputs = road.wait_for(120, deadline=PATIENCE)
    road.stop(twice)
    assert poller.terminate() == 0
    assert "--resubmit: the input of answers has no positions" in said(twice)
    assert Counter(record.json()["id"] for record in outputs) == Counter([*range(60), *range(60)])
    billed = provider_server.witness().billed_prompts()
    assert billed == Counter({sha256(str(review)): 2 for review in road.produced})


def check_it_can_not_be_restored(road: Again, sql: Path) -> None:
    """A checkpoint that is damaged is an error that says what to do, and at what price."""
    newest = Path(newest_checkpoint(road.checkpoints()).removeprefix("file://")) / "_metadata"
    whole = newest.read_bytes()
    newest.write_bytes(whole[: len(whole) // 2])
    broken = road.start(sql)
    assert broken.wait(PATIENCE) == 1, broken.tail()
    assert f"Flink can't restore {newest.parent.as_uri()}: " in said(broken)
    assert "run again with --fresh --resubmit" in said(broken)
    assert "Traceback" not in said(broken)
