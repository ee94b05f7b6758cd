"""The state store lost altogether: rebuilt from the spool, the topic and the provider; nothing is done twice."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.answers import prompt_hash
from deploy.sandbox.provider.server import ProviderServer
from deploy.sandbox.topics import TopicSettings
from poller.health import Watchdog
from poller.operate.rebuild import Rebuild
from poller.publish.archivist import MARKERS_KEPT, Archivist
from poller.publish.outbox import Bounds, Outbox
from poller.register.consumer import KafkaEvents
from poller.register.installations import installation_of
from poller.register.recaller import Recaller
from poller.register.registrar import Registering, Registrar
from poller.register.sinks import SinkClusters
from poller.settings import PollerSettings
from poller.upkeep.janitor import Janitor
from shared.annals import Annals
from shared.errors import MustRestart, SettingsError, SpoolError
from shared.kafka import KafkaClusters
from shared.lease import Keeper, this_process
from shared.lifecycle import TERMINAL, State
from shared.messages import BatchEvent, Header, ProgressMarker
from shared.spool import MANIFEST, SealedFile
from shared.store import Batch, Run, Store, Whose
from shared.store.budgets import PIPELINE, Limit
from shared.submission import Submission
from submitter.chronicle import Chronicle
from submitter.planner import Planner
from tests.rig import samples
from tests.rig.asking import PASS, Road
from tests.rig.fixtures import MakeTopic
from tests.rig.older import copied, restore
from tests.rig.results import SHARDS, SINK_TOPIC, Back, sink
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

RECORDS = 6
PROVIDERS = ("openai", "anthropic")
COMPACTED = TopicSettings(partitions=2, config={"cleanup.policy": "compact"})
DAY = timedelta(days=1)
MakeBack = Callable[..., Back]


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


@pytest.mark.parametrize("provider", PROVIDERS)
def test_whatever_the_moment_everything_comes_out_once(make_back: MakeBack, batches_topic: str, provider: str) -> None:
    back = make_back(provider)
    stage = back.stage
    epoch = begin(stage)
    keys = at_every_moment(back, batches_topic)
    before, runs = ledger(stage), stage.store.lineage.runs("pipe")
    ids = {moment: stage.batch(key).provider_batch_id for moment, key in keys.items()}
    drop(stage)
    rebuild(back, batches_topic)
    assert ledger(stage) == before
    assert [replace(run, skipped=0) for run in stage.store.lineage.runs("pipe")] == [
        replace(r, skipped=0) for r in runs
    ]
    states = {moment: stage.batch(key).state for moment, key in keys.items()}
    assert states == {
        "published": State.ENDED,
        "child carried": State.ENDED,
        "half published": State.ENDED,
        "collected": State.ENDED,
        "ended": State.SUBMITTED,
        "submitted": State.SUBMITTED,
        "planned": State.SEALED,
        "submitting": State.AMBIGUOUS,
    }
    assert {moment: stage.batch(key).provider_batch_id for moment, key in keys.items()} == ids
    finish(back, batches_topic)
    check_once(back, stage.files * RECORDS)
    assert begin(stage) == epoch + 1
    creates = Counter(str(event["batch"]) for event in stage.server.witness().creates(provider))
    assert len(creates) == stage.files + 1, "one for each file, and the child's"


def test_a_store_that_is_lost_again_and_again_changes_nothing(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    at_every_moment(back, batches_topic)
    for _ in range(2):
        drop(stage)
        rebuild(back, batches_topic)
        registering = registrar(back, batches_topic)
        registering.run_once()
        registering.close()
        stage.watcher().run_once()
        back.collector().run_once()
    drop(stage)
    rebuild(back, batches_topic)
    finish(back, batches_topic)
    check_once(back, stage.files * RECORDS)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_a_day_has_cost_is_remembered_and_the_brake_still_holds(
    make_back: MakeBack, batches_topic: str, provider: str
) -> None:
    back = make_back(provider)
    stage = back.stage
    published, collected, sent, doubtful, waiting = (stage.plan(RECORDS) for _ in range(5))
    each = stage.batch(waiting).estimated_cost_usd or 0.0
    stage.store.budgets.state("pipe", [Limit(PIPELINE, None, 4.5 * each), Limit("sentiments", "sentiment", 9 * each)])
    begin(stage)
    back.finish(published)
    submission = stage.submission()
    wait_until(partial(has_sent, stage, submission, collected), 30, "a batch to be sent")
    back.collect(collected)
    wait_until(partial(has_sent, stage, submission, sent), 30, "another to be sent")
    stage.server.set_fault("create_accepted_response_lost", times=1)
    submission.work(doubtful)
    assert stage.batch(doubtful).state is State.AMBIGUOUS
    costs = [stage.batch(key).cost_usd or 0.0 for key in (published, collected)]
    used = sum(costs) + sum(stage.batch(key).estimated_cost_usd or 0.0 for key in (sent, doubtful))
    # What the answers did not cost is given back: less than another batch needs is to be left.
    limits = [Limit(PIPELINE, None, used + each / 2), Limit("sentiments", "sentiment", 9 * each)]
    stage.store.budgets.state("pipe", limits)
    begin(stage)
    days = charged(stage)
    assert sum(days.values()) == pytest.approx(used)
    drop(stage)
    rebuild(back, batches_topic)
    assert charged(stage) == days
    assert stage.store.budgets.stated("pipe") == limits
    submission = stage.submission()
    submission.work(waiting)
    assert (stage.batch(waiting).held_reason or "").startswith("budget: ")
    for key in (published, collected):
        back.collect(key)
        back.publish(key)
    spent = sum(batch.cost_usd or 0.0 for batch in stage.store.batches.rows())
    assert {one.model: one.spent_usd for one in stage.store.budgets.today()} == {
        None: pytest.approx(spent),
        "sentiment": pytest.approx(spent),
    }
    stage.ahead = DAY
    finish(back, batches_topic)
    check_once(back, stage.files * RECORDS)


def has_sent(stage: Stage, submission: Submission, key: str) -> bool:
    submission.work(key)
    return stage.batch(key).state is State.SUBMITTED


def test_what_single_calls_have_cost_is_remembered(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back(batch_options={"mode": "sync"})
    stage = back.stage
    key = stage.plan(RECORDS)
    begin(stage)
    asker = Road(stage, PASS).asker()
    wait_until(lambda: asker.run_once() and stage.batch(key).state is State.ENDED, 30, "every record to be asked")
    days, before = charged(stage), stage.batch(key)
    drop(stage)
    rebuild(back, batches_topic)
    assert charged(stage) == days
    known = stage.batch(key)
    assert known.cost_usd == pytest.approx(before.cost_usd)
    assert known.input_tokens == before.input_tokens
    asker = Road(stage, PASS).asker()
    wait_until(lambda: asker.run_once() and stage.batch(key).state is State.ENDED, 30, "it to end once more")
    back.collect(key)
    back.publish(key)
    assert charged(stage) == days
    check_once(back, RECORDS)


def test_what_is_deleted_and_forgotten_stays_out_and_paid(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    (key,) = plan(stage, seal(stage, "old", range(RECORDS)))
    back.finish(key)
    stage.ahead = MARKERS_KEPT + DAY
    keeper, retention = Keeper(stage.store, this_process()), 7 * DAY
    Janitor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock, retention=retention).run_once()
    outboxes, watchdog = back.outboxes(), Watchdog(stage.store, this_process())
    forgotten = Archivist(
        stage.store,
        stage.spool,
        stage.models().definition,
        outboxes,
        keeper,
        watchdog,
        stage.clock,
        retention=retention,
    ).run_once()
    outboxes.close()
    assert forgotten == {"forgotten": 1}
    before, days = stage.batch(key), charged(stage)
    drop(stage)
    rebuild(back, batches_topic)
    known = stage.batch(key)
    assert (known.state, known.succeeded, known.cost_usd) == (State.PUBLISHED, RECORDS, before.cost_usd)
    assert charged(stage) == days
    again = seal(stage, "again", range(RECORDS))
    assert plan(stage, again) == [], "every position is paid for"
    check_once(back, RECORDS)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_announced_batch_without_its_receipt_is_found(
    make_back: MakeBack, batches_topic: str, provider: str
) -> None:
    back = make_back(provider)
    stage = back.stage
    key = stage.submit(RECORDS)
    batch = stage.batch(key)
    announce(back, batches_topic, batch)
    stage.spool.files.delete(f"{stage.spool.batch('pipe', 'sentiments', key)}/receipt-1.json")
    drop(stage)
    rebuild(back, batches_topic)
    # Where metadata say whose a batch is, a look-up is as good, and nobody has to be believed.
    expected = State.SUBMITTED if provider == "anthropic" else State.AMBIGUOUS
    assert stage.batch(key).state is expected
    finish(back, batches_topic)
    assert stage.batch(key).provider_batch_id == batch.provider_batch_id
    check_once(back, RECORDS)


def test_an_announcement_that_lies_is_disproved(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back("anthropic")
    stage = back.stage
    key, other = stage.submit(RECORDS), stage.submit(RECORDS)
    lie = replace(stage.batch(key), provider_batch_id=stage.batch(other).provider_batch_id)
    announce(back, batches_topic, lie)
    for each in (key, other):
        stage.spool.files.delete(f"{stage.spool.batch('pipe', 'sentiments', each)}/receipt-1.json")
    drop(stage)
    rebuild(back, batches_topic)
    finish(back, batches_topic)
    check_once(back, 2 * RECORDS)


def test_a_batch_that_was_committed_and_not_yet_in_its_place_gets_it(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back(batch_options={"max_requests": 2})
    stage = back.stage
    keys = plan(stage, seal(stage, "cut", range(RECORDS)))
    (record,) = Annals(stage.spool, "pipe").plans()
    place = stage.path(stage.spool.batch("pipe", "sentiments", keys[1]))
    stage.path(record.attempt).mkdir()
    place.rename(stage.path(f"{record.attempt}/{keys[1]}"))
    drop(stage)
    rebuild(back, batches_topic)
    assert (place / MANIFEST).exists()
    finish(back, batches_topic)
    check_once(back, RECORDS)


def test_a_plan_that_lost_leaves_no_record(make_back: MakeBack) -> None:
    """Its rows may be paid for by another plan: only what was committed counts."""
    stage = make_back().stage
    file = seal(stage, "raced", range(RECORDS))
    planner = Planner(stage.store, stage.spool, stage.models().provider_for, stage.clock)
    stated = stage.definition()
    loser = planner._draft(stated, file, stage.spool.new_attempt("pipe", "sentiments"))
    assert plan(stage, file)
    assert not stage.store.plans.commit(loser)
    (record,) = Annals(stage.spool, "pipe").plans()
    assert record.attempt != loser.attempt_folder


def test_a_run_s_end_is_remembered_too(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    seal(stage, "any", range(RECORDS))
    for outcome in ("finished", "stopped"):
        Chronicle(stage.store, stage.spool, "pipe").finish(begin(stage), outcome)

    def told() -> list[Run]:
        return stage.store.lineage.runs("pipe")

    before = told()
    drop(stage)
    rebuild(back, batches_topic)
    assert told() == before
    assert not stage.store.lineage.is_current("pipe", 2)


def test_a_filled_store_is_left_alone(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    key = back.stage.plan()
    with pytest.raises(SettingsError, match="not empty"):
        rebuild(back, batches_topic)
    assert back.stage.batch(key).state is State.SEALED


def test_of_several_stores_in_one_spool_the_named_one_is_rebuilt(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    key, mine = stage.plan(), stage.store.shards.installation_id()
    other = Stage(stage.server, stage.folder / "other", spool_address=stage.spool_url, changes={"pipeline": "theirs"})
    theirs = other.plan()
    other.close()
    drop(stage)
    with pytest.raises(SettingsError, match="give --installation"):
        rebuild(back, batches_topic)
    rebuild(back, batches_topic, mine)
    assert stage.batch(key).state is State.SEALED
    assert stage.store.batches.get(theirs) is None
    assert stage.store.shards.installation_id() == mine


def test_a_lost_installation_is_told_by_its_consumer_group(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    key = stage.submit(RECORDS)
    announce(back, batches_topic, stage.batch(key))
    registering = registrar(back, batches_topic)
    wait_until(lambda: registering.run_once() and registering.is_drained(), 60)
    registering.close()
    client = {"bootstrap.servers": back.broker.bootstrap}
    assert installation_of(client, batches_topic) == stage.store.shards.installation_id()
    assert installation_of(client, "never-read") is None


def test_duplicates_that_only_the_lost_store_knew_are_counted_again(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", times=1, seconds=3600)
    key = stage.submit(RECORDS)
    first, second = [str(event["batch"]) for event in stage.server.witness().creates("openai")]
    drop(stage)
    stage.server.advance(3600)
    said = rebuild(back, batches_topic)
    assert any(line.startswith(f"{first}: counted") for line in said), said
    (stray,) = stage.store.strays.open()
    assert (stray.provider_batch_id, stray.whose) == (first, Whose.OURS)
    assert stage.batch(key).provider_batch_id == second


def test_a_submitter_refuses_a_store_that_has_forgotten_its_pipeline(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    chronicle = Chronicle(stage.store, stage.spool, "pipe")
    chronicle.refuse_forgotten()
    seal(stage, "any", range(RECORDS))
    begin(stage)
    chronicle.refuse_forgotten()
    drop(stage)
    stage.store.lineage.claim_name("pipe", "/files/pipe.sql")
    with pytest.raises(SettingsError, match="remembers run 1 of "):
        Chronicle(stage.store, stage.spool, "pipe").refuse_forgotten()
    rebuild(back, batches_topic)
    Chronicle(stage.store, stage.spool, "pipe").refuse_forgotten()


def test_what_was_refused_is_not_sent_again(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    stage.server.set_fault("bad_line_fails_batch", numbers=[1], code="model_not_found", times=1)
    key = stage.submit(RECORDS)
    back.collect(key)
    drop(stage)
    rebuild(back, batches_topic)
    finish(back, batches_topic)
    assert stage.batch(key).state is State.FAILED
    assert len(stage.server.witness().creates()) == 1
    assert len(back.outputs(at_least=RECORDS)) == RECORDS


def test_a_damaged_batch_stops_the_rebuild_until_it_is_given_up(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage
    good, damaged = stage.plan(), stage.plan()
    stage.path(f"{stage.spool.batch('pipe', 'sentiments', damaged)}/{MANIFEST}").write_text("{")
    drop(stage)
    with pytest.raises(SpoolError, match=f"give --without {damaged}"):
        rebuild(back, batches_topic)
    assert stage.store.batches.rows() == []
    rebuild(back, batches_topic, None, damaged)
    assert [batch.batch_key for batch in stage.store.batches.rows()] == [good]


def test_a_definition_that_nobody_vouches_for_stops_the_rebuild(make_back: MakeBack, batches_topic: str) -> None:
    """Whoever can write to the spool must not have our keys sent to an address of theirs."""
    back = make_back()
    stage = back.stage
    key = stage.plan()
    path = stage.path(f"{stage.spool.batch('pipe', 'sentiments', key)}/{MANIFEST}")
    path.write_text(path.read_text().replace("http://127.0.0.1", "http://elsewhere.example"))
    drop(stage)
    with pytest.raises(SpoolError, match=r"elsewhere\.example.* nothing is sent there"):
        rebuild(back, batches_topic)
    assert stage.store.batches.rows() == []


def test_an_older_copy_of_the_store_learns_the_positions_of_files_that_are_deleted(make_back: MakeBack) -> None:
    stage = make_back().stage
    older = copied(stage)
    file = seal(stage, "deleted", range(RECORDS))
    plan(stage, file)
    before = stage.store.positions.all("pipe", "sentiments")
    stage.spool.files.delete(file.address)
    restore(stage, older)
    duty = Recaller(stage.store, stage.spool, stage.clock, timedelta())
    assert duty.run_once()["plans"] == 1
    assert stage.store.positions.all("pipe", "sentiments") == before
    assert "plans" not in duty.run_once()
    assert plan(stage, seal(stage, "again", range(RECORDS))) == []
