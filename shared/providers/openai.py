"""OpenAI's Batch API, and everything that speaks its shape, through the openai SDK: one attempt for each call.

The SDK is imported, and the key looked up, at the first call: who only writes request lines or judges results
needs neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import orjson

from shared.clock import Clock
from shared.definition import Model
from shared.errors import NotFound, ProviderError
from shared.providers import openai_answers
from shared.providers.bodies import URLS, request_lines
from shared.providers.lines import rename
from shared.providers.paging import newest_first
from shared.providers.port import Answer, LineError, Outgoing, Profile, RemoteBatch, RemoteFile, Requests
from shared.spool import make_folder

if TYPE_CHECKING:
    from openai import Omit, OpenAI
    from openai.types.file_create_params import ExpiresAfter

    from shared.providers.session import Session
    from shared.providers.transfer import Incoming

_PAGE = 100
_FILES = 1000
_PHASES: Mapping[str, Literal["running", "ended"]] = {
    "validating": "running",
    "in_progress": "running",
    "finalizing": "running",
    "cancelling": "running",
    "completed": "ended",
    "failed": "ended",
    "expired": "ended",
    "cancelled": "ended",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


class OpenAIProvider:
    """The port over OpenAI's files and batches."""

    def __init__(self, model: Model, environ: Mapping[str, str], profile: Profile, clock: Clock) -> None:
        self.profile = profile
        self._model, self._environ, self._clock = model, environ, clock

    def requests(self, model: Model) -> Requests:
        return request_lines(model)

    def rename(self, line: bytes, custom_id: str) -> bytes:
        return rename(line, custom_id)

    def answer(self, line: bytes) -> Answer | None:
        return openai_answers.judge(line)

    def connect(self) -> None:
        _ = self._session

    def upload(self, batch: Outgoing) -> str:
        from shared.providers.session import identity, timeout

        name = f"{batch.manifest.batch_key}-{batch.attempt}.jsonl"
        with batch.requests.open("rb") as lines, self._session.call() as client:
            made = client.files.create(
                file=(name, lines, "application/jsonl"),
                purpose="batch",
                expires_after=_lifetime(self.profile),
                timeout=timeout(batch.timeout.total_seconds()),
            )
            return identity(made)

    def create(self, batch: Outgoing, input_file_id: str | None) -> RemoteBatch:
        from openai import omit

        from shared.providers.session import timeout

        if input_file_id is None:
            raise ValueError("OpenAI creates a batch from an uploaded file only")
        with self._session.call() as client:
            made = client.batches.create(
                completion_window=cast(Literal["24h"], self.profile.window),
                endpoint=URLS[batch.manifest.definition.model.task],
                input_file_id=input_file_id,
                metadata=batch.metadata if self.profile.has_metadata else omit,
                timeout=timeout(batch.timeout.total_seconds()),
            )
            return remote(made)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        with self._session.call() as client:
            return remote(client.batches.retrieve(batch_id))

    def created_since(self, moment: datetime) -> Iterator[RemoteBatch]:
        # created_at comes in whole seconds.
        least = moment.replace(microsecond=0)
        with self._session.call() as client:
            yield from newest_first(client.batches.list(limit=_PAGE), remote, least)

    def uploads(self) -> Iterator[RemoteFile]:
        from shared.providers.session import identity

        with self._session.call() as client:
            for file in client.files.list(purpose="batch", order="desc", limit=_FILES):
                yield RemoteFile(identity(file), file.filename, _moment(file.created_at))

    def cancel(self, batch_id: str) -> None:
        with self._session.call() as client:
            client.batches.cancel(batch_id)

    def download(self, batch: RemoteBatch, into: Path) -> list[Path]:
        make_folder(into)
        return [self._fetched(file_id, into, number) for number, file_id in enumerate(batch.results)]

    def ask(self, line: bytes, timeout: timedelta) -> bytes:
        from shared.providers.asking import openai_answered, post

        request = orjson.loads(line)
        path = URLS[self._model.task].removeprefix("/v1")
        with self._session.call() as client:
            answer, call = post(client, path, request["body"], timeout.total_seconds())
        return openai_answered(request["custom_id"], answer, call)

    def failed(self, line: bytes, error: ProviderError) -> bytes:
        from shared.providers.asking import openai_failed

        return openai_failed(orjson.loads(line)["custom_id"], error)

    def delete(self, file_id: str) -> None:
        try:
            with self._session.call() as client:
                client.files.delete(file_id)
        except NotFound:
            return

    def _fetched(self, file_id: str, into: Path, number: int) -> Path:
        from shared.providers.transfer import fetch

        path = into / f"{number}-{_UNSAFE.sub('_', file_id)}.jsonl"
        if not path.exists():
            size = self._size(file_id)
            fetch(
                lambda offset: self._begin(file_id, offset),
                path,
                lambda part: size is None or part.stat().st_size >= size,
            )
        return path

    def _size(self, file_id: str) -> int | None:
        """The file's length; None where the provider does not say. The only way to notice a silent cut."""
        try:
            with self._session.call() as client:
                size: Any = client.files.retrieve(file_id).bytes
        except ProviderError:
            return None
        return size if isinstance(size, int) else None

    @contextmanager
    def _begin(self, file_id: str, offset: int) -> Iterator[Incoming]:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        streaming = self._session.client.files.with_streaming_response
        with self._session.call(), streaming.content(file_id, extra_headers=headers) as response:
            yield response

    @cached_property
    def _session(self) -> Session[OpenAI]:
        from openai import DefaultHttpxClient, OpenAI

        from shared.providers.session import LIMITS, TIMEOUT, Session, api_key

        key = api_key(self._model, self._environ)
        transport = DefaultHttpxClient(limits=LIMITS, timeout=TIMEOUT)
        client = OpenAI(
            api_key=key, base_url=self._model.base_url, max_retries=0, timeout=TIMEOUT, http_client=transport
        )
        return Session(client, self._clock, key)


def _lifetime(profile: Profile) -> ExpiresAfter | Omit:
    from openai import omit

    if profile.files_kept is None:
        return omit
    return {"anchor": "created_at", "seconds": int(profile.files_kept.total_seconds())}


def remote(batch: Any) -> RemoteBatch:
    """The SDK's Batch as the port's; Unknown for a status 200 that is none, such as a gateway's page."""
    from shared.providers.session import identity

    batch_id = identity(batch)
    counts = batch.request_counts
    ended = next((at for at in (batch.completed_at, batch.failed_at, batch.expired_at, batch.cancelled_at) if at), None)
    complaints = (batch.errors.data if batch.errors else None) or []
    return RemoteBatch(
        id=batch_id,
        status=str(batch.status),
        phase=_PHASES.get(batch.status, "unknown"),
        created_at=_moment(batch.created_at),
        # While it validates, the counts are zero.
        total=(counts.total if counts else None) or None,
        expires_at=_moment(batch.expires_at) if batch.expires_at else None,
        ended_at=_moment(ended) if ended else None,
        input_file_id=batch.input_file_id or None,
        metadata=dict(batch.metadata or {}),
        results=tuple(file_id for file_id in (batch.output_file_id, batch.error_file_id) if file_id),
        errors=tuple(LineError(error.code, error.line, error.message or "") for error in complaints),
    )


def _moment(seconds: int) -> datetime:
    """Raises ValueError for what is no time: an error of the system's would pass for one of the local disk."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OSError, OverflowError) as error:
        raise ValueError(f"{seconds} is no time") from error
