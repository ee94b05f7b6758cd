from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared.errors import IllegalTransition, StaleState, Unbalanced
from shared.lifecycle import Event, State
from shared.store import Batch, PlannedBatch, Store
from tests.rig.stores import MINUTE, NOON, SetClock, at_once, plan, planned, put, walk

TO_ENDED = (Event.INTEND, Event.ACCEPT, Event.PROGRESS, Event.END)


def test_an_event_moves_a_batch_and_sets_what_goes_with_it(store: Store, clock: SetClock) -> None:
    put(store, planned())
    clock.advance(MINUTE)
    store.batches.apply("k-0", Event.INTEND)
    sent = clock.advance(MINUTE)
    moved = store.batches.apply("k-0", Event.ACCEPT, provider_batch_id="batch_1", expires_at=NOON + timedelta(days=1))
    assert (moved.state, moved.provider_batch_id, moved.submitted_at) == (State.SUBMITTED, "batch_1", sent)
    assert moved == store.batches.get("k-0")

    ended = clock.advance(MINUTE)
    assert store.batches.apply("k-0", Event.END).ended_at == ended
    store.batches.collect("k-0")
    out = clock.advance(MINUTE)
    published = store.batches.apply("k-0", Event.PUBLISH, succeeded=9, failed=1)
    assert (published.published_at, published.updated_at, published.submitted_at) == (out, out, sent)


def test_a_given_time_wins(store: Store) -> None:
    put(store, planned())
    walk(store, "k-0", Event.INTEND, Event.DOUBT)
    created = NOON - timedelta(hours=1)
    assert store.batches.apply("k-0", Event.ADOPT, submitted_at=created).submitted_at == created


def test_a_hold_is_forgotten_when_it_is_over(store: Store) -> None:
    put(store, planned())
    held = store.batches.apply("k-0", Event.HOLD, held_reason="no credit", held_until=NOON + MINUTE)
    assert (held.state, held.held_reason, held.held_until) == (State.HELD, "no credit", NOON + MINUTE)
    again = store.batches.apply("k-0", Event.INTEND)
    assert (again.held_reason, again.held_until) == (None, None)


def test_an_illegal_event_leaves_the_batch_as_it_was(store: Store, clock: SetClock) -> None:
    put(store, planned())
    before = store.batches.get("k-0")
    clock.advance(MINUTE)
    with pytest.raises(IllegalTransition):
        store.batches.apply("k-0", Event.PUBLISH, error="never written")
    with pytest.raises(StaleState, match="is 'sealed' by now, not 'held'"):
        store.batches.apply("k-0", Event.INTEND, expected=State.HELD)
    assert store.batches.get("k-0") == before
    with pytest.raises(StaleState, match="not in the store"):
        store.batches.apply("k-7", Event.INTEND)


def test_of_several_who_apply_the_same_event_at_once_one_succeeds(stores: list[Store]) -> None:
    def intend(store: Store, key: str) -> bool:
        try:
            store.batches.apply(key, Event.INTEND, expected=State.SEALED)
        except StaleState:
            return False
        return True

    for round_ in range(10):
        key = f"k-{round_}"
        put(stores[0], planned(key))
        assert at_once([partial(intend, each, key) for each in stores]).count(True) == 1


def test_a_record_changes_columns_and_no_state(store: Store) -> None:
    put(store, planned())
    walk(store, "k-0", Event.INTEND, Event.ACCEPT)
    changed = store.batches.record("k-0", next_check_at=NOON + MINUTE, remote_status="validating", missing_since=NOON)
    assert (changed.state, changed.next_check_at, changed.remote_status) == (
        State.SUBMITTED,
        NOON + MINUTE,
        "validating",
    )
    assert store.batches.get("k-0") == changed


@pytest.mark.parametrize(
    "counts",
    [{"succeeded": 11}, {"succeeded": 6, "failed": 5}, {"carried": 10, "failed": 1}, {"failed": -1}],
    ids=str,
)
def test_counts_that_do_not_add_up_are_refused(store: Store, counts: dict[str, int]) -> None:
    put(store, planned())
    walk(store, "k-0", *TO_ENDED)
    before = store.batches.get("k-0")
    with pytest.raises(Unbalanced, match="10 records = "):
        store.batches.record("k-0", **counts)  # type: ignore[arg-type]  # columns by name
    assert store.batches.get("k-0") == before

    # The second line: the tables themselves refuse it.
    columns = ", ".join(f"{name} = {value}" for name, value in counts.items())
    with pytest.raises(IntegrityError), store.batches._database.write() as connection:
        connection.execute(text(f"UPDATE batches SET {columns} WHERE batch_key = 'k-0'"))


def test_nothing_is_published_with_records_in_flight(store: Store) -> None:
    put(store, planned())
    walk(store, "k-0", *TO_ENDED, Event.COLLECT)
    with pytest.raises(Unbalanced, match="1 in flight"):
        store.batches.apply("k-0", Event.PUBLISH, succeeded=9)
    with pytest.raises(IntegrityError), store.batches._database.write() as connection:
        connection.execute(text("UPDATE batches SET state = 'published', succeeded = 9"))
    assert store.batches.apply("k-0", Event.PUBLISH, succeeded=9, failed=1).in_flight == 0


def test_a_tally_only_grows(store: Store) -> None:
    put(store, planned())
    assert store.batches.tally("k-0", succeeded=3, failed=1).in_flight == 6
    assert store.batches.tally("k-0", succeeded=2, failed=1).succeeded == 3
    assert store.batches.tally("k-0", succeeded=8, failed=1).succeeded == 8


def test_a_collection_makes_its_children_or_nothing(store: Store) -> None:
    put(store, planned())
    walk(store, "k-0", *TO_ENDED)
    children = [_child("k-0a", 3), _child("k-0b", 1)]
    with pytest.raises(Unbalanced, match="carries 3 records, but its children have 4"):
        store.batches.collect("k-0", children=children, carried=3)
    assert [batch.batch_key for batch in store.batches.rows()] == ["k-0"]

    parent = store.batches.collect("k-0", children=children, carried=4, input_tokens=70, cost_usd=0.25)
    assert (parent.state, parent.carried, parent.in_flight, parent.cost_usd) == (State.COLLECTED, 4, 6, 0.25)
    made = store.batches.rows(parent="k-0")
    assert [(child.batch_key, child.state, child.records, child.generation) for child in made] == [
        ("k-0a", State.SEALED, 3, 1),
        ("k-0b", State.SEALED, 1, 1),
    ]
    with pytest.raises(IllegalTransition):
        store.batches.collect("k-0", children=children, carried=4)


def test_registering_inserts_once_and_never_moves_a_state(store: Store, clock: SetClock) -> None:
    put(store, planned("k-0"))
    for key, events in (("k-0", (Event.INTEND,)), ("k-1", ())):
        new = store.batches.get(key) is None
        walk(store, key, *events)
        known = {"provider_batch_id": f"batch-{key}", "submitted_at": NOON}
        assert store.batches.register(planned(key), **known) is new  # type: ignore[arg-type]  # columns by name
        assert store.batches.register(planned(key), **known) is False  # type: ignore[arg-type]  # columns by name
    known_, inserted = store.batches.get("k-0"), store.batches.get("k-1")
    assert known_
    assert inserted
    assert (known_.state, known_.provider_batch_id, known_.registered_at) == (State.SUBMITTING, None, clock.now)
    assert (inserted.state, inserted.provider_batch_id) == (State.SUBMITTED, "batch-k-1")


@pytest.mark.parametrize("state", State)
def test_registering_leaves_a_batch_in_any_state(store: Store, state: State) -> None:
    put(store, planned())
    with store.batches._database.write() as connection:
        connection.execute(text("UPDATE batches SET succeeded = 10, state = :state"), {"state": str(state)})
    assert not store.batches.register(planned(), provider_batch_id="late", submitted_at=NOON)
    batch = store.batches.get("k-0")
    assert batch
    assert (batch.state, batch.provider_batch_id) == (state, None)


def test_several_who_register_at_once_make_one_row(stores: list[Store]) -> None:
    for round_ in range(10):
        key = f"k-{round_}"
        calls = [partial(s.batches.register, planned(key), provider_batch_id="b", submitted_at=NOON) for s in stores]
        assert at_once(calls).count(True) == 1


def test_due_are_those_whose_time_has_come_and_that_nobody_holds(store: Store, clock: SetClock) -> None:
    put(store, *(planned(f"k-{n}", sealed_at=NOON - n * MINUTE) for n in range(5)), planned("other", statement="other"))
    store.batches.apply("k-0", Event.HOLD, held_until=NOON + MINUTE)
    store.batches.record("k-1", next_check_at=NOON + 2 * MINUTE)
    assert store.leases.acquire("batch/k-2", "somebody", 3 * MINUTE)

    def due(limit: int = 9) -> list[str]:
        found = store.batches.due([State.SEALED, State.HELD], clock.now, limit, statement="sentiments")
        return [batch.batch_key for batch in found]

    assert due() == ["k-4", "k-3"]
    assert due(1) == ["k-4"]
    clock.advance(MINUTE)
    assert due() == ["k-4", "k-3", "k-0"]
    clock.advance(MINUTE)
    assert due() == ["k-4", "k-3", "k-1", "k-0"]
    clock.advance(MINUTE)
    assert due() == ["k-4", "k-3", "k-2", "k-1", "k-0"]
    assert store.batches.due([State.RUNNING], clock.now, 9) == []


def test_every_deadline_comes_the_nearest_first_however_many_there_are(store: Store) -> None:
    """More than are read at once, some of them at the same moment."""
    deadlines = [NOON + MINUTE * (number // 3) for number in range(1203)]
    batches = [planned(f"k-{number}", deadline_at=deadline) for number, deadline in enumerate(deadlines)]
    assert store.plans.commit(plan(batches=batches[::-1]))
    found = list(store.batches.with_deadline([State.SEALED]))
    assert [batch.deadline_at for batch in found] == deadlines
    assert len({batch.batch_key for batch in found}) == len(deadlines)


def test_announceable_are_those_that_the_provider_has(store: Store) -> None:
    put(store, *(planned(f"k-{n}") for n in range(4)))
    for number, events in enumerate(((), (Event.INTEND,), TO_ENDED[:2], (*TO_ENDED, Event.COLLECT))):
        walk(store, f"k-{number}", *events)
        if number > 1:
            store.batches.record(f"k-{number}", provider_batch_id=f"batch-{number}")
    assert store.batches.announceable("pipe", "sentiments") == ["k-2", "k-3"]
    assert store.batches.announceable("pipe", "other") == []
    store.batches.apply("k-3", Event.PUBLISH, succeeded=10)
    assert store.batches.announceable("pipe", "sentiments") == ["k-2"]


def test_rows_are_filtered_and_in_order_of_sealing(store: Store) -> None:
    put(store, planned("k-0", sealed_at=NOON), planned("k-1", sealed_at=NOON - MINUTE, account="b"))
    walk(store, "k-1", Event.INTEND)

    def keys(batches: list[Batch]) -> list[str]:
        return [batch.batch_key for batch in batches]

    assert keys(store.batches.rows()) == ["k-1", "k-0"]
    assert keys(store.batches.rows([State.SUBMITTING, State.HELD])) == ["k-1"]
    assert keys(store.batches.rows(account="b", pipeline="pipe")) == ["k-1"]
    assert keys(store.batches.rows(limit=1)) == ["k-1"]
    assert keys(store.batches.rows(pipeline="other")) == []


def _child(key: str, records: int) -> PlannedBatch:
    return planned(key, records=records, requests=records, generation=1, parent="k-0")
