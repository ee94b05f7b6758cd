"""The port to a provider's batch API: one adapter each, the same functions in the same order.

Every call raises the ProviderError that says what is known about its effect; none retries by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from shared.definition import BatchOptions, Model
from shared.errors import ProviderError
from shared.manifest import Manifest


@dataclass(frozen=True)
class Profile:
    """A provider's limits and habits; what a provider can change, an option can override."""

    max_requests: int
    max_bytes: int
    """Of the body that is sent: requests.jsonl, or the create's JSON."""
    max_inputs: int | None
    """Of an embeddings batch."""
    creates_per_hour: int | None
    queue: Literal["tokens", "requests"]
    """What its queue has a limit for: prompt tokens of each model, or requests of the account."""
    validates_later: bool
    """Whether a create that is accepted may still be refused for want of room."""
    has_metadata: bool
    """Whether a batch carries our metadata, so that a look-up can match it by itself."""
    results_kept: timedelta
    """After creation."""
    envelope_bytes: int
    """What the create adds to requests.jsonl's own bytes, at most."""
    price_factor: float = 1.0
    """What a batched token costs, as a share of the synchronous price."""
    has_files: bool = True
    """Whether a create names an uploaded file: one of its own for each attempt."""
    files_kept: timedelta | None = None
    """The lifetime that is asked for at an upload; None where the service takes none."""
    window: str = "24h"
    """Within which a batch is to be done, as a create says it."""
    max_image_bytes: int | None = None
    """Of one image, as base64."""
    max_request_bytes: int | None = None
    """Of one request's images and documents, as base64."""
    prices: str | None = None
    """Whose prices hold, by genai-prices' name of a provider; None means the provider's own."""
    input_price: float | None = None
    """US dollars for a million tokens of prompts, synchronously, in place of a published price."""
    output_price: float | None = None
    """The same of answers; it holds with the other alone."""

    @property
    def is_identified(self) -> bool:
        """Whether a batch that a look-up finds says by itself whose it is: by its metadata, or its input file."""
        return self.has_metadata or self.has_files

    def stated(self, options: BatchOptions) -> int | None:
        """The limit of its queue that an option states."""
        return options.max_enqueued_tokens if self.queue == "tokens" else options.max_queued_requests


@dataclass(frozen=True)
class LineError:
    """A line that the provider's validation complained about."""

    code: str | None
    line: int | None
    """From 1; None where the provider names none."""
    message: str


@dataclass(frozen=True)
class RemoteBatch:
    """A batch as the provider describes it."""

    id: str
    status: str
    """The provider's own word."""
    phase: Literal["running", "ended", "unknown"]
    """`unknown`: a status that we don't know; treated as running, with a warning."""
    created_at: datetime
    total: int | None = None
    """The sum of the provider's request counts; None where it does not say (yet)."""
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    input_file_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    """What `download` fetches: file ids, or the results' address."""
    errors: tuple[LineError, ...] = ()


@dataclass(frozen=True)
class RemoteFile:
    """A file of requests that was uploaded to the provider."""

    id: str
    name: str
    """As it was uploaded: <batch_key>-<attempt>.jsonl, where it is ours."""
    created_at: datetime


@dataclass(frozen=True)
class Outgoing:
    """A batch on its way out."""

    manifest: Manifest
    requests: Path
    """requests.jsonl on this machine's disk."""
    attempt: int
    metadata: dict[str, str]
    """batch_key, attempt and sha256; sent where the provider keeps metadata."""
    timeout: timedelta


class Cached(NamedTuple):
    """Of an answer's input tokens, those that a prompt's cache gave or took, where they have prices of their own."""

    read: int = 0
    written: int = 0
    """For as long as the provider keeps them by default (Anthropic: five minutes)."""
    written_1h: int = 0
    """For an hour."""


UNCACHED = Cached()


class Answer(msgspec.Struct, frozen=True, gc=False):
    """One line of results, judged by itself. A struct of msgspec's, because one is made for every request."""

    custom_id: str
    status: Literal["succeeded", "failed", "retryable", "account"]
    """`retryable`: expired, cancelled, or the provider's error; `account`: the account's fault, no retry spent."""
    text: str | None = None
    embedding: list[float] | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cause: str | None = None
    """A word of shared.causes, where it is not a plain success (a refusal or a cut answer has status `failed`)."""
    message: str | None = None
    raw: str | None = None
    """The raw answer, where a failed one has some."""
    cached: Cached = UNCACHED
    http_status: int | None = None
    """Of the request, where the line of results tells it."""
    embeddings: tuple[tuple[int, list[float]], ...] | None = None
    """Of several inputs: (the input's number, from 0, as the answer says it; its embedding)."""


class Requests(Protocol):
    """How one model's request lines are written; made once for a statement, used for each request."""

    def line(self, custom_id: str, prompt: str | list[Any]) -> bytes:
        """One line of requests.jsonl, with its newline; a list stands for several inputs, or for parts of one."""
        ...


class Provider(Protocol):
    """A provider's batch API."""

    profile: Profile

    def requests(self, model: Model) -> Requests:
        """The writer of request lines for a model."""
        ...

    def rename(self, line: bytes, custom_id: str) -> bytes:
        """A line of requests.jsonl with another custom_id; the body stays as it is, byte for byte."""
        ...

    def connect(self) -> None:
        """Make the client, without a call. Raises MissingCredential where this process has no key for it."""
        ...

    def upload(self, batch: Outgoing) -> str | None:
        """Stream requests.jsonl to the provider and give its file id; None where a create carries its requests."""
        ...

    def create(self, batch: Outgoing, input_file_id: str | None) -> RemoteBatch:
        """POST the batch once. Unknown means: accepted or not, nobody knows."""
        ...

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """The batch as it stands."""
        ...

    def created_since(self, moment: datetime) -> Iterator[RemoteBatch]:
        """All batches of the account that were created at a moment or later, the newest before old ones, page by page.

        Those of the same seconds come in any order.
        """
        ...

    def uploads(self) -> Iterator[RemoteFile]:
        """The account's uploaded files of requests, newest first, page by page; none where a create carries them."""
        ...

    def cancel(self, batch_id: str) -> None:
        """Ask for the batch's end; its finished part stays."""
        ...

    def download(self, batch: RemoteBatch, into: Path) -> list[Path]:
        """Stream the results, each to a file in a folder, memory flat, again when cut; [] when there are none."""
        ...

    def answer(self, line: bytes) -> Answer | None:
        """Judge one line of results; None for a malformed one."""
        ...

    def ask(self, line: bytes, timeout: timedelta) -> bytes:
        """Ask a line of requests.jsonl once at the synchronous endpoint; its line of results, as a batch gives it."""
        ...

    def failed(self, line: bytes, error: ProviderError) -> bytes:
        """The line of results of a request that could not be asked: refused, or tried often enough."""
        ...

    def delete(self, file_id: str) -> None:
        """Delete a file (or, where batches hold their results, a batch) at the provider; a 404 is success."""
        ...
