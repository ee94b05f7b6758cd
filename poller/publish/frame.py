"""The headers of a batch's messages: those that all of them have alike, and those that follow from a record."""

from copy import copy
from typing import NamedTuple

from poller.collect.results import Results
from poller.collect.usage import UNKNOWN, Used
from shared.definition import Definition
from shared.manifest import Manifest
from shared.messages import Header

Headers = list[tuple[str, str | bytes | None]]
MOST_SAID = 1000
"""Characters of a cause's message, in a header and in an error record."""


class Failed(NamedTuple):
    """Why a record has no outputs."""

    cause: str
    message: str
    raw: str | None = None


class Frame:
    """What the messages of one batch say beside its rows and answers."""

    def __init__(
        self, manifest: Manifest, provider_batch_id: str | None, definition: Definition, results: Results
    ) -> None:
        self.batch_key, self.provider_batch_id = manifest.batch_key, provider_batch_id
        self.manifest, self.usage, self._packing = manifest, results.usage, manifest.packing
        self._id, self._is_packed = f"{manifest.batch_key}-", bool(manifest.packs)
        common: Headers = [
            (Header.BATCH, manifest.batch_key.encode()),
            (Header.MODEL, definition.model.model.encode()),
            (Header.GENERATION, str(manifest.generation).encode()),
        ]
        if provider_batch_id:
            common.append((Header.PROVIDER_BATCH, provider_batch_id.encode()))
        self._succeeded: Headers = [*common, (Header.STATUS, b"succeeded")]
        self._failed: Headers = [*common, (Header.STATUS, b"failed")]

    def without_usage(self) -> "Frame":
        """The same for records that used nothing."""
        silent = copy(self)
        silent.usage = None
        return silent

    def used(self, record: int | None) -> Used:
        """What a record used: its share of its request."""
        if self.usage is None or record is None:
            return UNKNOWN
        request = self._packing.request(record)
        records = self._packing.of(request)
        return self.usage.of(request, record - records.start, len(records))

    def request_id(self, record: int) -> str:
        return f"{self._id}{self._packing.request(record) if self._is_packed else record}"

    def succeeded(self, record: int | None, position: str | None) -> Headers:
        headers: Headers = list(self._succeeded)
        if record is not None:
            headers.append((Header.REQUEST, self.request_id(record)))
        if position is not None:
            headers.append((Header.POSITION, position))
        if self._is_packed and record is not None:
            headers.append((Header.INDEX, str(self._packing.place(record))))
        return headers

    def failed(self, record: int | None, position: str | None, failed: Failed) -> Headers:
        said = f"{failed.cause}: {failed.message}"[:MOST_SAID]
        headers: Headers = [*self._failed, (Header.ERROR, said.encode("utf-8", "replace"))]
        if record is not None:
            headers.append((Header.REQUEST, self.request_id(record)))
            if self._is_packed:
                headers.append((Header.INDEX, str(self._packing.place(record))))
        if position is not None:
            headers.append((Header.POSITION, position))
        return headers


def bytes_of(headers: Headers | list[tuple[str, bytes | None]]) -> int:
    """What headers take of a message's size, with their framing."""
    return sum(len(name) + len(value or b"") + 10 for name, value in headers)
