from datetime import timedelta

import pytest
from sqlalchemy import update

from shared.errors import SettingsError
from shared.lifecycle import State
from shared.store import Attempt, PositionRun, Store
from shared.store.lineage import Owner
from shared.store.rebuilds import Known, Restored
from shared.store.tables import installation as installations
from shared.store.values import Plan
from tests.rig.samples import definition
from tests.rig.stores import NOON, begun, intend, plan, planned, put

INSTALLATION = "0123456789abcdef" * 2


def attempt(key: str, number: int, outcome: str | None, provider_batch_id: str | None = None) -> Attempt:
    return Attempt(
        batch_key=key,
        attempt=number,
        account="openai:KEY@api",
        started_at=NOON,
        requests=10,
        bytes=1000,
        input_file_id="file-1",
        outcome=outcome,
        resolved_at=NOON if outcome else None,
        provider_batch_id=provider_batch_id,
        lookups=0,
        clean_since=None,
        last_lookup_at=None,
        disowned=(),
        note=None,
    )


def whole(installation: str | None = INSTALLATION) -> Restored:
    plans: list[Plan] = [plan("part-a", offsets=[(0, 5), (7, 9)]), plan("part-b", offsets=[(5, 7), (8, 12)])]
    batches = [
        Known(planned("k-0"), State.SUBMITTED, {"provider_batch_id": "b"}, [attempt("k-0", 1, "accepted", "b")]),
        Known(planned("k-1"), State.AMBIGUOUS, {}, [attempt("k-1", 1, "absent"), attempt("k-1", 2, None)]),
        Known(planned("k-2"), State.PUBLISHED, {"succeeded": 10, "published_at": NOON}),
    ]
    owners = [Owner("pipe", "/a.sql", "file:///s", NOON)]
    return Restored(installation, owners, [begun(1, "failed"), begun(2, None)], [definition()], plans, batches)


def test_everything_is_put_back(store: Store) -> None:
    own = store.shards.installation_id()
    try:
        store.rebuilds.restore(whole())
        assert store.shards.installation_id() == INSTALLATION
    finally:
        # Other tests share the database, and with it this row.
        _name(store, own)
    assert store.positions.all("pipe", "sentiments") == [PositionRun("cluster", "topic", 0, 0, 12)]
    assert store.plans.is_planned("part-a")
    assert store.lineage.runs("pipe") == [begun(2, None), begun(1, "failed")]
    assert store.lineage.is_current("pipe", 2)
    assert store.lineage.owner("pipe") == "/a.sql"
    assert store.lineage.begin("pipe", definition="d", spool="file:///s") == 3
    assert store.lineage.definition(definition().hash) == definition()
    assert [(batch.batch_key, batch.state) for batch in store.batches.rows()] == [
        ("k-0", State.SUBMITTED),
        ("k-1", State.AMBIGUOUS),
        ("k-2", State.PUBLISHED),
    ]
    assert [each.outcome for each in store.attempts.of("k-1")] == [None, "absent"]
    assert store.strays.is_known("b")


def test_a_name_that_was_only_claimed_does_not_stand_in_the_way(store: Store) -> None:
    store.lineage.claim_name("pipe", "/another.sql")
    store.rebuilds.restore(whole(installation=None))
    assert store.lineage.owner("pipe") == "/a.sql"


def test_a_store_that_knows_anything_is_refused_whole(store: Store) -> None:
    put(store, planned("other-0"))
    intend(store, "other-0")
    own = store.shards.installation_id()
    for refuse in (store.rebuilds.refuse_filled, lambda: store.rebuilds.restore(whole())):
        with pytest.raises(SettingsError, match=r"rows in batches, attempts, sealed_files"):
            refuse()
    assert store.shards.installation_id() == own
    assert [batch.batch_key for batch in store.batches.rows()] == ["other-0"]
    assert store.batches.due((State.SUBMITTING,), NOON + timedelta(days=1), 10)


def _name(store: Store, installation: str) -> None:
    with store.rebuilds._database.write() as connection:
        connection.execute(update(installations).values(id=installation))
