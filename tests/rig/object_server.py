"""`python -m tests.rig.object_server PORT`: moto's S3 server, one request after the other.

moto looks whether an object is there and writes it in two steps, which S3 does in one. A POST to LOSE makes the answer
to the next write with a condition a 500, though it took effect; one to CLASH makes it a 409, and it took none.
From a POST to DEAF until one to HEED it takes no notice of conditions.
"""

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import run_simple

LOSE, CLASH, DEAF, HEED = "/-/lose-an-answer", "/-/clash", "/-/be-deaf", "/-/heed"
Environ = dict[str, Any]


class OneByOne:
    """A WSGI application that is called by one thread at a time."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application, self._lock = application, threading.Lock()
        self._fault: str | None = None

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            if environ["PATH_INFO"] in (LOSE, CLASH, DEAF, HEED):
                self._fault = environ["PATH_INFO"]
                start_response("204 No Content", [])
                return []
            if self._fault == DEAF:
                environ.pop("HTTP_IF_NONE_MATCH", None)
            if self._fault in (LOSE, CLASH) and "HTTP_IF_NONE_MATCH" in environ:
                return [self._failed(environ, start_response)]
            try:
                return [b"".join(self._application(environ, start_response))]
            except KeyError:
                # moto's way of saying that an upload was aborted.
                return [_error(start_response, "404 Not Found", "NoSuchUpload")]

    def _failed(self, environ: Environ, start_response: Callable[..., Any]) -> bytes:
        fault, self._fault = self._fault, None
        if fault == LOSE:
            b"".join(self._application(environ, lambda *_: None))
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return b""
        return _error(start_response, "409 Conflict", "ConditionalRequestConflict")


def _error(start_response: Callable[..., Any], status: str, code: str) -> bytes:
    said = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(said)))])
    return said


def main(port: int) -> None:
    """Serve on loopback until the process is ended."""
    application = OneByOne(create_backend_app("s3"))
    run_simple("127.0.0.1", port, application, threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
