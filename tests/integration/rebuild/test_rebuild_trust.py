"""Whose store is rebuilt and what is believed: announcements, installations, damage, definitions of others."""

from dataclasses import replace

import pytest

from poller.register.installations import installation_of
from shared.errors import SettingsError, SpoolError
from shared.lifecycle import State
from shared.spool import MANIFEST
from submitter.lineage.chronicle import Chronicle
from tests.rig.rebuilding import (
    PROVIDERS,
    RECORDS,
    MakeBack,
    announce,
    begin,
    check_once,
    drop,
    finish,
    rebuild,
    registrar,
    seal,
)
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until


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


def test_a_submitter_refuses_a_store_that_is_not_its_pipeline_s(make_back: MakeBack, batches_topic: str) -> None:
    back = make_back()
    stage = back.stage

    def claim() -> None:
        Chronicle(stage.store, stage.spool, "pipe").claim("/files/pipe.sql")

    claim()
    seal(stage, "any", range(RECORDS))
    begin(stage)
    claim()
    drop(stage)
    with pytest.raises(SettingsError, match=r"remembers run 1 of .* by another store"):
        claim()
    assert stage.store.lineage.owner("pipe") is None
    rebuild(back, batches_topic)
    claim()


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
