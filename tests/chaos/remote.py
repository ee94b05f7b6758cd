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
        return self._call(method, f"/sandbox/{path}", body, {})

    def _call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, None if body is None else orjson.dumps(body), headers)
            response = connection.getresponse()
            answer = orjson.loads(response.read())
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise ValueError(answer["error"])
        return answer

    def create_as_a_stranger(self, requests: int) -> None:
        """A batch of somebody else's in the same workspace, at Anthropic."""
        message = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "strange"}]}
        body = {"requests": [{"custom_id": f"strange-{n}", "params": message} for n in range(requests)]}
        headers = {"x-api-key": "strangers-key", "anthropic-version": "2023-06-01"}
        self._call("POST", "/v1/messages/batches", body, headers)

    def witness(self) -> Witness:
        return Witness(self.directory)
