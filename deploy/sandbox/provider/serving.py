"""Serves the application with uvicorn in this process; can cut a connection, and ends with its parent."""

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from deploy.sandbox.provider.app import create_app
from deploy.sandbox.provider.engine import Engine


class AbortableProtocol(H11Protocol):
    """Puts `abort` into the scope: it resets the connection, as a lost response looks to a client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a TCP transport always
        super().connection_made(transport)
        app = self.app

        async def with_abort(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "abort": transport.abort}, receive, send)

        self.app = with_abort


class _Server(uvicorn.Server):
    """Tells its port once it listens."""

    def __init__(self, config: uvicorn.Config, port_file: Path | None) -> None:
        super().__init__(config)
        self._port_file = port_file

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        if self._port_file is not None:
            temporary = self._port_file.with_suffix(".tmp")
            temporary.write_text(str(port))
            temporary.replace(self._port_file)
        else:
            print(f"provider listens on http://{self.config.host}:{port}", flush=True)


def _end_with_stdin(server: uvicorn.Server) -> None:
    """Stop when stdin reaches its end, which it does when the parent dies, however it dies."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1_024):
            pass
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()


def serve(engine: Engine, host: str, port: int, port_file: Path | None, *, stop_with_stdin: bool) -> None:
    """Serve until a signal (or the end of stdin) comes."""
    config = uvicorn.Config(
        create_app(engine),
        host=host,
        port=port,
        http=AbortableProtocol,
        ws="none",
        # A download that is cut on purpose would fill the log with its traceback.
        log_level="critical",
        # As long as the providers' own front ends keep an idle connection: a client must not meet its end by chance.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config, port_file)
    if stop_with_stdin:
        _end_with_stdin(server)
    server.run()
