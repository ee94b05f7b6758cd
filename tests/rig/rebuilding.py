"""A store that is lost, and rebuilt; and batches at every moment of their lives, for which that is done."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from deploy.sandbox.provider.answers import prompt_hash
from deploy.sandbox.topics import TopicSettings
from poller.health import Watchdog
from poller.operate.rebuild import Rebuild
from poller.publish.outbox import Outbox
from poller.register.consumer import KafkaEvents
from poller.register.registrar import Registering, Registrar
from poller.register.sinks import SinkClusters
from poller.settings import PollerSettings
from shared.errors import MustRestart
from shared.kafka import KafkaClusters
from shared.lease import this_process
from shared.lifecycle import TERMINAL, State
from shared.messages import BatchEvent, Header, ProgressMarker
from shared.spool import SealedFile
from shared.store import Batch, Store
from shared.submission import Submission
from submitter.lineage.chronicle import Chronicle
from submitter.planning.planner import Planner
from tests.rig import samples
from tests.rig.results import SHARDS, Back
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

RECORDS = 6
PROVIDERS = ("openai", "anthropic")
COMPACTED = TopicSettings(partitions=2, config={"cleanup.policy": "compact"})
DAY = timedelta(days=1)
MakeBack = Callable[..., Back]


class Torn(Outbox):
    """Its process dies after the first transaction of a batch."""

    def send(self, batch_key: str, messages: Any) -> ProgressMarker:
        super().send(batch_key, messages)
        raise MustRestart("killed")


def drop(stage: Stage) -> None:
    """Lose the store, and open an empty one at its address."""
    stage.close()
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (stage.folder / name).unlink(missing_ok=True)
    stage.store = Store.open(stage.store_url, stage.clock)


def rebuild(back: Back, batches_topic: str, installation: str | None = None, *without: str) -> list[str]:
    stage = back.stage
    settings = PollerSettings(
        state_store=stage.store_url,
        bootstrap_servers=back.broker.bootstrap,
        spool=stage.spool_url,
        batches_topic=batches_topic,
    )
    said: list[str] = []
    Rebuild(settings, stage.store, said.append, ENVIRON, stage.clock, without=without).run(installation)
    return said


def seal(stage: Stage, name: str, offsets: range) -> SealedFile:
    """A finished file by a definition that a run was started with."""
    stated = stage.definition()
    Chronicle(stage.store, stage.spool, "pipe").define(stated)
    lines = [samples.sealed_line(n, stage.review(n), [0, 0, n]) for n in offsets]
    return samples.seal(stage.spool.files, stated, lines, f"{name}-{uuid4()}-0-0")


def plan(stage: Stage, file: SealedFile) -> list[str]:
    return Planner(stage.store, stage.spool, stage.models().provider_for, stage.clock).plan("pipe", "sentiments", file)


def registrar(back: Back, batches_topic: str) -> Registrar:
    stage, client = back.stage, {"bootstrap.servers": back.broker.bootstrap}
    group = f"batchline-{stage.store.shards.installation_id()}"
    return Registrar(
        stage.store,
        stage.spool,
        lambda: KafkaEvents(client, batches_topic, group),
        SinkClusters(KafkaClusters()),
        stage.models().definition,
        Watchdog(stage.store, this_process()),
        Registering(SHARDS, wait=0.1),
    )


def announce(back: Back, batches_topic: str, batch: Batch) -> None:
    values = {name: getattr(batch, name) for name in BatchEvent.model_fields if hasattr(batch, name)}
    event = BatchEvent(**values, spool=f"{batch.pipeline}/{batch.statement}/batches/{batch.batch_key}")
    producer = Producer({"bootstrap.servers": back.broker.bootstrap})
    producer.produce(batches_topic, event.encode(), batch.batch_key)
    assert producer.flush(30) == 0


def finish(back: Back, batches_topic: str) -> None:
    """Plan what is not planned, and work until everything in the store is out, as the daemon's duties do."""
    stage = back.stage
    for file in stage.spool.sealed_files("pipe", "sentiments"):
        plan(stage, file)
    registering, submission, watcher = registrar(back, batches_topic), stage.submission(), stage.watcher()
    collector, publisher = back.collector(), back.publisher()

    def is_out() -> bool:
        registering.run_once()
        for batch in stage.store.batches.due((State.SEALED, State.HELD, State.AMBIGUOUS), stage.clock(), 100):
            submission.work(batch.batch_key)
        for duty in (watcher, collector, publisher):
            duty.run_once()
        return all(batch.state in TERMINAL for batch in stage.store.batches.rows())

    try:
        wait_until(is_out, 90, lambda: f"all to be out: {[(b.batch_key, b.state) for b in stage.store.batches.rows()]}")
    finally:
        publisher.close()
        registering.close()


def check_once(back: Back, records: int) -> None:
    """Every record is out once, with its own answer, and was billed once."""
    outputs = back.outputs(at_least=records)
    out = Counter((record.headers[Header.POSITION] or b"").decode() for record in outputs)
    assert out == {f"reviews/0/{number}": 1 for number in range(records)}
    assert {record.headers[Header.STATUS] for record in outputs} == {b"succeeded"}
    billed = back.stage.server.witness().billed_prompts()
    assert {billed[prompt_hash(back.stage.review(number) or "")] for number in range(records)} == {1}


def ledger(stage: Stage) -> Mapping[str, Any]:
    """What the store knows of positions, plans and definitions."""
    store, files = stage.store, stage.spool.sealed_files("pipe", "sentiments")
    return {
        "positions": store.positions.all("pipe", "sentiments"),
        "planned": {file.address: store.plans.planned_at(file.address) for file in files},
        "definition": store.lineage.definition(stage.definition().hash),
        "owner": store.lineage.owner("pipe"),
        "installation": store.shards.installation_id(),
    }


def charged(stage: Stage) -> dict[str, float]:
    """What of each day is spent or reserved."""
    days = {str(row["day"]): row["spent_usd"] + row["reserved_usd"] for row in stage.store.status.daily()}
    return {day: round(usd, 9) for day, usd in days.items() if usd}


def begin(stage: Stage) -> int:
    """A run of the pipeline, as `submitter run` begins it."""
    epoch = stage.store.lineage.begin(
        "pipe",
        definition="0" * 16,
        spool=stage.spool.address,
        job_id=uuid4().hex,
        started_from={"sentiments": {"topic-id": {"0": 0}}},
    )
    Chronicle(stage.store, stage.spool, "pipe").begun(epoch)
    return epoch


def at_every_moment(back: Back, batches_topic: str) -> dict[str, str]:
    """A batch at each moment of its life; by the moment's name, its key."""
    stage, keys = back.stage, {}

    def planned() -> str:
        first = stage.files * RECORDS
        stage.files += 1
        (key,) = plan(stage, seal(stage, f"part-{stage.files}", range(first, first + RECORDS)))
        return key

    def submitted() -> str:
        key = planned()
        wait_until(lambda: stage.submission().work(key) and stage.batch(key).state is State.SUBMITTED, 30)
        return key

    keys["published"] = submitted()
    back.collect(keys["published"])
    back.publish(keys["published"])
    stage.server.set_fault("lines_missing", times=1, lines=2)
    keys["child carried"] = submitted()
    back.collect(keys["child carried"])
    assert stage.batch(keys["child carried"]).carried == 2
    keys["half published"] = submitted()
    back.collect(keys["half published"])
    back.assign(keys["half published"])
    torn = replace(back, make=Torn).publisher()
    with pytest.raises(MustRestart):
        torn.run_once()
    torn.close()
    assert len(back.outputs(at_least=RECORDS + 2)) >= RECORDS + 2
    keys["collected"] = submitted()
    back.collect(keys["collected"])
    keys["ended"] = submitted()
    stage.watch_until(keys["ended"], State.ENDED)
    keys["submitted"] = submitted()
    announce(back, batches_topic, stage.batch(keys["submitted"]))
    keys["planned"] = planned()
    stage.server.set_fault("create_accepted_response_lost", times=1)
    keys["submitting"] = planned()
    stage.submission().work(keys["submitting"])
    assert stage.batch(keys["submitting"]).state is State.AMBIGUOUS
    seal(stage, "sealed-unplanned", range(stage.files * RECORDS, (stage.files + 1) * RECORDS))
    stage.files += 1
    return keys


def has_sent(stage: Stage, submission: Submission, key: str) -> bool:
    submission.work(key)
    return stage.batch(key).state is State.SUBMITTED
