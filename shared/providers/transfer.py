"""Moves large files to and from a provider without holding them: request bodies from disk, results onto it."""

import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_random_exponential,
)

from shared.errors import NotSent, Rejected, Unknown
from shared.failpoints import Failpoint, reached
from shared.spool import private_opener

CHUNK = 1 << 18
_ATTEMPTS = 6


class Incoming(Protocol):
    """A response whose body is still on its way; both SDKs' streamed responses are one."""

    @property
    def status_code(self) -> int: ...

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]: ...


Begin = Callable[[int], AbstractContextManager[Incoming]]


def as_json(requests: Path) -> tuple[Iterable[bytes], int]:
    """`{"requests": […]}` from request lines on disk, chunk by chunk, and its length in bytes."""
    size = requests.stat().st_size
    head, tail = b'{"requests":[', b"]}"
    return _envelope(requests, size, head, tail), len(head) + max(size - 1, 0) + len(tail)


def _envelope(requests: Path, size: int, head: bytes, tail: bytes) -> Iterator[bytes]:
    yield head
    with requests.open("rb") as lines:
        left = size - 1
        while left > 0 and (chunk := lines.read(min(CHUNK, left))):
            left -= len(chunk)
            # A line feed within JSON is always escaped: each one here ends a line.
            yield chunk.replace(b"\n", b",")
    yield tail


def fetch(begin: Begin, into: Path, is_whole: Callable[[Path], bool]) -> None:
    """Stream a file to disk; what is cut goes on from where it was, or from the beginning where ranges are ignored.

    `begin(offset)` starts the transfer at a byte. A transfer that ends in good order and still is not whole is tried
    again, and in the end taken as it is: the check against the manifest decides. It is not made durable: whoever is
    killed fetches it anew, into another folder. Raises the last Unknown or NotSent.
    """
    part = into.with_name(into.name + ".part")
    part.unlink(missing_ok=True)
    again = Retrying(
        retry=retry_if_exception_type((Unknown, NotSent)) | retry_if_result(operator.not_),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        retry_error_callback=_last,
    )
    again(_Transfer(begin, part, is_whole).attempt)
    part.replace(into)


def _last(state: RetryCallState) -> bool:
    """What the last attempt gave, or raised."""
    return bool(state.outcome and state.outcome.result())


class _Transfer:
    """A file on its way, over as many attempts as it takes."""

    def __init__(self, begin: Begin, part: Path, is_whole: Callable[[Path], bool]) -> None:
        self._begin, self._part, self._is_whole = begin, part, is_whole
        self._offset = 0

    def attempt(self) -> bool:
        """Fetch what is missing; says whether the file is whole now."""
        try:
            self._append()
        except (Unknown, NotSent):
            self._offset = self._part.stat().st_size if self._part.exists() else 0
            raise
        self._offset = 0
        return self._is_whole(self._part)

    def _append(self) -> None:
        try:
            with (
                self._begin(self._offset) as response,
                open(self._part, "ab", buffering=0, opener=private_opener) as file,
            ):
                if response.status_code != 206:
                    file.truncate(0)
                file.writelines(response.iter_bytes(CHUNK))
                reached(Failpoint.DOWNLOAD_CUT)
        except Rejected as error:
            # 416: nothing lies beyond what we have.
            if not self._offset or error.status != 416:
                raise


def lines_in(path: Path) -> int:
    """How many lines a file holds."""
    count = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            count += chunk.count(b"\n")
    return count
