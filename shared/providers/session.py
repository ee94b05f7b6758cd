"""What both SDKs' clients have in common: the key, the timeouts, the connections, the ladder around each call."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx2

from shared.clock import Clock
from shared.definition import Model
from shared.errors import MissingCredential, Unknown
from shared.providers.faults import judged

Client = TypeVar("Client")

TIMEOUT = httpx2.Timeout(60.0, connect=10.0, pool=10.0)
"""Of calls that carry none of their own; each part of a call is timed by itself."""
LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=0)
"""No connection is kept: one that the other side has just closed would make the next create ambiguous."""


@dataclass(frozen=True)
class Session(Generic[Client]):
    """An SDK's client, and the ladder that its failures fall on."""

    client: Client
    clock: Clock
    secret: str

    @contextmanager
    def call(self) -> Iterator[Client]:
        """The client, for one call; what it raises is turned into a ProviderError."""
        with judged(self.clock, self.secret):
            yield self.client


def api_key(model: Model, environ: Mapping[str, str]) -> str:
    """The key that `${NAME}` stands for. Raises MissingCredential, which names the variable."""
    key = environ.get(model.api_key, "").strip()
    if not key:
        raise MissingCredential(
            f"the environment variable {model.api_key} is not set in this process: it holds the key of model "
            f"'{model.name}'",
            model.account,
        )
    return key


def timeout(seconds: float) -> httpx2.Timeout:
    """The timeout of a call that sends much: for its connection, each piece sent, and its answer."""
    return httpx2.Timeout(seconds, connect=min(seconds, 10.0), pool=10.0)


def identity(answer: Any) -> str:
    """The id of what a call gave; Unknown for an answer that has none, such as a gateway's page in HTML."""
    found = getattr(answer, "id", None)
    if not isinstance(found, str) or not found:
        raise Unknown(f"an answer that can't be read: {str(answer)[:200]}")
    return found
