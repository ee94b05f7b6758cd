from functools import partial

import pytest

from shared.errors import AccountBusy, IllegalTransition, StaleState
from shared.lifecycle import Event, State
from shared.store import Store, Whose
from shared.store.creates import PROVEN
from tests.rig.stores import MINUTE, NOON, SetClock, at_once, intend, planned, put, walk

ACCOUNT = "openai:KEY@api"


def test_an_intent_is_committed_with_the_state(store: Store, clock: SetClock) -> None:
    put(store, planned())
    attempt = intend(store)
    assert (attempt.attempt, attempt.started_at, attempt.requests, attempt.bytes) == (1, clock.now, 10, 1000)
    assert attempt.outcome is None
    batch = store.batches.get("k-0")
    assert batch
    assert batch.state is State.SUBMITTING
    assert store.attempts.of("k-0") == store.attempts.open() == [attempt]


def test_of_several_who_intend_at_once_one_may(stores: list[Store]) -> None:
    def try_(store: Store, key: str) -> int:
        try:
            return intend(store, key).attempt
        except IllegalTransition:
            return 0

    for round_ in range(10):
        put(stores[0], planned(f"k-{round_}"))
        assert sorted(at_once([partial(try_, each, f"k-{round_}") for each in stores])) == [0, 0, 0, 1]


@pytest.mark.parametrize("serial", [True, False])
def test_a_serial_account_has_one_unresolved_intent(stores: list[Store], serial: bool) -> None:
    def try_(store: Store, key: str) -> bool:
        try:
            intend(store, key, serial=serial)
        except AccountBusy:
            return False
        return True

    for round_ in range(10):
        keys = [f"k-{round_}-{n}" for n in range(len(stores))]
        put(stores[0], *(planned(key) for key in keys))
        won = at_once([partial(try_, each, key) for each, key in zip(stores, keys, strict=True)])
        # The control: without `serial` all of them go through.
        assert won.count(True) == (1 if serial else len(stores))
        left = [batch.state for batch in stores[0].batches.rows([State.SEALED])]
        assert len(left) == (round_ + 1) * (3 if serial else 0)
        for attempt in stores[0].attempts.open():
            stores[0].attempts.resolve(attempt.batch_key, 1, None, Event.REJECT)


def test_a_serial_account_is_busy_while_an_attempt_is_ambiguous(store: Store) -> None:
    put(store, planned("k-0"), planned("k-1"))
    intend(store, "k-0", serial=True)
    store.batches.apply("k-0", Event.DOUBT)
    with pytest.raises(AccountBusy, match="batch k-0"):
        intend(store, "k-1", serial=True)
    intend(store, "k-1", account="another", serial=True)


@pytest.mark.parametrize(
    ("doubt", "event", "outcome", "state"),
    [
        (False, Event.ACCEPT, "accepted", State.SUBMITTED),
        (False, Event.REJECT, "rejected", State.ENDED),
        (False, Event.HOLD, "not sent", State.HELD),
        (True, Event.ADOPT, "adopted", State.SUBMITTED),
        (True, Event.CLEAR, "absent", State.HELD),
    ],
)
def test_an_attempt_ends_with_the_batchs_move(
    store: Store, clock: SetClock, doubt: bool, event: Event, outcome: str, state: State
) -> None:
    put(store, planned())
    intend(store)
    if doubt:
        store.batches.apply("k-0", Event.DOUBT)
        assert len(store.attempts.open()) == 1
    id_ = "batch_1" if state is State.SUBMITTED else None
    clock.advance(MINUTE)
    batch = store.attempts.resolve("k-0", 1, None, event, note="why", provider_batch_id=id_)
    assert (batch.state, batch.provider_batch_id) == (state, id_)
    attempt = store.attempts.of("k-0")[0]
    assert (attempt.outcome, attempt.resolved_at, attempt.note, attempt.provider_batch_id) == (
        outcome,
        clock.now,
        "why",
        id_,
    )
    assert store.attempts.open() == []
    # Once resolved, it stays: a late second word changes neither the attempt nor the batch.
    with pytest.raises((StaleState, IllegalTransition)):
        store.attempts.resolve("k-0", 1, None, event)
    assert store.attempts.of("k-0") == [attempt]
    assert store.batches.get("k-0") == batch


def test_another_attempt_follows_one_that_is_over(store: Store) -> None:
    put(store, planned())
    for number in (1, 2, 3):
        assert intend(store).attempt == number
        store.attempts.resolve("k-0", number, None, Event.HOLD)
    assert [attempt.attempt for attempt in store.attempts.of("k-0")] == [3, 2, 1]
    with pytest.raises(StaleState, match="attempt 1 of batch k-0"):
        store.attempts.record_lookup("k-0", 1, None, clean=True)


def test_a_look_up_that_is_not_clean_restarts_the_quarantine(store: Store, clock: SetClock) -> None:
    put(store, planned())
    intend(store)
    store.batches.apply("k-0", Event.DOUBT)

    def look(clean: bool) -> tuple[object, ...]:
        attempt = store.attempts.record_lookup("k-0", 1, None, clean=clean)
        return attempt.lookups, attempt.clean_since, attempt.last_lookup_at

    assert look(clean=True) == (1, NOON, NOON)
    now = clock.advance(MINUTE)
    assert look(clean=True) == (2, NOON, now)
    now = clock.advance(MINUTE)
    assert look(clean=False) == (3, None, now)
    now = clock.advance(MINUTE)
    assert look(clean=True) == (4, now, now)


def test_no_create_follows_one_that_an_operator_must_decide_on(store: Store) -> None:
    put(store, planned(), planned("k-1"))
    intend(store, serial=True)
    walk(store, "k-0", Event.DOUBT, Event.HOLD)
    with pytest.raises(StaleState, match="still unknown"):
        intend(store)
    assert store.batches.get("k-0").state is State.HELD  # type: ignore[union-attr]  # it is there
    assert intend(store, "k-1", serial=True).attempt == 1, "the account goes on"
    store.attempts.allow_another("k-0", 1, None)
    store.attempts.resolve("k-0", 1, None, Event.CLEAR)
    store.attempts.resolve("k-1", 1, None, Event.HOLD)
    assert intend(store, serial=True).attempt == 2


def test_a_disowned_batch_is_open_again_and_remembered(store: Store) -> None:
    put(store, planned(), planned("k-1"))
    intend(store, serial=True)
    store.batches.apply("k-0", Event.DOUBT)
    for number in (1, 2):
        store.attempts.resolve("k-0", 1, None, Event.ADOPT, provider_batch_id=f"foreign-{number}")
        store.batches.record("k-0", missing_since=NOON)
        batch = store.attempts.disown("k-0", 1, None, note="its ids are another's")
        assert (batch.state, batch.provider_batch_id, batch.submitted_at) == (State.AMBIGUOUS, None, None)
        assert batch.missing_since is None, "of the next one nobody has been told that it is not there"
    attempt = store.attempts.open()[0]
    assert (attempt.outcome, attempt.disowned, attempt.note, attempt.may_have_run) == (
        None,
        ("foreign-1", "foreign-2"),
        "its ids are another's",
        False,
    )
    with pytest.raises(AccountBusy):
        intend(store, "k-1", serial=True)


def test_what_may_have_run_is_remembered_whatever_is_disowned_after_it(store: Store) -> None:
    put(store, planned())
    intend(store, serial=True)
    store.batches.apply("k-0", Event.DOUBT)
    for name, may_be_ours in (("silent", True), ("foreign", False)):
        store.attempts.resolve("k-0", 1, None, Event.ADOPT, provider_batch_id=name)
        store.attempts.disown("k-0", 1, None, note="as said", may_be_ours=may_be_ours)
    assert store.attempts.open()[0].may_have_run
    batch = store.attempts.resolve("k-0", 1, None, Event.LOSE)
    (attempt,) = store.attempts.of("k-0")
    assert (batch.state, batch.provider_batch_id, attempt.outcome) == (State.LOST, None, "lost")
    assert store.attempts.given_up(NOON) == [attempt], "its own create may still show"


def test_a_stray_is_counted_once(store: Store) -> None:
    put(store, planned())
    store.lineage.claim_name("pipe", "a.sql")
    assert store.strays.note("k-0", ACCOUNT, "batch_2", whose=Whose.UNKNOWN)
    assert not store.strays.note("k-0", ACCOUNT, "batch_2")
    assert store.status.pipelines()[0]["duplicate_batches"] == 0, "it may be another's"
    store.strays.settle("batch_2", Whose.OURS, input_tokens=7, output_tokens=3, cost_usd=0.25)
    row = store.status.pipelines()[0]
    assert (row["duplicate_batches"], row["duplicate_cost_usd"], row["cost_usd"]) == (1, 0.25, 0.0)
    (duplicate,) = store.status.duplicates()
    assert (duplicate["batch_key"], duplicate["pipeline"], duplicate["input_tokens"]) == ("k-0", "pipe", 7)
    assert store.strays.open() == []


def test_what_may_be_another_s_is_told_until_it_proves_to_be(store: Store, clock: SetClock) -> None:
    put(store, planned())
    began = clock.now
    for name in ("batch_2", "batch_3"):
        store.strays.note("k-0", ACCOUNT, name, whose=Whose.UNKNOWN)
    store.strays.cancelled("batch_3")
    clock.advance(MINUTE)
    assert [stray.whose for stray in store.strays.since(clock.now)] == [Whose.UNKNOWN, Whose.OURS]
    for name in ("batch_2", "batch_3"):
        store.strays.settle(name, Whose.FOREIGN)
    assert [stray.provider_batch_id for stray in store.strays.since(began)] == ["batch_3"], "it was cancelled"
    assert store.status.duplicates() == []


def test_the_newest_attempt_is_the_last_one_whatever_the_clocks_say(store: Store, clock: SetClock) -> None:
    """Two machines' clocks differ: the second attempt's may be behind the first one's."""
    put(store, planned())
    intend(store)
    store.attempts.resolve("k-0", 1, None, Event.HOLD)
    clock.advance(-MINUTE)
    second = intend(store)
    assert second.attempt == 2
    assert store.attempts.of("k-0")[0] == second


def test_a_batch_that_a_look_up_adopted_is_on_trial_until_its_results_are_in(store: Store, clock: SetClock) -> None:
    put(store, planned("guess-0"), planned("sure-0"), planned("answered-0"))
    for key, note in (("guess-0", None), ("sure-0", PROVEN)):
        intend(store, key)
        store.batches.apply(key, Event.DOUBT)
        store.attempts.resolve(key, 1, None, Event.ADOPT, note=note, provider_batch_id=f"remote-of-{key}")
    intend(store, "answered-0")
    store.attempts.resolve("answered-0", 1, None, Event.ACCEPT, provider_batch_id="remote-of-answered-0")
    assert store.attempts.on_trial(NOON) == {"remote-of-guess-0"}
    assert store.attempts.on_trial(clock.now + MINUTE) == set()
    store.batches.apply("guess-0", Event.END)
    store.batches.collect("guess-0")
    assert store.attempts.on_trial(NOON) == set()
