"""Sending a batch to the fake provider through the adapter, beside a plain streamed upload of the same bytes to it."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2

from deploy.sandbox.provider.server import ProviderServer
from shared.providers import provider_for
from shared.providers.port import Outgoing, Provider
from tests.bench.outgoing import ENVIRON, definition, outgoing
from tests.bench.rows import MB, Row, interleaved, timed
from tests.rig.waiting import wait_until

REQUESTS, CHARACTERS = 10_000, 8_000
ROUNDS = 7
TARGET = 0.8
CHUNK = 1 << 16


def main() -> list[Row]:
    """A row for each provider: OpenAI's file upload, Anthropic's create that carries its requests."""
    with (
        tempfile.TemporaryDirectory(prefix="batchline-bench-") as folder,
        ProviderServer(Path(folder, "provider"), processing_seconds=0.0) as server,
    ):
        return [_openai(server, Path(folder, "openai")), _anthropic(server, Path(folder, "anthropic"))]


def _openai(server: ProviderServer, folder: Path) -> Row:
    batch, provider = _prepared(server, folder, "openai")

    def ours() -> float:
        made: list[str | None] = []
        seconds = timed(lambda: made.append(provider.upload(batch)))
        provider.delete(str(made[0]))
        return seconds

    def plain() -> float:
        made: list[httpx2.Response] = []
        seconds = timed(lambda: made.append(_post_file(server, batch.requests)))
        provider.delete(made[0].raise_for_status().json()["id"])
        return seconds

    return _row("upload to OpenAI's files", batch, ours, plain)


def _anthropic(server: ProviderServer, folder: Path) -> Row:
    batch, provider = _prepared(server, folder, "anthropic")
    body = folder / "body.json"
    body.write_bytes(b'{"requests":[' + batch.requests.read_bytes().rstrip(b"\n").replace(b"\n", b",") + b"]}")

    def ended(batch_id: str) -> None:
        # The next one must not share the machine with this one's execution.
        wait_until(lambda: provider.retrieve(batch_id).phase == "ended", 120, "the provider to execute a batch")

    def ours() -> float:
        made: list[str] = []
        seconds = timed(lambda: made.append(provider.create(batch, None).id))
        ended(made[0])
        return seconds

    def plain() -> float:
        made: list[httpx2.Response] = []
        seconds = timed(lambda: made.append(_post_body(server, body)))
        ended(made[0].raise_for_status().json()["id"])
        return seconds

    return _row("create at Anthropic, requests inline", batch, ours, plain)


def _prepared(server: ProviderServer, folder: Path, name: str) -> tuple[Outgoing, Provider]:
    stated = definition(server, name)
    return outgoing(folder, stated, REQUESTS, CHARACTERS), provider_for(stated.model, ENVIRON)


def _row(name: str, batch: Outgoing, ours: Callable[[], float], plain: Callable[[], float]) -> Row:
    seconds = interleaved({"ours": ours, "plain": plain}, ROUNDS)
    size = batch.requests.stat().st_size / MB
    mine, theirs = size / seconds["ours"], size / seconds["plain"]
    ratio = mine / theirs
    told = f"plain streamed POST: {theirs:,.0f} MB/s"
    return Row(f"{name} ({size:.0f} MB)", f"{mine:,.0f} MB/s", told, ratio, f"ratio ≥ {TARGET}", ratio >= TARGET)


def _post_file(server: ProviderServer, path: Path) -> httpx2.Response:
    with path.open("rb") as file:
        return httpx2.post(
            f"{server.openai_base_url}/files",
            headers={"Authorization": f"Bearer {ENVIRON['OPENAI_API_KEY']}"},
            data={"purpose": "batch"},
            files={"file": (path.name, file, "application/jsonl")},
            timeout=120,
        )


def _post_body(server: ProviderServer, path: Path) -> httpx2.Response:
    headers = {
        "x-api-key": ENVIRON["ANTHROPIC_API_KEY"],
        "anthropic-version": "2023-06-01",
        "Content-Type": "application/json",
        "Content-Length": str(path.stat().st_size),
    }
    return httpx2.post(
        f"{server.anthropic_base_url}/v1/messages/batches", headers=headers, content=_chunks(path), timeout=120
    )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
