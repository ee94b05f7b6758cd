"""Free loopback ports that stay free while a server is down."""

import contextlib
import random
import socket


def free_ports(count: int) -> list[int]:
    """`count` free ports below those that the system lends to outgoing connections.

    A client that reconnects to a server that is down could otherwise be lent the server's own port.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found
