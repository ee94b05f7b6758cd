"""The slot's end of a run's fake provider: where its files are, where it listens, its control API."""

import http.client
from pathlib import Path
from typing import Any

import orjson

from deploy.sandbox.provider.witness import Witness

PROCESSING = 0.12
"""Seconds from a batch's create to its end."""


class Remote:
    """The provider itself is a life."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory, self._seed = directory, seed
        directory.mkdir()
        self._port_file = directory / "port"
        self.port = 0

    def spec(self) -> dict[str, Any]:
        """What its life is told; the port that it had before stays its own."""
        self._port_file.unlink(missing_ok=True)
        return {
            "directory": str(self.directory),
            "seed": self._seed,
            "rules": [],
            "processing": PROCESSING,
            "port": self.port,
            "port_file": str(self._port_file),
        }

    def is_listening(self) -> bool:
        if self._port_file.exists():
            self.port = int(self._port_file.read_text())
            return True
        return False

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API; ValueError tells what it found wrong, OSError that it is down."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, f"/sandbox/{path}", None if body is None else orjson.dumps(body))
            response = connection.getresponse()
            answer = orjson.loads(response.read())
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise ValueError(answer["error"])
        return answer

    def witness(self) -> Witness:
        return Witness(self.directory)
