"""The operator's end of the desk: a process of its own, so that Flink's worker stays small and answers at once.

The desk says on its standard output what was submitted, logs on its standard error, and ends with its standard input,
however this one ends.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping

import orjson

from shared.errors import BatchlineError
from submitter.desk.errand import Errand

LOG = logging.getLogger("batchline.desk")
LEVELS = {name.lower(): level for name, level in logging.getLevelNamesMapping().items()}
AGAIN_SECONDS = 2.0
CLOSE_SECONDS = 25.0


class RunOver(BatchlineError):
    """The job's run is over: cancel the job; the message says why."""


class DeskProcess:
    """A desk that is begun again whenever it dies; all that lasts is in store and spool."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._events: dict[str, dict[str, str]] = {}
        self._over: str | None = None
        self._closing = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._listen, name="desk", daemon=True)
        self._thread.start()

    def announcements(self, statement: str) -> Mapping[str, str] | None:
        """The event of each submitted batch that still is of interest, by key; None while that is not known.

        Raises RunOver, so that the job fails, whether a command is there to end it or not.
        """
        if self._over:
            raise RunOver(self._over)
        return self._events.get(statement)

    def close(self) -> None:
        """Let what is under way come to its durable step."""
        self._closing.set()
        process = self._process
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for thread in (self._thread, self._log):
            thread.join(CLOSE_SECONDS)

    def _start(self) -> "subprocess.Popen[bytes]":
        # A worker on a cluster may have found this package on a path of its own.
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        process = subprocess.Popen(
            [sys.executable, "-m", "submitter.desk.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        )
        self._log = threading.Thread(target=_pass_on, args=(process.stderr or (),), name="desk's log", daemon=True)
        self._log.start()
        if process.stdin:
            process.stdin.write(self._errand.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        return process

    def _listen(self) -> None:
        while not self._closing.is_set():
            for line in self._process.stdout or ():
                # A desk that is killed in mid-word leaves a line without its end; its successor says all of it again.
                if line.endswith(b"\n"):
                    self._hear(line)
            code = self._process.wait()
            if self._over or self._closing.wait(AGAIN_SECONDS):
                return
            LOG.warning("the desk ended with %s and is begun again", code)
            try:
                self._process = self._start()
            except OSError:
                LOG.exception("the desk can't be begun; it is tried again")

    def _hear(self, line: bytes) -> None:
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            # Whatever Python itself runs at its start may speak on our line.
            LOG.warning("not a word of the desk's: %r", line[:200])
            return
        if "over" in said:
            self._over = str(said["over"])
            return
        if said.get("all"):
            self._events.pop(said["statement"], None)
        known = self._events.get(said["statement"], {})
        kept = {key: event for key, event in known.items() if key not in said["gone"]}
        self._events[said["statement"]] = {**kept, **said["new"]}


def _pass_on(said: Iterable[bytes]) -> None:
    """Log what the desk logs. Flink keeps what a worker logs, but not what stands on its standard error."""
    for line in said:
        text = line.decode(errors="replace").rstrip()
        _, _, words = text.partition(" ")
        LOG.log(LEVELS.get(words.partition(" ")[0], logging.WARNING), "%s", text)
