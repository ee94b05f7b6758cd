from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from shared.errors import LeaseLost
from shared.lifecycle import SUBMITTABLE, Event
from shared.store import Lease, Store
from shared.store.leases import hold
from tests.rig.stores import MINUTE, NOON, SetClock, at_once, intend, planned, put, walk
from tests.rig.waiting import wait_until


def test_of_several_who_ask_at_once_one_gets_the_lease(stores: list[Store]) -> None:
    for round_ in range(10):
        name = f"account/{round_}"
        got = at_once([partial(s.leases.acquire, name, f"holder-{n}", MINUTE) for n, s in enumerate(stores)])
        assert [lease.epoch for lease in got if lease] == [1]


def test_of_several_who_ask_at_once_for_a_lapsed_lease_one_gets_it(stores: list[Store], clock: SetClock) -> None:
    for round_ in range(10):
        name = f"account/{round_}"
        assert stores[0].leases.acquire(name, "dead", MINUTE)
        clock.advance(2 * MINUTE)
        got = at_once([partial(s.leases.acquire, name, f"holder-{n}", MINUTE) for n, s in enumerate(stores)])
        assert [lease.epoch for lease in got if lease] == [2]


def test_a_lease_is_anothers_until_it_is_released_or_lapses(store: Store, clock: SetClock) -> None:
    first = store.leases.acquire("account/a", "one", MINUTE)
    assert first == Lease("account/a", "one", 1)
    assert store.leases.acquire("account/a", "two", MINUTE) is None

    store.leases.release(first)
    second = store.leases.acquire("account/a", "two", MINUTE)
    assert second == Lease("account/a", "two", 2)

    clock.advance(MINUTE)
    assert store.leases.acquire("account/a", "one", MINUTE) == Lease("account/a", "one", 3)


def test_its_holder_takes_a_live_lease_again_and_prolongs_it(store: Store, clock: SetClock) -> None:
    lease = store.leases.acquire("account/a", "one", MINUTE)
    clock.advance(MINUTE / 2)
    assert store.leases.acquire("account/a", "one", MINUTE) == lease
    clock.advance(MINUTE * 3 / 4)
    assert store.leases.acquire("account/a", "two", MINUTE) is None


def test_renewing_prolongs_also_a_lapsed_lease_that_nobody_took(store: Store, clock: SetClock) -> None:
    lease = store.leases.acquire("account/a", "one", MINUTE)
    assert lease
    clock.advance(2 * MINUTE)
    store.leases.renew(lease, MINUTE)
    assert store.leases.acquire("account/a", "two", MINUTE) is None

    clock.advance(2 * MINUTE)
    assert store.leases.acquire("account/a", "two", MINUTE)
    with pytest.raises(LeaseLost, match="no longer held by one"):
        store.leases.renew(lease, MINUTE)


def test_no_lease_revives_with_an_epoch_that_was_used(store: Store, clock: SetClock) -> None:
    first = store.leases.acquire("account/a", "one", MINUTE)
    clock.advance(2 * MINUTE)
    second = store.leases.acquire("account/a", "two", MINUTE)
    assert first
    assert second
    store.leases.release(second)
    third = store.leases.acquire("account/a", "one", MINUTE)
    assert third
    assert third.epoch == 3
    with pytest.raises(LeaseLost):
        store.leases.renew(first, MINUTE)
    store.leases.release(first)
    store.leases.renew(third, MINUTE)


def test_leases_of_the_dead_hold_nothing_back_any_more(store: Store) -> None:
    put(store, planned("k-0"), planned("k-1"))
    for number, holder in enumerate(["dead", "living"]):
        assert store.leases.acquire(f"batch/k-{number}", holder, MINUTE)
    assert store.batches.due(SUBMITTABLE, NOON, 10) == []
    assert store.leases.bury(lambda holder: holder == "dead") == 1
    assert [batch.batch_key for batch in store.batches.due(SUBMITTABLE, NOON, 10)] == ["k-0"]
    after = store.leases.acquire("batch/k-0", "heir", MINUTE)
    assert after is not None
    assert after.epoch == 2, "what the dead may still have under way is fenced"


def test_only_leases_that_lapsed_long_ago_are_swept(store: Store, clock: SetClock) -> None:
    store.leases.acquire("account/old", "one", MINUTE)
    clock.advance(timedelta(days=8))
    live = store.leases.acquire("account/live", "one", MINUTE)
    assert store.leases.sweep(clock.now - timedelta(days=7)) == 1
    assert live
    store.leases.renew(live, MINUTE)


FencedWrite = Callable[[Store, Lease], object]
# `k-0` runs with attempt 1 accepted, `k-1` is ambiguous with attempt 1 open, `k-2` is sealed, `k-3` ended.
WRITES: dict[str, FencedWrite] = {
    "apply": lambda s, lease: s.batches.apply("k-0", Event.END, lease=lease),
    "record": lambda s, lease: s.batches.record("k-0", lease=lease, error="zombie"),
    "tally": lambda s, lease: s.batches.tally("k-0", lease=lease, succeeded=3, failed=1),
    "collect": lambda s, lease: s.batches.collect("k-3", lease=lease),
    "intend": lambda s, lease: s.attempts.intend("k-2", lease, account="a", requests=1, bytes=1),
    "record_lookup": lambda s, lease: s.attempts.record_lookup("k-1", 1, lease, clean=True),
    "resolve": lambda s, lease: s.attempts.resolve("k-1", 1, lease, Event.ADOPT, provider_batch_id="b"),
    "disown": lambda s, lease: s.attempts.disown("k-0", 1, lease, note="another's"),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_zombies_write_changes_nothing(store: Store, clock: SetClock, write: str) -> None:
    _in_every_state(store)
    zombie = store.leases.acquire("account/a", "zombie", MINUTE)
    other = store.leases.acquire("account/b", "zombie", MINUTE)
    clock.advance(2 * MINUTE)
    assert zombie
    assert other
    assert store.leases.acquire("account/a", "successor", MINUTE)
    before = _everything(store)

    with pytest.raises(LeaseLost):
        WRITES[write](store, zombie)
    assert _everything(store) == before

    # The control: the same write under a lease that nobody took does change the store.
    WRITES[write](store, other)
    assert _everything(store) != before


def test_one_lost_lease_of_several_is_enough(store: Store, clock: SetClock) -> None:
    put(store, planned())
    held = store.leases.acquire("batch/k-0", "one", MINUTE)
    lost = store.leases.acquire("account/a", "one", MINUTE)
    clock.advance(2 * MINUTE)
    assert store.leases.acquire("account/a", "two", MINUTE)
    assert held
    assert lost
    with pytest.raises(LeaseLost, match="account/a"):
        store.attempts.intend("k-0", (held, lost), account="a", requests=1, bytes=1)
    assert store.attempts.of("k-0") == []


def test_a_takeover_waits_for_a_fenced_write_that_has_begun(store: Store, clock: SetClock) -> None:
    lease = store.leases.acquire("account/a", "one", MINUTE)
    clock.advance(2 * MINUTE)
    database = store.leases._database
    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            hold(connection, lease)
            takeover = pool.submit(store.leases.acquire, "account/a", "two", MINUTE)
            if connection.dialect.name == "postgresql":
                waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                wait_until(lambda: connection.execute(text(waiting)).scalar(), 10, "the takeover to wait for the lock")
            assert not takeover.done()
        assert takeover.result(30) == Lease("account/a", "two", 2)


def _in_every_state(store: Store) -> None:
    put(store, *(planned(f"k-{n}") for n in range(4)))
    for key in ("k-0", "k-1", "k-3"):
        intend(store, key)
    store.attempts.resolve("k-0", 1, None, Event.ACCEPT, provider_batch_id="batch-0")
    store.attempts.resolve("k-3", 1, None, Event.ACCEPT, provider_batch_id="batch-3")
    walk(store, "k-0", Event.PROGRESS)
    walk(store, "k-1", Event.DOUBT)
    walk(store, "k-3", Event.END)


def _everything(store: Store) -> list[object]:
    tables = ("batches", "attempts", "sealed_files", "positions", "leases")
    with store.leases._database.read() as connection:
        return [sorted(map(repr, connection.execute(text(f"SELECT * FROM {table}")).all())) for table in tables]


def test_what_was_given_up_by_a_machine_whose_clock_is_ahead_is_free(store: Store, clock: SetClock) -> None:
    clock.advance(timedelta(hours=1))
    ahead = store.leases.acquire("account/a", "one", MINUTE)
    assert ahead
    store.leases.release(ahead)
    clock.advance(-timedelta(hours=1))
    assert store.leases.acquire("account/a", "two", MINUTE) == Lease("account/a", "two", 2)
