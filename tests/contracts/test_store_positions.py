import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from shared.clock import system_clock
from shared.errors import PositionsPaid
from shared.store import Store
from shared.store.address import engine_for, parse
from shared.store.database import Database, serialise
from tests.rig.postgres import PostgresServer
from tests.rig.stores import plan, planned
from tests.rig.waiting import wait_until

RUN = st.tuples(st.integers(0, 40), st.integers(1, 6)).map(lambda run: (run[0], run[0] + run[1]))
Ledger = list[tuple[int, int]]


def offsets(runs: Ledger) -> set[int]:
    return {offset for start, end in runs for offset in range(start, end)}


def as_runs(paid: set[int]) -> Ledger:
    """The model: the fewest runs that hold exactly these offsets."""
    starts = sorted(offset for offset in paid if offset - 1 not in paid)
    ends = sorted(offset + 1 for offset in paid if offset + 1 not in paid)
    return list(zip(starts, ends, strict=True))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plans=st.lists(st.lists(RUN, min_size=1, max_size=4), max_size=8), low=st.integers(0, 45), width=st.integers(1, 9)
)
def test_the_ledger_is_a_set_of_offsets(store: Store, plans: list[Ledger], low: int, width: int) -> None:
    statement = uuid.uuid4().hex
    where = ("pipe", statement, "cluster", "topic", 0)
    model: set[int] = set()
    for number, runs in enumerate(plans):
        made = plan(f"{statement}-{number}", [planned(f"{statement}-{number}")], runs, statement=statement)
        if len(offsets(runs)) < sum(end - start for start, end in runs):
            with pytest.raises(ValueError, match="overlap"):
                store.plans.commit(made)
        elif model & offsets(runs):
            with pytest.raises(PositionsPaid):
                store.plans.commit(made)
        else:
            assert store.plans.commit(made)
            model |= offsets(runs)
            continue
        assert not store.plans.is_planned(made.address)

    expected = as_runs(model)
    assert store.positions.paid(*where) == expected
    reach = [(start, end) for start, end in expected if start < low + width and end > low]
    assert store.positions.paid(*where, low, low + width) == reach


def test_a_gap_is_never_covered_and_adjacent_runs_are_one(store: Store) -> None:
    def pay(name: str, *runs: tuple[int, int]) -> Ledger:
        assert store.plans.commit(plan(name, offsets=runs))
        return store.positions.paid("pipe", "sentiments", "cluster", "topic", 0)

    assert pay("a", (0, 3), (4, 6)) == [(0, 3), (4, 6)]
    assert pay("b", (6, 8)) == [(0, 3), (4, 8)]
    assert pay("c", (10, 11)) == [(0, 3), (4, 8), (10, 11)]
    assert pay("d", (3, 4), (8, 10)) == [(0, 11)]
    assert pay("e", (12, 13)) == [(0, 11), (12, 13)]


def test_an_empty_run_is_a_fault(store: Store) -> None:
    with pytest.raises(ValueError, match="is empty"):
        store.plans.commit(plan("a", offsets=[(5, 5)]))
    assert not store.plans.is_planned("a")


def test_offsets_reach_beyond_32_bits(store: Store) -> None:
    far = 2**53
    assert store.plans.commit(plan("a", offsets=[(far, far + 10)]))
    assert store.positions.paid("pipe", "sentiments", "cluster", "topic", 0, far) == [(far, far + 10)]


def test_a_database_of_another_isolation_lets_nobody_pay_twice(postgres: PostgresServer) -> None:
    """Each of two plans has begun before the other is committed; one waits for the ledger, and then has to see it."""
    name = postgres.create_database()
    engine = create_engine(postgres.url(name))
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation TO 'repeatable read'"))
    engine.dispose()
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with Store.open(postgres.url(name)) as store, ThreadPoolExecutor(2) as pool:
        database = Database(engine_for(parse(postgres.url(name))), system_clock)
        with database.write() as first:
            serialise(first, "positions/pipe/sentiments")
            # They begin and end at different offsets: no key of the table keeps one out.
            paying = [pool.submit(store.plans.commit, plan(f"file-{n}", offsets=[(n, n + 10)])) for n in (0, 5)]
            with database.read() as other:
                wait_until(lambda: other.execute(waiting).scalar() == len(paying), 30)
        failed = [error for error in (future.exception(60) for future in paying) if error is not None]
        database.engine.dispose()
        assert [type(error) for error in failed] == [PositionsPaid]
