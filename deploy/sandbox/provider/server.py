"""For tests and the demo: a fake provider in a process of its own, as a context manager."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import orjson

from deploy.sandbox.provider.witness import Witness
from deploy.sandbox.waiting import WaitTimeoutError, wait_until

START_SECONDS = 30.0
ROOT = Path(__file__).resolve().parents[3]


class ProviderServer:
    """Starts on enter, stops on exit, and with its parent however that ends.

    `port` 0 takes a free one; giving the same directory and port again is a restart of the same provider.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        limits: Mapping[str, int] | None = None,
        faults: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
        processing_seconds: float = 1.0,
        port: int = 0,
    ) -> None:
        self.directory = Path(directory).resolve()
        self.port = port
        self._options = {
            "limits": orjson.dumps(dict(limits or {})).decode(),
            "faults": orjson.dumps([dict(rule) for rule in faults]).decode(),
            "seed": str(seed),
            "processing-seconds": str(processing_seconds),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_base_url(self) -> str:
        """What OPENAI_BASE_URL wants."""
        return f"{self.base_url}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """What ANTHROPIC_BASE_URL wants."""
        return self.base_url

    @property
    def pid(self) -> int:
        """The process that serves; RuntimeError while there is none."""
        if self._process is None:
            raise RuntimeError("the fake provider isn't running: start() it first")
        return self._process.pid

    def start(self) -> Self:
        """Start the process and wait until it answers; RuntimeError with its last words if it doesn't."""
        self.directory.mkdir(parents=True, exist_ok=True)
        port_file = self.directory / "port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "deploy.sandbox.provider", "--directory", str(self.directory)]
        command += ["--port", str(self.port), "--port-file", str(port_file), "--stop-with-stdin"]
        command += [part for name, value in self._options.items() for part in (f"--{name}", value)]
        # A session of its own: Ctrl-C is for the parent, whose end then ends the provider through stdin.
        with (self.directory / "provider.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._wait(port_file)
        return self

    def _wait(self, port_file: Path) -> None:
        process = self._process
        try:
            wait_until(lambda: port_file.exists() or (process and process.poll() is not None), START_SECONDS)
            self.port = int(port_file.read_text())
            self.control("GET", "health")
        except (OSError, WaitTimeoutError) as error:
            self.stop()
            words = (self.directory / "provider.log").read_text()[-2_000:]
            raise RuntimeError(f"the fake provider didn't start; its log ends with:\n{words}") from error

    def stop(self) -> None:
        """End it as its parent's death would; kill it if it hesitates."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it with SIGKILL; `start` afterwards is a restart with the state it had on disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API; ValueError tells what it found wrong."""
        data = None if body is None else orjson.dumps(body)
        request = urllib.request.Request(f"{self.base_url}/sandbox/{path}", data=data, method=method)  # noqa: S310 our own address
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - loopback
                return orjson.loads(response.read())
        except urllib.error.HTTPError as error:
            raise ValueError(orjson.loads(error.read())["error"]) from None

    def set_fault(self, fault: str, **options: Any) -> None:
        """Switch a fault on: `times=1`, `nth=[2]`, `probability=0.1`, `endpoint="openai.*"`, and its own options."""
        self.control("POST", "faults", {"fault": fault, **options})

    def clear_faults(self, fault: str | None = None) -> None:
        self.control("DELETE", "faults" if fault is None else f"faults?fault={quote(fault)}")

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules in force, with how often each was `seen` and `struck`."""
        return list(self.control("GET", "faults"))

    def dictate(self, answers: Mapping[str, str]) -> None:
        """Say these texts to synchronous requests, by their bodies' hashes; an empty mapping forgets all of them."""
        self.control("POST" if answers else "DELETE", "answers", dict(answers) or None)

    def advance(self, seconds: float) -> None:
        """Move the provider's clock forward."""
        self.control("POST", "clock", {"advance": seconds})

    def now(self) -> float:
        return float(self.control("GET", "clock")["now"])

    def witness(self) -> Witness:
        return Witness(self.directory)
