"""What is known of a batch that is asked record by record: its calls' intents and answers, in numbered parts.

A part is a head and lines of results as a batch gives them, written whole and once. Whoever would write a number that
another has written was overtaken, and learns it before a call is made. It lies in the batch's results.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from shared.errors import LeaseLost, SpoolAway, SpoolError
from shared.spool import RESULTS, Files

FOLDER = f"{RESULTS}/asked"
"""Below the batch's folder."""
_READERS = 8

Why = Literal["done", "ceiling"]


class Head(BaseModel):
    """The first line of a part: numbers of requests. Each call is intended first, and turns up once more afterwards."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    by: str = ""
    """Who wrote it; of each journal that is opened another."""
    answered: tuple[int, ...] = ()
    """In the order of the lines that follow."""
    void: tuple[int, ...] = ()
    """Calls that had no effect: throttled, not sent."""
    failed: tuple[int, ...] = ()
    """Calls that the provider failed on, and said so."""
    unknown: tuple[int, ...] = ()
    """Calls of which nobody saw the answer: they may have been paid for."""
    intended: tuple[int, ...] = ()
    """Calls that are made next."""
    input_tokens: int = 0
    output_tokens: int = 0
    ended: Why | None = None
    """Nothing more is asked here: everything is answered, or there is no more money for it."""


@dataclass
class Part:
    """What the next part of a journal is to say of calls that have turned up."""

    lines: list[bytes] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    void: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0

    def head(self, intended: list[int]) -> Head:
        return Head(
            answered=tuple(self.answered),
            void=tuple(self.void),
            failed=tuple(self.failed),
            unknown=tuple(self.unknown),
            intended=tuple(intended),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )

    @property
    def is_empty(self) -> bool:
        return not (self.answered or self.void or self.failed or self.unknown)


@dataclass
class Tally:
    """What all heads say together."""

    answered: bytearray
    tries: dict[int, int]
    """Calls of each request that failed, or whose answer nobody saw."""
    under_way: set[int]
    """Calls that were intended and have not turned up: after a crash nobody knows what became of them."""
    unknown: list[int]
    """The request of each call whose answer nobody saw."""
    input_tokens: int = 0
    output_tokens: int = 0
    ended: Why | None = None

    @classmethod
    def of(cls, requests: int) -> "Tally":
        return cls(bytearray(requests), {}, set(), [])

    def add(self, head: Head) -> None:
        """Take in the next head."""
        for request in head.answered:
            self.answered[request] = 1
        for request in (*head.failed, *head.unknown):
            self.tries[request] = self.tries.get(request, 0) + 1
        self.unknown += head.unknown
        self.under_way.difference_update(head.answered, head.void, head.failed, head.unknown)
        self.under_way.update(head.intended)
        self.input_tokens += head.input_tokens
        self.output_tokens += head.output_tokens
        self.ended = head.ended or self.ended


class Journal:
    """One batch's journal. One process at a time writes it."""

    _patience = Retrying(
        retry=retry_if_exception_type(SpoolAway),
        wait=wait_exponential_jitter(multiplier=0.1, max=5),
        stop=stop_after_delay(60),
        reraise=True,
    )

    def __init__(self, files: Files, batch_folder: str, requests: int) -> None:
        """Read what is there. Raises SpoolError for a part that is damaged."""
        self._files, self._folder = files, f"{batch_folder}/{FOLDER}"
        self.tally = Tally.of(requests)
        self._next, self._by = 0, uuid4().hex
        for address, data in _read(files, self._folder):
            self._take(address, data)

    def write(self, head: Head, lines: Sequence[bytes] = ()) -> None:
        """Write the next part: when this returns, all of it is durable.

        A spool that is away is waited for, for a while: answers that can't be kept would be paid for again. Raises
        LeaseLost when another was faster, SpoolAway in the end.
        """
        address = self._address(self._next)
        own = head.model_copy(update={"by": self._by}).model_dump_json(exclude_defaults=True).encode()
        data = b"".join((own, b"\n", *lines))
        if not self._patience(self._files.create, address, data) and self._files.read(address) != data:
            raise LeaseLost(f"{address} is another's: this batch is asked by somebody else now")
        self._next += 1
        self.tally.add(head)

    def _take(self, address: str, data: bytes) -> None:
        try:
            self.tally.add(_head(data, address))
        except IndexError as error:
            raise SpoolError(f"{address} is damaged: {error}") from error
        self._next += 1

    def _address(self, number: int) -> str:
        return f"{self._folder}/{number:08}.jsonl"


class Results:
    """The lines of results of a batch, as its provider would have given them."""

    def __init__(self, files: Files, batch_folder: str) -> None:
        self._files, self._folder = files, f"{batch_folder}/{FOLDER}"
        self.unknown_calls = 0
        """Calls whose answers nobody saw, in the parts that were read so far."""

    def __iter__(self) -> Iterator[bytes]:
        """Raises SpoolError for a part that is damaged or missing."""
        self.unknown_calls = 0
        for address, data in _read(self._files, self._folder):
            self.unknown_calls += len(_head(data, address).unknown)
            _, _, lines = data.partition(b"\n")
            yield from BytesIO(lines)


def used(files: Files, batch_folder: str) -> Iterator[tuple[datetime | None, int, int]]:
    """When each part was written, and the input and output tokens of its answers."""
    folder = f"{batch_folder}/{FOLDER}"
    parts = sorted(
        (entry for entry in files.entries(folder) if entry.name.endswith(".jsonl")), key=lambda entry: entry.name
    )
    for part, (address, data) in zip(parts, _read(files, folder), strict=False):
        head = _head(data, address)
        yield part.modified_at, head.input_tokens, head.output_tokens


def _head(data: bytes, address: str) -> Head:
    try:
        return Head.model_validate_json(data.partition(b"\n")[0])
    except ValidationError as error:
        raise SpoolError(f"{address} is damaged: {error}") from error


def _read(files: Files, folder: str) -> Iterator[tuple[str, bytes]]:
    """The parts of a journal with their addresses, in order. Raises SpoolError where one is missing."""
    count = sum(entry.name.endswith(".jsonl") for entry in files.entries(folder))
    addresses = [f"{folder}/{number:08}.jsonl" for number in range(count)]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="journal") as pool:
        # A few at a time: an object store takes its time for each, and memory stays flat.
        for first in range(0, count, _READERS):
            for address, data in zip(
                addresses[first : first + _READERS],
                pool.map(files.read, addresses[first : first + _READERS]),
                strict=True,
            ):
                if data is None:
                    raise SpoolError(f"{address} is not there, and later parts are: restore it")
                yield address, data
