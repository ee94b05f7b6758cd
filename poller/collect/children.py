"""Writes the batches that carry a batch's remainder: its request lines under new ids, and a manifest for each.

A request that is carried whole is copied byte for byte; one that is carried in parts is rendered from the sealed rows.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from poller.ask.calls import RequestLines
from poller.collect.outcome import Carry, child_echoes, child_runs, requests_of
from poller.collect.results import ResultsWriter
from shared.causes import Cause
from shared.errors import SpoolError
from shared.failpoints import Failpoint, reached
from shared.keys import child_key, custom_id, generation
from shared.limits import Limits
from shared.manifest import Manifest
from shared.packed import asked, prompts_of, unrenderable
from shared.packing import packs_of
from shared.providers.port import Provider
from shared.rows import row_reader
from shared.spool import MANIFEST, REQUESTS, Spool, make_folder, private_opener, write_atomic
from shared.store import Batch, PlannedBatch

_BUFFER = 1 << 20
_MOST = 26
"""Children of a batch: as many as their keys can name. The last one holds the rest, however large."""


def write_children(
    spool: Spool, attempt: str, manifest: Manifest, carries: list[Carry], provider: Provider
) -> list[str]:
    """Write children for each carry below the attempt's folder, memory flat; gives their keys. Raises SpoolError."""
    parent, into = spool.batch(manifest.pipeline, manifest.statement, manifest.batch_key), spool.files.work(attempt)
    embeddings = manifest.definition.model.task == "embeddings"
    limits = Limits.of(provider.profile, manifest.definition.batch, embeddings=embeddings)
    keys: list[str] = []
    with spool.files.local(f"{parent}/{REQUESTS}") as path, RequestLines(path) as lines:
        for number, carry in enumerate(carries, 1):
            child: _Child | None = None
            for records, line in _lines(spool, manifest, carry, lines, provider):
                may_cut = len(keys) + 1 + len(carries) - number < _MOST
                if child is not None and may_cut and child.is_full(limits, len(line), len(records)):
                    keys.append(child.close(manifest, carry))
                    child = None
                child = child or _Child(into, child_key(manifest.batch_key, len(keys)))
                child.add(records, provider.rename(line, custom_id(child.key, len(child.sizes))))
            if child is not None:
                keys.append(child.close(manifest, carry))
    spool.keep_attempt(attempt, keys)
    return keys


def without_unrenderable(spool: Spool, manifest: Manifest, carries: list[Carry], results: ResultsWriter) -> list[Carry]:
    """Fail the carried records that the user's template can't render apart from those that shared their request."""
    if manifest.definition.batch.prompt is None or not manifest.packs:
        return carries
    packing, prompts, left = manifest.packing, prompts_of(manifest.definition), []
    for carry in carries:
        rows, bad = asked_rows(spool, manifest), set()
        for request, records in requests_of(carry, packing):
            if len(records) < len(packing.of(request)):
                taken = [_take(rows, record) for record in records]
                why = unrenderable(prompts, taken)
                bad |= set(records) if why else set()
                for record in records if why else ():
                    results.fail(record, Cause.RENDER_ERROR, str(why))
        kept = tuple(record for record in carry.records if record not in bad)
        left += [replace(carry, records=kept)] if kept else []
    return left


def planned(parent: Batch, child: Manifest) -> PlannedBatch:
    """The child's row; what was estimated for the parent falls to it by its share of the bytes.

    On another road it costs something else: that is estimated anew.
    """
    share = child.bytes / parent.bytes if child.definition.batch.is_packed else child.requests / parent.requests
    tokens, cost = parent.estimated_tokens, parent.estimated_cost_usd if parent.mode == child.mode else None
    return replace(
        PlannedBatch.of(child),
        estimated_tokens=None if tokens is None else round(tokens * share),
        estimated_cost_usd=None if cost is None else cost * share,
    )


def _lines(
    spool: Spool, manifest: Manifest, carry: Carry, lines: RequestLines, provider: Provider
) -> Iterator[tuple[list[int], bytes]]:
    """The child's requests in order: their records, and a line under any id."""
    packing, rows = manifest.packing, asked_rows(spool, manifest)
    prompts, requests = prompts_of(manifest.definition), provider.requests(asked(manifest.definition))
    for request, records in requests_of(carry, packing):
        if len(records) == len(packing.of(request)):
            yield records, lines.line(request)
        else:
            yield records, requests.line("", prompts([_take(rows, record) for record in records]))


def asked_rows(spool: Spool, manifest: Manifest) -> Iterator[tuple[int, Any]]:
    """The sealed rows of the records that were asked, each with its number; the file is opened when one is wanted."""
    read, record = row_reader(manifest.definition), 0
    with spool.files.local(manifest.sealed_file) as path, path.open("rb", _BUFFER) as lines:
        lines.seek(manifest.start)
        for fate in manifest.fates():
            line = lines.readline()
            if not line:
                return
            if fate == "request":
                yield record, read(line)["row"]
                record += 1


def _take(rows: Iterator[tuple[int, Any]], wanted: int) -> Any:
    """The row of a record that follows those taken before."""
    for record, row in rows:
        if record == wanted:
            return row
    raise SpoolError(f"the sealed file ends before record {wanted}")


@dataclass
class _Child:
    """A batch being written."""

    into: Path
    key: str
    sizes: list[int] = field(default_factory=list)
    """Records in each request."""
    records: list[int] = field(default_factory=list)
    """By the parent's count."""
    size: int = 0
    """Bytes of requests.jsonl."""

    def __post_init__(self) -> None:
        make_folder(self.into / self.key)
        path = self.into / self.key / REQUESTS
        self._file: BinaryIO = open(path, "wb", _BUFFER, opener=private_opener)  # noqa: SIM115 closed by close()
        self._digest = hashlib.sha256()

    def is_full(self, limits: Limits, size: int, records: int) -> bool:
        return limits.full(len(self.sizes), self.size, size, records=len(self.records) + records)

    def add(self, records: list[int], line: bytes) -> None:
        self._digest.update(line)
        self.size += self._file.write(line)
        self.sizes.append(len(records))
        self.records += records

    def close(self, parent: Manifest, carry: Carry) -> str:
        """Make the requests durable, and write the manifest; gives the key."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        echoes = child_echoes(parent, self.records)
        changes = {
            "batch_key": self.key,
            "generation": generation(self.key),
            "parent": parent.batch_key,
            "retries": carry.retries,
            "mode": carry.mode,
            "runs": child_runs(parent, self.records),
            "rejected": (),
            "known": 0,
            "echoes": echoes,
            "packs": packs_of(self.sizes),
            "requests": len(self.sizes),
            "records": len(self.records) + len(echoes),
            "bytes": self.size,
            "sha256": self._digest.hexdigest(),
        }
        made = parent.model_copy(update=changes)
        write_atomic(self.into / self.key / MANIFEST, made.model_dump_json().encode())
        reached(Failpoint.CHILD_WRITTEN)
        return self.key
