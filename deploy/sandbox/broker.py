"""Apache Kafka itself (KRaft) on loopback, from the jars that `make setup` fetched; alone, or as a second node."""

import base64
import contextlib
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.sandbox.child import Child
from deploy.sandbox.listeners import Listener, listener_settings
from deploy.sandbox.ports import free_ports
from deploy.sandbox.topics import TopicSettings, create_topics
from deploy.sandbox.waiting import WaitTimeoutError, wait_until

JARS = Path(__file__).parents[1] / "jars" / "kafka"

# What differs from Kafka's own defaults, because this broker is alone, small and short-lived.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    # A mistyped topic must be an error, and no topic may come to life with settings that nobody chose.
    "auto.create.topics.enable": "false",
    # There is one broker to replicate to, and it needn't spread its inner topics over 50 partitions.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "8",
    # Nobody else will join: a consumer group starts at once.
    "group.initial.rebalance.delay.ms": "0",
    # A dead producer's transaction is aborted a second after its timeout, not up to ten.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # After a SIGKILL it can't register again before its old registration has ended; the default is 9 s.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "1000",
    # The default, 128 MB, is a third of the heap.
    "log.cleaner.dedupe.buffer.size": "8388608",
    "num.network.threads": "2",
    "num.io.threads": "4",
}
# The second compiler costs more in the seconds after the start than it brings on two cores.
JVM = [
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    # Statistics that would lie in the system's temporary folder, and outlive a SIGKILL.
    "-XX:-UsePerfData",
]
LOG4J = """\
status = error
appender.file.type = File
appender.file.name = file
appender.file.fileName = {log}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c: %m%n
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
"""
ATTEMPTS_AT_PORTS = 5


class BrokerError(RuntimeError):
    """The local broker did not start, or is not there."""


class LocalBroker:
    """A broker from `with` to its end; `restart` and `kill` keep its port and its data."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        jars: Path = JARS,
        settings: Mapping[str, str] | None = None,
        listeners: Sequence[Listener] = (),
        joins: "LocalBroker | None" = None,
    ) -> None:
        """Data and logs go to `directory` (which stays), else to a temporary one (which goes).

        `settings` are broker settings by Kafka's own names; they win over SETTINGS. `listeners` stand beside the one
        without encryption and passwords, which the broker itself uses. Who `joins` a running one is broker 2 of its
        cluster, and leaves the controller to it.
        """
        if not any(jars.glob("kafka_2.13-*.jar")):
            raise BrokerError(f"no Kafka broker among the jars in {jars}: run `make setup`")
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="batchline-kafka-"))
        self._classpath = f"{jars}{os.sep}*"
        role = {"process.roles": "broker", "node.id": "2"} if joins else {}
        self._settings = {**SETTINGS, **role, **(settings or {})}
        self._joins = joins
        self._listeners = tuple(listeners)
        self._addresses: dict[str, str] = {}
        self.controller = self.cluster = ""
        """The controller's address, and the cluster's id: who joins needs them."""
        self._child: Child | None = None
        self._bootstrap = ""

    @property
    def bootstrap(self) -> str:
        """The address for `bootstrap.servers`."""
        return self._bootstrap

    def address(self, listener: str) -> str:
        """The address of one of `listeners`, for `bootstrap.servers`."""
        return self._addresses[listener]

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Start it for the first time, on free ports, and return when it answers."""
        for attempt in range(ATTEMPTS_AT_PORTS):
            self._configure(*free_ports(2 + len(self._listeners)))
            self._format()
            try:
                self._run()
            except BrokerError as failed:
                if attempt + 1 < ATTEMPTS_AT_PORTS and "Address already in use" in str(failed):
                    continue
                raise
            return

    def kill(self) -> None:
        """SIGKILL, as a machine that loses its power; `restart` brings it back with its data."""
        self._running().kill()
        self.stop()

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same port with the same data; return when it answers."""
        self.stop()
        self._run()

    def rebuild(self) -> None:
        """Lose all data, and come back at the same addresses as another cluster, with another id."""
        self.stop()
        shutil.rmtree(self.directory / "data")
        self._format()
        self._run()

    def stop(self) -> None:
        """SIGTERM, and wait; a broker that doesn't run stays as it is."""
        if self._child:
            self._child.terminate()
            self._child = None

    def create_topics(self, topics: Mapping[str, TopicSettings]) -> None:
        """As deploy.sandbox.topics.create_topics, on this broker."""
        create_topics(self.bootstrap, topics)

    def _running(self) -> Child:
        if self._child is None:
            raise BrokerError("the local broker doesn't run")
        return self._child

    def _configure(self, port: int, controller: int, *more: int) -> None:
        self._bootstrap = f"127.0.0.1:{port}"
        self._addresses = {
            listener.name: f"127.0.0.1:{number}" for listener, number in zip(self._listeners, more, strict=True)
        }
        self.controller = self._joins.controller if self._joins else f"127.0.0.1:{controller}"
        listeners = listener_settings(
            self._bootstrap, self.controller, self._listeners, self._addresses, is_controller=self._joins is None
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        lines = [
            f"{name}={value}\n"
            for name, value in {**listeners, "log.dirs": str(self.directory / "data"), **self._settings}.items()
        ]
        (self.directory / "server.properties").write_text("".join(lines))
        (self.directory / "log4j2.properties").write_text(LOG4J.format(log=self.directory / "broker.log"))

    def _format(self) -> None:
        """Give a new data directory its cluster id; one that has been formatted before keeps its own."""
        if (self.directory / "data" / "meta.properties").exists():
            return
        own = "B" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:21]
        self.cluster = self._joins.cluster if self._joins else own
        format_ = ["format", "--cluster-id", self.cluster, "--config", "server.properties"]
        with self._java(["kafka.tools.StorageTool", *format_]) as tool:
            if tool.wait(60) != 0:
                raise BrokerError(f"the broker's data directory can't be formatted:\n{tool.tail()}")

    def _run(self) -> None:
        self._child = child = self._java(["kafka.Kafka", "server.properties"])
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200})

        def answers() -> bool:
            if not child.running:
                raise BrokerError(f"the broker ended with {child.returncode}:\n{self._log_tail(child)}")
            host, port = self.bootstrap.split(":")
            with contextlib.suppress(OSError, KafkaException), socket.create_connection((host, int(port)), 1):
                return bool(admin.list_topics(timeout=2).brokers)
            return False

        try:
            wait_until(answers, 60, "the broker's first answer")
        except (BrokerError, WaitTimeoutError) as failed:
            tail = self._log_tail(child)
            self.stop()
            raise BrokerError(f"{failed}\n{tail}") from failed

    def _java(self, arguments: list[str]) -> Child:
        home = os.environ.get("JAVA_HOME")
        java = Path(home, "bin", "java") if home else "java"
        log4j = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}"
        return Child(
            [java, *JVM, f"-Djava.io.tmpdir={self.directory}", log4j, "-cp", self._classpath, *arguments],
            log=self.directory / "stdout.log",
            cwd=self.directory,
            temporary=self.directory if self._temporary else None,
        )

    def _log_tail(self, child: Child) -> str:
        with contextlib.suppress(FileNotFoundError):
            return f"{child.tail(15)}\n" + "\n".join((self.directory / "broker.log").read_text().splitlines()[-15:])
        return child.tail(15)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)
