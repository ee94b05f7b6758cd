"""A worker's slot: a broker, a PostgreSQL server, a migrated store to copy, and the zygote; kept for many runs."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import orjson
import psutil
import psycopg
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.topics import TopicSettings
from shared.store import Store
from shared.store.tables import installation, metadata
from tests.chaos.lives import Life
from tests.rig.certificates import write_one
from tests.rig.postgres import PostgresServer, postgres_binaries

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")
BROKER = {
    # The poller's consumer is to have its partitions again soon after its predecessor was killed.
    "group.min.session.timeout.ms": "100",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "2",
    "log.cleaner.enable": "false",
}
AHEAD = 20
"""Runs whose topics are made by one call."""


class Slot:
    """Runs go one after another in a slot, on topics and stores of their own."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._topics: list[str] = []
        self._used: list[str] = []
        self._postgres: PostgresServer | None = None
        self._database = ""
        self.lives_cpu = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            memory = MEMORY if MEMORY.is_dir() else None
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="batchline-chaos-", dir=memory)))
            # First of all, so that whatever becomes of this process the folder is removed.
            self._zygote = _start_zygote(self.folder)
            stack.callback(self._end_zygote)
            self.broker = stack.enter_context(LocalBroker(self.folder / "kafka", settings=BROKER))
            _await(self._zygote)
            self.certificates = write_one(self.folder / "certificates.pem")
            self.template = self.folder / "template.db"
            Store.open(f"sqlite:///{self.template}").close()
            servers: dict[str, str | int | float | bool] = {
                "bootstrap.servers": self.broker.bootstrap,
                "log_level": 0,
                "reconnect.backoff.max.ms": 500,
            }
            self.admin = AdminClient(servers)
            self.producer = Producer({**servers, "linger.ms": 0})
            self.consumer = Consumer(
                {
                    **servers,
                    "group.id": "oracle",
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "isolation.level": "read_committed",
                    "fetch.wait.max.ms": 20,
                    "fetch.error.backoff.ms": 20,
                }
            )
            stack.callback(self.consumer.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def postgres(self) -> PostgresServer:
        """Started when it is first asked for."""
        if self._postgres is None:
            binaries = postgres_binaries()
            if binaries is None:
                raise RuntimeError("PostgreSQL's server isn't installed (Debian, Ubuntu: apt-get install postgresql)")
            self._postgres = PostgresServer(binaries)
            self._stack.callback(self._postgres.remove)
            self._postgres.start()
            self._database = self._postgres.create_database()
            Store.open(self._postgres.url(self._database)).close()
        return self._postgres

    def cpu(self) -> float:
        """Seconds of processor so far, of this process, its broker and the lives that have ended."""
        own = psutil.Process()
        java = [child.cpu_times() for child in own.children() if child.name() == "java"]
        return time.process_time() + self.lives_cpu + sum(each.user + each.system for each in java)

    def topics(self) -> tuple[str, str, str]:
        """New topics of one run: batches, progress, answers."""
        if not self._topics:
            self._topics = [uuid4().hex[:10] for _ in range(AHEAD)]
            ours = TopicSettings(partitions=1, cleanup="compact")
            shards = TopicSettings(partitions=2, cleanup="compact")
            kinds = {"batches": ours, "progress": shards, "answers": TopicSettings()}
            self.broker.create_topics({f"{kind}-{tag}": of for tag in self._topics for kind, of in kinds.items()})
        tag = self._topics.pop()
        self._used.append(tag)
        return f"batches-{tag}", f"progress-{tag}", f"answers-{tag}"

    def forget_topics(self) -> None:
        """Let the broker delete the topics of runs that are over, many at a time."""
        if len(self._used) >= AHEAD:
            names = [f"{kind}-{tag}" for tag in self._used for kind in ("batches", "progress", "answers")]
            self._used.clear()
            for deleted in self.admin.delete_topics(names).values():
                deleted.result(30)

    def new_store(self, kind: str, folder: Path) -> str:
        """The address of an empty store with an installation of its own."""
        if kind == "sqlite":
            file = folder / "state.db"
            shutil.copyfile(self.template, file)
            return f"sqlite:///{file}"
        url = self.postgres.url(self._database)
        names = ", ".join(table.name for table in metadata.sorted_tables if table is not installation)
        with closing(psycopg.connect(url.replace("+psycopg", ""), autocommit=True)) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute(f"TRUNCATE {names}".encode())
        return url

    def fork(self, role: str, spec: Mapping[str, Any], environ: Mapping[str, str], log: Path) -> Life:
        """Begin a life."""
        order = {"do": "fork", "role": role, "spec": spec, "environ": dict(environ), "log": str(log)}
        return Life(role, int(self._order(order)["pid"]), self._reap)

    def _reap(self, pid: int) -> int:
        ended = self._order({"do": "reap", "pid": pid})
        self.lives_cpu += float(ended["cpu"])
        return int(ended["code"])

    def _order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        orders, answers = self._zygote.stdin, self._zygote.stdout
        assert orders
        assert answers
        orders.write(orjson.dumps(order) + b"\n")
        orders.flush()
        answer: dict[str, Any] = orjson.loads(answers.readline())
        return answer

    def _end_zygote(self) -> None:
        self._zygote.kill()
        self._zygote.wait()


def _start_zygote(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.zygote", folder],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        # Neither Ctrl-C nor a signal to all of a group is for it: its slot ends it, or the end of its orders.
        start_new_session=True,
    )


def _await(zygote: "subprocess.Popen[bytes]") -> None:
    """Wait until everything is imported."""
    assert zygote.stdout
    assert orjson.loads(zygote.stdout.readline()) == {"ready": True}
