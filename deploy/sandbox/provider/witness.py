"""The independent witness: an append-only log of all that the provider accepted and billed, and its reader.

One JSON line for each event in `<directory>/witness.jsonl`: `kind`, `at`, and
upload {file, bytes} · create {batch, provider, path, requests} · sync {provider, endpoint, body, prompt, tokens} ·
cancel / delete_batch {batch} · delete_file {file} · create_dropped {…} · ended {batch, phase, billed: path, counts}.
A create names the stored input, an end names the stored bill, one line for each billed result.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from deploy.sandbox.provider.processing import body_hash

LOG = "witness.jsonl"


class WitnessLog:
    """The writer; each event is on disk (not synced) when `write` returns."""

    def __init__(self, directory: Path) -> None:
        self._file = (directory / LOG).open("ab", buffering=0)

    def write(self, kind: str, **entry: Any) -> None:
        self._file.write(orjson.dumps({"kind": kind, "at": time.time(), **entry}) + b"\n")

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class Billed:
    """A result that was paid for; `body` and `prompt` are SHA-256 in hex; `batch` is None for a synchronous call."""

    custom_id: str | None
    batch: str | None
    body: str
    prompt: str
    input_tokens: int
    output_tokens: int


class Witness:
    """Reads the log of a provider's directory, also while the provider runs; each call reads it anew."""

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the events of these kinds (of all, if none is named), oldest first."""
        path = self._directory / LOG
        if not path.exists():
            return []
        found = [orjson.loads(line) for line in path.read_bytes().splitlines() if line]
        return [event for event in found if not kinds or event["kind"] in kinds]

    def creates(self, provider: str | None = None) -> list[dict[str, Any]]:
        return [event for event in self.events("create") if provider in (None, event["provider"])]

    def requests(self) -> Iterator[tuple[str, str, str]]:
        """Yield (batch, custom_id, body hash) of each request of each accepted batch, twice if accepted twice."""
        for event in self.events("create"):
            for entry in _lines(event["path"]):
                body = entry.get("body") or entry.get("params") or {}
                yield event["batch"], str(entry.get("custom_id")), body_hash(body)

    def custom_ids(self) -> Counter[str]:
        """Count how often each custom_id was accepted in a batch."""
        return Counter(custom_id for _, custom_id, _ in self.requests())

    def bodies(self) -> Counter[str]:
        """Count how often each request body (by hash, see `body_hash`) was accepted in a batch."""
        return Counter(body for _, _, body in self.requests())

    def billed(self) -> Iterator[Billed]:
        """Yield each result that was billed, of batches that have ended and of synchronous calls."""
        for event in self.events("ended", "sync"):
            if event["kind"] == "sync":
                tokens = event["input_tokens"], event["output_tokens"]
                yield Billed(None, None, event["body"], event["prompt"], *tokens)
                continue
            for entry in _lines(event["billed"]):
                yield Billed(batch=event["batch"], **entry)

    def billed_prompts(self) -> Counter[str]:
        """Count how often the answer to each prompt (SHA-256 of the last user text) was billed."""
        return Counter(entry.prompt for entry in self.billed())

    def billed_custom_ids(self) -> Counter[str]:
        return Counter(entry.custom_id for entry in self.billed() if entry.custom_id is not None)

    def tokens(self) -> tuple[int, int]:
        """Return all (input, output) tokens billed."""
        used = told = 0
        for entry in self.billed():
            used, told = used + entry.input_tokens, told + entry.output_tokens
        return used, told


def _lines(path: str | None) -> Iterator[dict[str, Any]]:
    if not path:
        return
    with Path(path).open("rb") as file:
        for line in file:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(entry, dict):
                yield entry
