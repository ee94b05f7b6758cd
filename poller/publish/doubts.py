"""Whether a message of ours that is not seen to have ended was committed or aborted: the markers say so. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from poller.publish.markers import Markers, read_marker
from poller.publish.messages import Outgoing
from shared.errors import BatchlineError
from shared.messages import Header

_IDENTITY = (Header.REQUEST, Header.INDEX, Header.POSITION)


class Undecided(BatchlineError):
    """A message of a batch that is partly out, while another batch's are sent."""


class Found(NamedTuple):
    """A message as it lies in a topic."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None]


class Doubts:
    """Judges the messages of one shard's producer."""

    def __init__(self, markers: Markers, batch_key: str, coming: Iterable[Outgoing]) -> None:
        """`coming` are the messages of a batch that go out next, as many as a transaction holds."""
        self._markers, self._batch_key = markers, batch_key
        self._coming = {_identity(key, dict(headers)) for _, _, _, key, _, headers, _ in coming}

    def was_aborted(self, found: Found) -> bool:
        """Whether the message's transaction was aborted, if it is one of ours. Raises Undecided.

        Of a batch that another shard's producer sends it may say so too: to abort it anew does nothing to that one's.
        """
        batch = found.headers.get(Header.BATCH)
        if batch is None:
            return False
        key = batch.decode("ascii", "replace")
        known = self._markers.of(key)
        if known.done or known.next == 0:
            return not known.done
        if key == self._batch_key:
            return _identity(found.key, found.headers) in self._coming
        raise Undecided(f"a transaction of batch {key} may be open still; that batch goes first")

    def is_ahead(self, found: Found) -> bool:
        """Whether a marker tells of what was never committed."""
        marker = read_marker(found.value or b"")
        if marker is None or found.key is None:
            return False
        known = self._markers.of(found.key.decode("ascii", "replace"))
        return (marker.next, marker.done) > (known.next, known.done)


def _identity(key: bytes | str | None, headers: Mapping[str, str | bytes | None]) -> tuple[bytes | None, ...]:
    return tuple(_bytes(each) for each in (key, *(headers.get(name) for name in _IDENTITY)))


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
