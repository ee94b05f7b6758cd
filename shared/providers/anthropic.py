"""Anthropic's Message Batches API through the anthropic SDK: one attempt for each call.

A create carries its requests, streamed from disk. The SDK is imported, and the key looked up, at the first call: who
only writes request lines or reads results needs neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from shared.clock import Clock
from shared.definition import Model
from shared.errors import NotFound, ProviderError, Unknown
from shared.providers import anthropic_answers
from shared.providers.bodies import request_lines
from shared.providers.lines import rename
from shared.providers.paging import newest_first
from shared.providers.port import Answer, Outgoing, Profile, RemoteBatch, RemoteFile, Requests
from shared.spool import make_folder

if TYPE_CHECKING:
    from anthropic import Anthropic

    from shared.providers.session import Session
    from shared.providers.transfer import Incoming

_MESSAGES = "/v1/messages"
_BATCHES = f"{_MESSAGES}/batches"
_PAGE = 1000
_PHASES: Mapping[str, Literal["running", "ended"]] = {
    "in_progress": "running",
    "canceling": "running",
    "ended": "ended",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


class AnthropicProvider:
    """The port over Anthropic's message batches."""

    def __init__(self, model: Model, environ: Mapping[str, str], profile: Profile, clock: Clock) -> None:
        self.profile = profile
        self._model, self._environ, self._clock = model, environ, clock

    def requests(self, model: Model) -> Requests:
        return request_lines(model)

    def rename(self, line: bytes, custom_id: str) -> bytes:
        return rename(line, custom_id)

    def answer(self, line: bytes) -> Answer | None:
        return anthropic_answers.judge(line)

    def connect(self) -> None:
        _ = self._session

    def upload(self, batch: Outgoing) -> None:
        """A create carries its requests."""

    def create(self, batch: Outgoing, input_file_id: str | None) -> RemoteBatch:
        from anthropic.types.messages import MessageBatch

        from shared.providers.session import timeout
        from shared.providers.transfer import as_json

        if input_file_id is not None:
            raise ValueError("Anthropic's batches have no input file")
        body, length = as_json(batch.requests)
        with self._session.call() as client:
            made = client.post(
                _BATCHES,
                content=body,
                cast_to=MessageBatch,
                options={
                    "headers": {"Content-Type": "application/json", "Content-Length": str(length)},
                    "timeout": timeout(batch.timeout.total_seconds()),
                },
            )
            return remote(made)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        with self._session.call() as client:
            return remote(client.messages.batches.retrieve(batch_id))

    def created_since(self, moment: datetime) -> Iterator[RemoteBatch]:
        with self._session.call() as client:
            yield from newest_first(client.messages.batches.list(limit=_PAGE), remote, moment)

    def uploads(self) -> Iterator[RemoteFile]:
        """A create carries its requests."""
        return iter(())

    def cancel(self, batch_id: str) -> None:
        with self._session.call() as client:
            client.messages.batches.cancel(batch_id)

    def download(self, batch: RemoteBatch, into: Path) -> list[Path]:
        from shared.providers.transfer import fetch, lines_in

        if not batch.results:
            return []
        make_folder(into)
        path = into / f"0-{_UNSAFE.sub('_', batch.id)}.jsonl"
        if not path.exists():
            total = batch.total or 0
            fetch(lambda offset: self._begin(batch.results[0], offset), path, lambda part: lines_in(part) >= total)
        return [path]

    def ask(self, line: bytes, timeout: timedelta) -> bytes:
        from shared.providers.asking import anthropic_answered, post

        request = orjson.loads(line)
        with self._session.call() as client:
            answer, _ = post(client, _MESSAGES, request["params"], timeout.total_seconds())
        return anthropic_answered(request["custom_id"], answer)

    def failed(self, line: bytes, error: ProviderError) -> bytes:
        from shared.providers.asking import anthropic_failed

        return anthropic_failed(orjson.loads(line)["custom_id"], error)

    def delete(self, file_id: str) -> None:
        try:
            with self._session.call() as client:
                client.messages.batches.delete(file_id)
        except NotFound:
            return

    @contextmanager
    def _begin(self, address: str, offset: int) -> Iterator[Incoming]:
        import httpx2
        from anthropic import Stream

        headers = {"Accept": "application/binary", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with self._session.call() as client:
            # For this type the SDK gives back the response itself, its body still unread.
            response: Any = client.get(
                address, cast_to=httpx2.Response, stream=True, stream_cls=Stream[bytes], options={"headers": headers}
            )
            try:
                yield response
            finally:
                response.close()

    @cached_property
    def _session(self) -> Session[Anthropic]:
        from anthropic import Anthropic, DefaultHttpxClient

        from shared.providers.session import LIMITS, TIMEOUT, Session, api_key

        key = api_key(self._model, self._environ)
        # The SDK's own paths begin with the version.
        base_url = self._model.base_url.rstrip("/").removesuffix("/v1")
        transport = DefaultHttpxClient(limits=LIMITS, timeout=TIMEOUT)
        client = Anthropic(api_key=key, base_url=base_url, max_retries=0, timeout=TIMEOUT, http_client=transport)
        return Session(client, self._clock, key)


def remote(batch: Any) -> RemoteBatch:
    """The SDK's MessageBatch as the port's; Unknown for a status 200 that is none, such as a gateway's page."""
    from shared.providers.session import identity

    batch_id = identity(batch)
    counts = batch.request_counts
    total = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
    created_at = _moment(batch.created_at)
    if created_at is None:
        raise Unknown(f"an answer that can't be read: batch {batch_id} has no created_at")
    # The path, not the address that the provider names: the key must not go to another host.
    results = (f"{_BATCHES}/{batch_id}/results",) if batch.results_url else ()
    return RemoteBatch(
        id=batch_id,
        status=str(batch.processing_status),
        phase=_PHASES.get(batch.processing_status, "unknown"),
        created_at=created_at,
        total=total or None,
        expires_at=_moment(batch.expires_at),
        ended_at=_moment(batch.ended_at),
        results=results,
    )


def _moment(value: Any) -> datetime | None:
    return value.astimezone(UTC) if isinstance(value, datetime) else None
