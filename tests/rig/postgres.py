"""A PostgreSQL server of the tests' own: Debian's binaries, a temporary directory, an unprivileged user, loopback."""

import os
import pwd
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from deploy.sandbox.child import Child
from deploy.sandbox.ports import free_ports
from deploy.sandbox.waiting import wait_until

# Durability against a power cut is of no use to a server that lives as long as a test run.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    # In its own directory: a server that is killed with all its processes leaves nothing in the machine's memory then.
    "dynamic_shared_memory_type": "mmap",
    "max_connections": "200",
}


def postgres_binaries() -> Path | None:
    """The folder of `initdb` and `postgres`: Debian's newest, or that of the PATH."""
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if versions:
        return max(versions, key=lambda folder: float(folder.parent.name))
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


class PostgresServer:
    """A server that can stop and start again with its port and data, as a store that goes away and comes back."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        # PostgreSQL refuses root.
        self._user = _unprivileged_user() if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="batchline-postgres-"))
        self._password = secrets.token_hex(16)
        self._port = free_ports(1)[0]
        self._server: Child | None = None

    def url(self, database: str = "postgres") -> str:
        """The address of a database, as SQLAlchemy writes it."""
        return f"postgresql+psycopg://tester:{self._password}@127.0.0.1:{self._port}/{database}"

    def create_database(self) -> str:
        """A new, empty database; its name."""
        name = f"test_{secrets.token_hex(6)}"
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    def start(self) -> None:
        """Start it, for the first time with a new data directory, and return when it answers."""
        if not (self._directory / "data").exists():
            self._initialise()
        options = [argument for name, value in SETTINGS.items() for argument in ("-c", f"{name}={value}")]
        self._server = self._child(["postgres", "-D", self._directory / "data", "-p", str(self._port), *options])
        wait_until(self._answers, 30, "PostgreSQL's first answer")

    def stop(self) -> None:
        """Stop it, whoever is connected."""
        if self._server:
            if self._server.running:
                self._server.signal(signal.SIGINT)
                self._server.wait(30)
            self._server.terminate()
            self._server = None

    def restart(self, *, kill: bool = False) -> None:
        """Stop it and start it again; `kill` as after a crash: it recovers from its log."""
        if kill and self._server and self._server.running:
            # PostgreSQL's own immediate shutdown: SIGKILL would leave its children, and their shared memory.
            self._server.signal(signal.SIGQUIT)
            self._server.wait(30)
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _initialise(self) -> None:
        password = self._directory / "password"
        password.write_text(self._password)
        if self._user:
            for path in (self._directory, password):
                shutil.chown(path, self._user)
        how = [
            "--username=tester",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        with self._child(["initdb", "-D", self._directory / "data", *how]) as initdb:
            assert initdb.wait(60) == 0, initdb.tail()
        password.unlink()

    def _answers(self) -> bool:
        assert self._server
        assert self._server.running, self._server.tail()
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self._port,
            dbname="postgres",
            user="tester",
            password=self._password,
            connect_timeout=5,
            autocommit=True,
        )

    def _child(self, argv: list[str | Path]) -> Child:
        command, *rest = argv
        log = self._directory / "log"
        executable, folder = self._binaries / command, self._directory
        return Child([executable, *rest], log=log, cwd=folder, user=self._user, temporary=folder)


def _unprivileged_user() -> str:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL doesn't run as root, and there is neither a user postgres nor nobody")


@contextmanager
def postgres_server(binaries: Path) -> Iterator[PostgresServer]:
    """A running server, removed at the end."""
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()
