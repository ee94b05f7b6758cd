"""A running Flink job, asked over its REST interface: state, vertices, checkpoints; and what we tell it."""

import json
import urllib.error
import urllib.request
from typing import Any

from submitter.job.progress import Glimpse, Vertex

_TIMEOUT = 10.0
_PYTHON = "Traceback (most recent call last):"


class FlinkAway(Exception):
    """The REST interface does not answer, or does not know the job."""


class FlinkRest:
    """One cluster's REST interface at `address` (http://host:port)."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def state(self, job_id: str) -> str | None:
        """Flink's word for a job's state; None for a job that the cluster does not know. Raises FlinkAway."""
        try:
            return str(self._get(f"/jobs/{job_id}/status")["status"])
        except FlinkAway as away:
            if isinstance(away.__cause__, urllib.error.HTTPError) and away.__cause__.code == 404:
                return None
            raise

    def glimpse(self, job_id: str) -> Glimpse:
        """The job as it stands. Raises FlinkAway."""
        job = self._get(f"/jobs/{job_id}")
        edges = self._get(f"/jobs/{job_id}/plan")["plan"]["nodes"]
        inputs = {node["id"]: [edge["id"] for edge in node.get("inputs", ())] for node in edges}
        checkpoints = self._get(f"/jobs/{job_id}/checkpoints")
        completed = checkpoints["latest"]["completed"] or {}
        return Glimpse(
            state=job["state"],
            now=job["now"] / 1000,
            vertices=tuple(
                Vertex(
                    id=vertex["id"],
                    name=vertex["name"],
                    status=vertex["status"],
                    inputs=tuple(inputs.get(vertex["id"], ())),
                    read=vertex["metrics"]["read-records"],
                )
                for vertex in job["vertices"]
            ),
            checkpoint=completed.get("id"),
            checkpoint_begun=completed["trigger_timestamp"] / 1000 if completed else None,
            restored=(checkpoints["latest"].get("restored") or {}).get("id"),
        )

    def failures(self, job_id: str) -> list[str]:
        """The root causes of the job's last failures, newest first. Raises FlinkAway."""
        history = self._get(f"/jobs/{job_id}/exceptions?maxExceptions=5").get("exceptionHistory", {})
        return [root_cause(entry["stacktrace"]) for entry in history.get("entries", [])]

    def checkpoint(self, job_id: str) -> None:
        """Ask for a checkpoint now; what becomes of it shows in the next glimpses. Raises FlinkAway."""
        self._call("POST", f"/jobs/{job_id}/checkpoints", {"checkpointType": "FULL"})

    def cancel(self, job_id: str) -> None:
        """Raises FlinkAway."""
        self._call("PATCH", f"/jobs/{job_id}?mode=cancel", None)

    def _get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def _call(self, method: str, path: str, body: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is Flink's own configuration
            self._address + path, None if body is None else json.dumps(body).encode(), method=method
        )
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - as above
                return json.load(answer)
        except (OSError, ValueError) as error:
            raise FlinkAway(f"Flink at {self._address} does not answer {path.partition('?')[0]}: {error}") from error


def root_cause(trace: str) -> str:
    """The last `Caused by` of a Java stack trace, or its first line; and whether it came while a state was read.

    What Python raised in a worker stands below its own frames, which are indented as Java's are.
    """
    lines = trace.splitlines() or [""]
    last = max((at for at, line in enumerate(lines) if line.startswith("Caused by: ")), default=0)
    cause = lines[last].removeprefix("Caused by: ").strip()
    if cause.endswith(_PYTHON):
        cause = next((line.strip() for line in lines[last + 1 :] if line and not line[0].isspace()), cause)
    return f"{cause} (while a state was restored)" if "CheckpointCoordinator.restoreSavepoint" in trace else cause


def is_of_state(cause: str) -> bool:
    """Whether a root cause says that a state can't be used."""
    words = ("FileNotFoundException", "restore", "StateMigration", "CheckpointException", "NoSuchUpload")
    return any(word in cause for word in words)
