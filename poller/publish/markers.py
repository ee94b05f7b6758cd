"""Which markers of the progress topic are believed: anyone who may write there could write one. Pure.

A marker of ours never goes back, and its counts are those of its batch's rows. What contradicts that stops its batch,
and no other: to believe it could leave records out, and to pass over it could bring them out twice.
"""

from pydantic import ValidationError

from shared.errors import BatchlineError
from shared.keys import is_batch_key
from shared.manifest import Manifest
from shared.messages import ProgressMarker

_LONGEST = 4096
"""Bytes; a marker of ours has less than a hundred."""
_REMEDY = (
    "it is not ours; let nobody but the poller write to the topic of the markers, and produce the batch's last right "
    "marker there again: the records before it are out, and none is published until then"
)


class ForeignMarker(BatchlineError):
    """A batch's marker can't be ours: nobody knows how far the batch has come."""


class Markers(dict[str, ProgressMarker]):
    """The newest readable marker of each batch, by its key."""

    def __init__(self) -> None:
        super().__init__()
        self._unreadable: set[str] = set()

    def take(self, key: bytes | str | None, value: bytes | str | None) -> None:
        """Take the next message of a partition; a tombstone forgets a batch, and what has no batch's key is foreign."""
        name = key.decode("ascii", "replace") if isinstance(key, bytes) else key or ""
        if not is_batch_key(name):
            return
        if value is None:
            self.pop(name, None)
            self._unreadable.discard(name)
            return
        marker = read_marker(value)
        if marker is None:
            # What stood there before may be the truth; where it is compacted away, nobody knows it.
            if name not in self:
                self._unreadable.add(name)
        elif name not in self or not _goes_back(self[name], marker):
            self[name] = marker
            self._unreadable.discard(name)

    def of(self, batch_key: str) -> ProgressMarker:
        """How far a batch has come; its beginning where there is no marker. Raises ForeignMarker."""
        if batch_key in self._unreadable:
            raise ForeignMarker(f"the progress marker of batch {batch_key} can't be read: {_REMEDY}")
        return self.get(batch_key) or ProgressMarker(next=0, succeeded=0, failed=0)


def check_marker(marker: ProgressMarker, manifest: Manifest, *, carried: int, told: int) -> None:
    """Raise ForeignMarker for one that can't be of this batch, `told` records of which are known to be out."""
    out = marker.succeeded + marker.failed
    before = _records_before(manifest, marker.next)
    if marker.done:
        possible = out == manifest.records - carried
    else:
        possible = marker.next <= sum(count for count, _ in manifest.runs) and before - carried <= out <= before
    if not possible or out < told:
        raise ForeignMarker(
            f"the progress marker of batch {manifest.batch_key} says that {out} records are out, of the first "
            f"{marker.next} rows, and {told} are known to be: {_REMEDY}"
        )


def read_marker(value: bytes | str) -> ProgressMarker | None:
    """A message of the progress topic as a marker; None for what is none."""
    if len(value) > _LONGEST:
        return None
    try:
        return ProgressMarker.model_validate_json(value)
    except ValidationError:
        return None


def _goes_back(known: ProgressMarker, marker: ProgressMarker) -> bool:
    before = (known.next, known.succeeded, known.failed, known.done)
    after = (marker.next, marker.succeeded, marker.failed, marker.done)
    return any(new < old for old, new in zip(before, after, strict=True))


def _records_before(manifest: Manifest, row: int) -> int:
    """The batch's own records among its range's rows before one."""
    records = 0
    for count, fate in manifest.runs:
        taken = min(count, row)
        records += taken if fate != "elsewhere" else 0
        row -= taken
    return records
