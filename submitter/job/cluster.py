"""Where the job runs: the mini-cluster within this process, or another cluster through the wheel's own `flink run`."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyflink
from py4j.protocol import Py4JError
from pyflink.table import StreamTableEnvironment

from shared.errors import BatchlineError
from shared.spool import Spool
from submitter import jvm
from submitter.job.assembly import assemble
from submitter.job.configuration import Start, embedded
from submitter.job.file_systems import load_file_systems
from submitter.job.rest import FlinkAway, FlinkRest, is_of_state, root_cause
from submitter.pipeline.flink import with_connectors
from submitter.pipeline.values import Pipeline

HOME = Path(str(pyflink.__file__)).parent
ENTRY = Path(__file__).parents[1] / "remote.py"
HAND_OVER_SECONDS = 20.0
"""How long a stop waits for `flink run` to say whether the cluster took the job."""
_LOOK_SECONDS = 0.2


class LaunchError(BatchlineError):
    """Flink did not take the job; the message has its reason."""


class Unrestorable(LaunchError):
    """Flink did not take the job, as it can't use the state that it was to restore."""


class EmbeddedCluster:
    """The mini-cluster of this process's JVM."""

    local = True

    def __init__(self, tables: StreamTableEnvironment, spool: Spool, theirs: Mapping[str, str]) -> None:
        self._tables, self._spool = tables, spool
        self._port = int(theirs.get("rest.port", 0)) or _free_port()
        self._client: Any = None
        self._result: Any = None
        self.rest = FlinkRest(f"http://127.0.0.1:{self._port}")
        self.log = "no log yet"

    def is_live(self, _job_id: str) -> bool:
        """Never: an embedded job dies with its process."""
        return False

    def launch(self, pipeline: Pipeline, start: Start, configuration: Mapping[str, str]) -> None:
        """Start the job. Raises LaunchError, Unrestorable."""
        log = self._spool.files.home(f"{pipeline.name}/log") / "flink.log"
        jvm.log_to(log)
        self.log = str(log)
        if not self._spool.files.url.startswith("file:"):
            load_file_systems(configuration, os.environ)
        for name, value in {**embedded(self._port), **configuration}.items():
            self._tables.get_config().set(name, value)
        job = assemble(self._tables, pipeline, start)
        try:
            self._client = job.execute()
        except Exception as error:
            cause = root_cause(str(error))
            if start.restore and is_of_state(cause):
                raise Unrestorable(cause) from error
            raise LaunchError(f"Flink did not take the job: {cause}") from error
        self._result = self._client.get_job_execution_result()

    def ended(self) -> str | None:
        """Why the job ended by itself, and the mini-cluster with it; None while it runs."""
        if self._result is None or not self._result.done():
            return None
        try:
            self._result.result()
        except Exception as error:  # noqa: BLE001 - whatever ended the job, the user is to read it
            return root_cause(str(error))
        return "it has finished"

    def cancel(self, _job_id: str) -> None:
        """Cancel, and wait for it. A JVM that was stopped with us has ended the job already."""
        if self._client is not None:
            with contextlib.suppress(Py4JError):
                self._client.cancel().result()


class RemoteCluster:
    """A cluster of its own, reached over REST; the job outlives this process."""

    local = False

    def __init__(self, theirs: Mapping[str, str], spool: Spool, stop: threading.Event) -> None:
        self._stop = stop
        address, port = theirs.get("rest.address", "localhost"), theirs.get("rest.port", "8081")
        self.rest = FlinkRest(f"http://{address}:{port}")
        self.log = "the cluster's own logs"
        self._spool = spool
        self._is_taken = False

    def is_live(self, job_id: str) -> bool:
        """Whether the cluster still runs a job. Raises LaunchError where it does not answer."""
        try:
            return self.rest.state(job_id) not in (None, "FINISHED", "FAILED", "CANCELED")
        except FlinkAway as away:
            raise LaunchError(str(away)) from away

    def launch(self, pipeline: Pipeline, start: Start, configuration: Mapping[str, str]) -> None:
        """Hand the job to the cluster, which runs the same file. Raises LaunchError."""
        options = with_python(with_connectors(configuration))
        with TemporaryDirectory(prefix="batchline-") as folder:
            handed = Path(folder, "start.json")
            handed.write_text(start.model_dump_json())
            command = [
                str(HOME / "bin" / "flink"),
                "run",
                "--detached",
                *(f"-D{name}={value}" for name, value in options.items()),
                "-pyexec",
                options["python.executable"],
                "-pyclientexec",
                sys.executable,
                "-py",
                str(ENTRY),
                str(pipeline.file),
                str(handed),
                options["pipeline.jars"],
            ]
            code, out, err = self._hand_over(command)
        if code != 0:
            raise LaunchError(f"flink run did not take the job:\n{_tail(out)}\n{_tail(err)}")
        self._is_taken = True

    def ended(self) -> str | None:
        """None: a job's end shows over REST."""
        return None

    def cancel(self, job_id: str) -> None:
        """Cancel what the cluster has of the job. Raises LaunchError where it took one, and does not answer now."""
        try:
            if self.rest.state(job_id) is not None:
                self.rest.cancel(job_id)
        except FlinkAway as away:
            if self._is_taken:
                raise LaunchError(str(away)) from away

    def _hand_over(self, command: Sequence[str]) -> tuple[int, str, str]:
        """The exit code of `flink run`, and what it said.

        It is out of a terminal's Ctrl-C: broken off amid its call, it would leave open whether the cluster has the job.
        """
        left = HAND_OVER_SECONDS
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env=_environment(), stdout=pipe, stderr=pipe, text=True, start_new_session=True
        ) as process:
            while True:
                try:
                    out, err = process.communicate(timeout=_LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    left -= _LOOK_SECONDS if self._stop.is_set() else 0.0
                    if left <= 0:
                        os.killpg(process.pid, signal.SIGKILL)
                else:
                    return process.returncode, out, err


def with_python(options: Mapping[str, str]) -> dict[str, str]:
    """The options, with Flink's own Python jar among the job's: `pipeline.jars` replaces what `flink run` would add."""
    jars = [jar for jar in options.get("pipeline.jars", "").split(";") if jar]
    if not any("flink-python" in jar for jar in jars):
        jars += [jar.as_uri() for jar in (HOME / "opt").glob("flink-python*.jar")]
    return {**options, "pipeline.jars": ";".join(jars)}


def _environment() -> dict[str, str]:
    return {**os.environ, "FLINK_HOME": str(HOME)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-15:])
