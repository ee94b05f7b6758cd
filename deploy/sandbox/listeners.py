"""The addresses of the local broker: one that is open to all, and others with rules of their own. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Listener:
    """One more address of a broker."""

    name: str
    protocol: Literal["SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    settings: Mapping[str, str] = field(default_factory=dict)
    """Kafka's own, without their prefix `listener.name.….`."""


def listener_settings(
    bootstrap: str,
    controller: str,
    listeners: Sequence[Listener],
    addresses: Mapping[str, str],
    *,
    is_controller: bool = True,
) -> dict[str, str]:
    """The broker settings of all its addresses; `addresses` has those of `listeners`, by name.

    `controller` is the address of node 1's, which listens there itself if it `is_controller`.
    """
    open_to_clients = [f"{name}://{address}" for name, address in {"PLAINTEXT": bootstrap, **addresses}.items()]
    protocols = {
        "CONTROLLER": "PLAINTEXT",
        "PLAINTEXT": "PLAINTEXT",
        **{each.name: each.protocol for each in listeners},
    }
    return {
        "listeners": ",".join([*open_to_clients, *([f"CONTROLLER://{controller}"] if is_controller else [])]),
        "advertised.listeners": ",".join(open_to_clients),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{controller}",
        **{
            f"listener.name.{listener.name.lower()}.{name}": value
            for listener in listeners
            for name, value in listener.settings.items()
        },
    }
