"""Budgets on both databases: what a day may cost is reserved before a create, settled after it, kept by all at once."""

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.budget import day_of, next_day
from shared.errors import NoRoom
from shared.lifecycle import Event, State
from shared.store import Batch, Store
from shared.store.budgets import PIPELINE, Limit, Spending
from tests.rig.stores import MINUTE, NOON, SetClock, at_once, planned, put

DAY = timedelta(days=1)
COST = 1.0
ESTIMATES = (0.5, 1.0, 1.5, 1.0, 0.5, 2.0)


def fill(store: Store, *costs: float | None, **more: object) -> list[str]:
    """A batch of each estimate, sealed one after the other."""
    keys = [f"k-{number}" for number in range(len(costs))]
    common = {"model_name": "sentiment", **more}
    put(
        store,
        *(
            planned(key, estimated_cost_usd=cost, sealed_at=NOON + number * MINUTE, **common)
            for number, (key, cost) in enumerate(zip(keys, costs, strict=True))
        ),
    )
    return keys


def limit(store: Store, usd: float | None, model: float | None = None) -> None:
    store.budgets.state("pipe", [Limit(PIPELINE, None, usd), Limit("sentiments", "sentiment", model)])


def admit(store: Store, key: str) -> Batch:
    """As a submission does, whose process lives."""
    lease = store.leases.acquire(f"batch/{key}", f"holder-of-{key}", MINUTE)
    assert lease is not None
    batch = store.queues.admit(key, lease)
    if not batch.is_admitted:
        store.leases.release(lease)
    return batch


def intend(store: Store, key: str) -> int:
    return store.attempts.intend(key, None, account="openai:KEY@api", requests=10, bytes=1).attempt


def send(store: Store, key: str) -> None:
    """Admit, intend, and have it accepted."""
    assert admit(store, key).is_admitted
    store.attempts.resolve(key, intend(store, key), None, Event.ACCEPT, provider_batch_id=f"b-{key}")


def collect(store: Store, key: str, cost: float) -> None:
    store.batches.apply(key, Event.END)
    store.batches.collect(key, cost_usd=cost)


def today(store: Store) -> Spending:
    return store.budgets.today()[0]


def test_a_batch_beyond_the_day_is_held_until_it_turns(store: Store, clock: SetClock) -> None:
    limit(store, 2.5)
    keys = fill(store, COST, COST, COST)
    for key in keys[:2]:
        send(store, key)
    held = admit(store, keys[2])
    assert (held.state, held.held_until) == (State.HELD, next_day(NOON))
    assert held.held_reason == (
        "budget: $2.0000 of the $2.5000 that pipeline pipe may cost a day are spent or reserved, and it needs about "
        "$1.0000; it waits until the day turns (UTC), or the limit is raised"
    )
    assert (today(store).reserved_usd, today(store).held_batches, today(store).held_records) == (2.0, 1, 10)
    clock.now = next_day(NOON)
    send(store, keys[2])
    assert [row["reserved_usd"] for row in store.status.daily()] == [1.0, 2.0]


def test_what_is_settled_below_its_estimate_makes_room_at_once(store: Store, clock: SetClock) -> None:
    limit(store, 2.5)
    keys = fill(store, COST, COST, COST)
    for key in keys[:2]:
        send(store, key)
    assert not admit(store, keys[2]).is_admitted
    collect(store, keys[0], 0.25)
    assert [batch.batch_key for batch in store.batches.due([State.HELD], clock.now, 9)] == [keys[2]]
    send(store, keys[2])
    assert (today(store).spent_usd, today(store).reserved_usd) == (0.25, 2.0)


def test_what_a_batch_cost_counts_on_the_day_that_it_was_sent(store: Store, clock: SetClock) -> None:
    limit(store, 2.0)
    keys = fill(store, COST, COST, COST)
    send(store, keys[0])
    clock.advance(DAY)
    collect(store, keys[0], 1.5)
    for key in keys[1:]:
        send(store, key)
    rows = {row["day"]: row for row in store.status.daily()}
    assert (rows["2026-03-01"]["spent_usd"], rows["2026-03-02"]["reserved_usd"]) == (1.5, 2.0)
    assert rows["2026-03-02"]["max_cost_usd"] == 2.0


def test_raising_the_limit_tells_those_who_wait(store: Store, clock: SetClock) -> None:
    limit(store, 0.5)
    (key,) = fill(store, COST)
    held = admit(store, key)
    assert "it needs about $1.0000, and pipeline pipe may cost $0.5000 a day; raise the limit" in (
        held.held_reason or ""
    )
    limit(store, 1.5)
    assert store.batches.due([State.HELD], clock.now, 9)
    send(store, key)
    limit(store, None)
    assert store.budgets.today() == []


def test_the_smaller_of_two_limits_holds_and_another_models_batches_count_in_the_pipelines(store: Store) -> None:
    limit(store, 3.0, model=1.0)
    keys = fill(store, COST, COST)
    put(store, planned("other", estimated_cost_usd=2.0, statement="else", model_name="other"))
    put(store, planned("later", estimated_cost_usd=2.0, statement="else", model_name="other"))
    send(store, keys[0])
    assert "model sentiment" in (admit(store, keys[1]).held_reason or "")
    send(store, "other")
    assert "pipeline pipe" in (admit(store, "later").held_reason or "")
    assert [(each.model, each.reserved_usd, each.held_batches) for each in store.budgets.today()] == [
        (None, 3.0, 2),
        ("sentiment", 1.0, 1),
    ]


def test_a_create_that_had_no_effect_gives_its_money_back_and_one_in_doubt_keeps_it(store: Store) -> None:
    limit(store, 1.0)
    keys = fill(store, COST, COST)
    assert admit(store, keys[0]).is_admitted
    attempt = intend(store, keys[0])
    store.batches.apply(keys[0], Event.DOUBT)
    assert not admit(store, keys[1]).is_admitted
    store.batches.apply(keys[0], Event.HOLD, held_reason="decision: it is looked up")
    assert not admit(store, keys[1]).is_admitted, "its create may have been accepted"
    store.attempts.resolve(keys[0], attempt, None, Event.CLEAR, held_reason="it did not show")
    send(store, keys[1])


def test_a_refused_batch_costs_nothing(store: Store) -> None:
    limit(store, 1.0)
    keys = fill(store, COST, COST)
    assert admit(store, keys[0]).is_admitted
    store.attempts.resolve(keys[0], intend(store, keys[0]), None, Event.REJECT, error="no")
    store.batches.collect(keys[0])
    send(store, keys[1])


def test_who_was_let_in_and_lived_too_long_meets_the_limit_in_the_intents_transaction(store: Store) -> None:
    limit(store, 1.5)
    keys = fill(store, COST, COST)
    assert admit(store, keys[0]).is_admitted
    limit(store, 0.5)
    with pytest.raises(NoRoom, match="budget: it needs about"):
        intend(store, keys[0])
    assert today(store).reserved_usd == 0.0


def test_a_batch_without_a_price_waits_where_money_is_limited(store: Store) -> None:
    limit(store, 9.0)
    (key,) = fill(store, None)
    assert "no price is known" in (admit(store, key).held_reason or "")
    limit(store, None)
    assert admit(store, key).is_admitted


def test_what_a_large_batch_needs_is_kept_for_it_when_the_day_turns(store: Store, clock: SetClock) -> None:
    limit(store, 3.0)
    keys = fill(store, 1.0, 2.5, 1.0)
    send(store, keys[0])
    assert not admit(store, keys[1]).is_admitted
    clock.now = next_day(NOON)
    assert not admit(store, keys[2]).is_admitted, "the large one was sealed before, and fits now"
    send(store, keys[1])


def test_what_is_set_aside_keeps_no_money_from_those_behind_it(store: Store, clock: SetClock) -> None:
    limit(store, 1.5)
    keys = fill(store, COST, COST, COST)
    send(store, keys[0])
    assert not admit(store, keys[1]).is_admitted
    clock.now = next_day(NOON)
    store.batches.record(keys[1], error="its requests are cut", next_check_at=clock.now + MINUTE)
    assert admit(store, keys[2]).is_admitted


def test_what_is_let_in_counts_before_its_intent_as_long_as_its_process_lives(store: Store, clock: SetClock) -> None:
    limit(store, 1.5)
    keys = fill(store, COST, COST)
    assert admit(store, keys[0]).is_admitted
    assert not admit(store, keys[1]).is_admitted
    clock.advance(2 * MINUTE)
    assert admit(store, keys[1]).is_admitted


def test_eight_at_once_never_exceed_the_day(stores: list[Store]) -> None:
    store = stores[0]
    limit(store, 3.0)
    keys = fill(store, *[COST] * 8)

    def try_one(number: int) -> bool:
        mine, key = stores[number % len(stores)], keys[number]
        if not admit(mine, key).is_admitted:
            return False
        intend(mine, key)
        return True

    sent = at_once([partial(try_one, number) for number in range(8)])
    assert sum(sent) == 3
    assert today(store).reserved_usd == 3.0


def test_calls_are_granted_what_is_left_and_settled_with_what_they_cost(store: Store, clock: SetClock) -> None:
    limit(store, 2.0)
    (first, second) = fill(store, COST, COST, mode="sync")
    for key in (first, second):
        store.batches.apply(key, Event.ASK)
    assert store.budgets.grant(first, None, 1.5, 0.1).usd == 1.5
    assert store.budgets.grant(second, None, 1.5, 0.1).usd == 0.5
    assert store.budgets.grant(first, None, 1.5, 0.1).usd == 1.5, "a stretch that follows a crash reserves anew"
    store.batches.record(first, cost_usd=1.6)
    assert (today(store).spent_usd, today(store).reserved_usd) == (1.6, 0.5)
    waits = store.budgets.grant(first, None, 1.0, 0.1).wait
    assert waits is not None
    assert waits.until == next_day(NOON)
    clock.now = next_day(NOON)
    assert store.budgets.grant(first, None, 1.0, 0.1).usd == 1.0
    store.batches.record(first, cost_usd=2.0)
    assert [row["spent_usd"] for row in store.status.daily()] == [pytest.approx(0.4), 1.6]


def test_calls_that_go_on_when_the_day_turns_cost_the_new_one(store: Store, clock: SetClock) -> None:
    limit(store, 2.0)
    keys = fill(store, COST, COST, COST, mode="sync")
    for key in keys:
        store.batches.apply(key, Event.ASK)
    clock.now = next_day(NOON) - MINUTE / 4
    going_on = store.leases.acquire(f"batch/{keys[0]}", "poller", MINUTE)
    assert store.budgets.grant(keys[0], going_on, 1.25, 0.1).usd == 1.25
    assert store.budgets.grant(keys[1], None, 1.0, 0.1).usd == 0.75, "whoever asks this one dies"
    clock.now = next_day(NOON)
    assert store.budgets.grant(keys[2], None, 2.0, 0.1).usd == 0.75
    store.batches.record(keys[0], lease=going_on, cost_usd=1.25)
    assert store.budgets.grant(keys[2], None, 2.0, 0.1).usd == 0.75
    assert (today(store).spent_usd, today(store).reserved_usd) == (1.25, 0.75)


FreshStore = Callable[[], tuple[Store, SetClock]]


@pytest.fixture
def fresh_store(tmp_path: Path, migrated_sqlite: Path) -> Iterator[FreshStore]:
    """An empty store for each example."""
    opened: list[Store] = []

    def make() -> tuple[Store, SetClock]:
        file, clock = tmp_path / f"{len(opened)}.db", SetClock()
        shutil.copyfile(migrated_sqlite, file)
        opened.append(Store.open(f"sqlite:///{file}", clock))
        return opened[-1], clock

    yield make
    for each in opened:
        each.close()


actions = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "drop", "collect", "midnight"]),
        st.integers(0, 5),
        st.sampled_from([0.5, 1.0, 1.25]),
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=actions, usd=st.sampled_from([1.0, 2.5, 4.0]))
def test_a_day_exceeds_its_limit_only_by_what_estimates_were_wrong(
    fresh_store: FreshStore, made: list[tuple[str, int, float]], usd: float
) -> None:
    store, clock = fresh_store()
    limit(store, usd)
    keys = fill(store, *ESTIMATES)
    estimates = dict(zip(keys, ESTIMATES, strict=True))
    # By our own count, never by the ledger's: what each batch costs, or may cost, on the day on which it was sent.
    sent_on: dict[str, str] = {}
    costs: dict[str, float] = {}
    for action, number, share in made:
        key, batch = keys[number], store.batches.get(keys[number])
        assert batch is not None
        assert batch.estimated_cost_usd is not None
        if action == "send" and batch.state in (State.SEALED, State.HELD):
            if (batch.held_until or clock.now) <= clock.now and admit(store, key).is_admitted:
                store.attempts.resolve(key, intend(store, key), None, Event.ACCEPT, provider_batch_id=f"b-{key}")
                sent_on[key], costs[key] = day_of(clock.now), batch.estimated_cost_usd
        elif action == "drop" and batch.state is State.SUBMITTED:
            store.batches.apply(key, Event.BOUNCE, held_reason="tokens: full", held_until=clock.now)
            del sent_on[key]
        elif action == "collect" and batch.state is State.SUBMITTED:
            collect(store, key, batch.estimated_cost_usd * share)
            costs[key] *= share
        elif action == "midnight":
            clock.now = next_day(clock.now)
        for day in {*sent_on.values()}:
            mine = [key for key in keys if sent_on.get(key) == day]
            wrong = sum(max(costs[key] - (estimates[key] or 0.0), 0.0) for key in mine)
            assert sum(costs[key] for key in mine) <= usd + wrong + 1e-6
    ledger = {row["day"]: row["spent_usd"] + row["reserved_usd"] for row in store.status.daily()}
    for day in {*sent_on.values()}:
        assert ledger[day] == pytest.approx(sum(costs[key] for key in keys if sent_on.get(key) == day))
