import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import StoreUnavailable
from shared.lifecycle import Event, State
from shared.store import Store
from shared.store.batch_rows import advance
from tests.rig.postgres import PostgresServer, postgres_binaries, postgres_server
from tests.rig.stores import NOON, intend, planned, put


@pytest.fixture
def own_postgres(postgres: PostgresServer) -> Iterator[PostgresServer]:  # noqa: ARG001 - it skips where none is installed
    """A server to be stopped."""
    binaries = postgres_binaries()
    assert binaries
    with postgres_server(binaries) as server:
        yield server


def test_a_server_that_stops_is_waited_for_and_comes_back(own_postgres: PostgresServer) -> None:
    store = Store.open(own_postgres.url())
    put(store, planned())
    own_postgres.stop()
    for verb in (lambda: store.batches.get("k-0"), lambda: intend(store), lambda: Store.open(own_postgres.url())):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1"):
            verb()
    own_postgres.start()
    assert intend(store).attempt == 1
    batch = store.batches.get("k-0")
    assert batch
    assert batch.state is State.SUBMITTING
    store.close()


def test_a_server_that_stops_in_a_transaction_keeps_nothing_of_it(own_postgres: PostgresServer) -> None:
    store = Store.open(own_postgres.url())
    put(store, planned())

    def cut_short() -> None:
        with store.batches._database.write() as connection:
            advance(connection, NOON, "k-0", Event.INTEND, {})
            own_postgres.stop()

    with pytest.raises(StoreUnavailable):
        cut_short()
    own_postgres.start()
    batch = store.batches.get("k-0")
    assert batch
    assert batch.state is State.SEALED
    store.close()


def test_a_wrong_password_is_not_shown(own_postgres: PostgresServer) -> None:
    url = own_postgres.url().replace("tester:", "tester:hunter2")
    with pytest.raises(StoreUnavailable, match=r"tester:\*\*\*@") as told:
        Store.open(url)
    assert "hunter2" not in str(told.value)


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StoreUnavailable, match=r"state/state\.db can't be opened"):
        Store.open(f"sqlite:///{tmp_path}/state/state.db")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("SET 'batchline.pipeline' = 'a';" * 100)
    with pytest.raises(StoreUnavailable, match=r"state\.db can't be used: file is not a database"):
        Store.open(f"sqlite:///{tmp_path}/state.db")


def test_readers_go_on_while_another_process_writes(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/state.db") as store:
        put(store, planned())
        other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE batches SET error = 'not yet committed'")
        batch = store.batches.get("k-0")
        assert batch
        assert batch.error is None
        other.execute("COMMIT")
        other.close()
        batch = store.batches.get("k-0")
        assert batch
        assert batch.error == "not yet committed"
