"""Which transaction a message belongs to, and whether that one was committed: the markers say so. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from poller.publish.markers import Markers, read_marker
from shared.messages import Header, ProgressMarker

_DIGITS = 18
"""Of a row's number, at most."""


class Found(NamedTuple):
    """A message as it lies in a topic."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None]


def transaction_header(shard: int, before: ProgressMarker) -> tuple[str, bytes]:
    """What all outputs of one transaction carry: its shard, and the row that it begins with."""
    return Header.TRANSACTION, b"%d.%d" % (shard, before.next)


def last_aborted(messages: Iterable[Found], shard: int, markers: Markers) -> Found | None:
    """The last of a shard's own among messages, if its transaction was aborted. Only a shard's last can be unended.

    Raises ForeignMarker.
    """
    last = None
    for found in messages:
        if (first := _first_row(found, shard)) is not None:
            last = found, first
    if last is None:
        return None
    found, first = last
    known = markers.of((found.headers[Header.BATCH] or b"").decode("ascii", "replace"))
    return None if known.done or known.next > first else found


def is_ahead(found: Found, markers: Markers) -> bool:
    """Whether a marker tells of what was never committed. Raises ForeignMarker."""
    marker = read_marker(found.value or b"")
    if marker is None or found.key is None:
        return False
    known = markers.of(found.key.decode("ascii", "replace"))
    return (marker.next, marker.done) > (known.next, known.done)


def _first_row(found: Found, shard: int) -> int | None:
    """The row that its transaction begins with; None of a message that this shard has not sent."""
    number, _, row = (found.headers.get(Header.TRANSACTION) or b"").partition(b".")
    is_ours = Header.BATCH in found.headers and number == b"%d" % shard
    return int(row) if is_ours and row.isdigit() and len(row) <= _DIGITS else None
