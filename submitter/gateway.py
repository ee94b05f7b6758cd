"""The way to Flink's JVM: each Python thread has a connection of its own, and so one Java thread that serves it.

Calcite keeps its metadata provider, and Java its class loader, with the Java thread. Py4J's pool hands out whichever
connection came back last, so that a call of another thread, be it only a finaliser's, could move this thread's next
call to a Java thread in which the planner fails with a NullPointerException (FLINK-23020).
"""

import threading
from typing import Any

from py4j.java_gateway import GatewayClient, GatewayConnection, JavaGateway
from py4j.protocol import Py4JNetworkError
from pyflink import java_gateway  # noqa: TID251 - the one place that may


def gateway() -> JavaGateway:
    """PyFlink's gateway, which starts the JVM where it does not run yet.

    One that runs already is a user's own, whose objects keep the connections that they were made with.
    """
    is_ours = java_gateway._gateway is None  # noqa: SLF001 - it can be set but not asked for
    found = java_gateway.get_gateway()
    if is_ours:
        found.set_gateway_client(_Client(gateway_parameters=found.gateway_parameters))
    return found


def close() -> None:
    """Say nothing more to the JVM, from finalisers neither."""
    java_gateway.get_gateway()._gateway_client.is_connected = False  # noqa: SLF001 - as above


class _Own(threading.local):
    """One Python thread's connection."""

    connection: GatewayConnection | None = None
    is_free = True


class _Client(GatewayClient):
    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._own = _Own()

    def _get_connection(self) -> GatewayConnection:
        own = self._own
        if own.connection is None or not own.connection.is_connected:
            if not self.is_connected:
                raise Py4JNetworkError("Gateway is not connected.")
            own.connection, own.is_free = self._create_connection(), True
        if not own.is_free:
            # A finaliser, amid a call of this very thread.
            return super()._get_connection()
        own.is_free = False
        return own.connection

    def _give_back_connection(self, connection: GatewayConnection) -> None:
        if connection is self._own.connection:
            self._own.is_free = True
        else:
            super()._give_back_connection(connection)
