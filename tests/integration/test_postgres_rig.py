"""The tests' PostgreSQL: a database for each test, and a server that can go away and come back."""

import psycopg
import pytest

from tests.rig.postgres import PostgresServer


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True)


def test_each_test_has_an_empty_database_and_the_server_keeps_it(postgres: PostgresServer, postgres_url: str) -> None:
    with connect(postgres_url) as connection:
        connection.execute("CREATE TABLE kept (n INT)")
    postgres.stop()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect(postgres_url)
    postgres.start()
    with connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    with connect(postgres.url(postgres.create_database())) as other:
        assert other.execute("SELECT to_regclass('kept')").fetchone() == (None,)
