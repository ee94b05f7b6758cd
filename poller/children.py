"""Writes the batches that carry a batch's remainder: its request lines under new ids, and a manifest for each."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from poller.outcome import Carry, child_runs, records_in
from shared.errors import SpoolError
from shared.failpoints import Failpoint, reached
from shared.keys import child_key, custom_id, generation
from shared.manifest import Manifest
from shared.spool import MANIFEST, REQUESTS, Spool, make_folder, private_opener, write_atomic
from shared.store import Batch, PlannedBatch

Rename = Callable[[bytes, str], bytes]

_BUFFER = 1 << 20


def write_children(spool: Spool, attempt: str, manifest: Manifest, carries: list[Carry], rename: Rename) -> list[str]:
    """Write a child for each carry below the attempt's folder, memory flat; gives their keys. Raises SpoolError."""
    parent, into = spool.batch(manifest.pipeline, manifest.statement, manifest.batch_key), spool.files.work(attempt)
    keys = []
    with spool.files.local(f"{parent}/{REQUESTS}") as requests:
        for number, carry in enumerate(carries):
            key = child_key(manifest.batch_key, number)
            folder = into / key
            make_folder(folder)
            size, digest = _copy(requests, folder / REQUESTS, carry, key, rename)
            write_atomic(folder / MANIFEST, _manifest(manifest, key, carry, size, digest).model_dump_json().encode())
            keys.append(key)
            reached(Failpoint.CHILD_WRITTEN)
    spool.keep_attempt(attempt, keys)
    return keys


def planned(parent: Batch, child: Manifest) -> PlannedBatch:
    """The child's row; what was estimated for the parent falls to it by its share of the requests.

    On another road it costs something else: that is estimated anew.
    """
    share = child.requests / parent.requests
    tokens, cost = parent.estimated_tokens, parent.estimated_cost_usd if parent.mode == child.mode else None
    return replace(
        PlannedBatch.of(child),
        estimated_tokens=None if tokens is None else round(tokens * share),
        estimated_cost_usd=None if cost is None else cost * share,
    )


def _copy(source: Path, target: Path, carry: Carry, key: str, rename: Rename) -> tuple[int, str]:
    """Copy the carried lines under their new ids; gives their bytes and SHA-256."""
    digest, size, number = hashlib.sha256(), 0, 0
    wanted = iter(carry.requests)
    following = next(wanted, -1)
    with source.open("rb", _BUFFER) as lines, open(target, "wb", _BUFFER, opener=private_opener) as file:
        for request, line in enumerate(lines):
            if request != following:
                continue
            renamed = rename(line, custom_id(key, number))
            digest.update(renamed)
            size += file.write(renamed)
            number += 1
            following = next(wanted, -1)
            if following < 0:
                break
        file.flush()
        os.fsync(file.fileno())
    if number != len(carry.requests):
        raise SpoolError(f"{source} ends before request {following}")
    return size, digest.hexdigest()


def _manifest(parent: Manifest, key: str, carry: Carry, size: int, digest: str) -> Manifest:
    runs = child_runs(parent, carry.requests)
    changes = {
        "batch_key": key,
        "generation": generation(key),
        "parent": parent.batch_key,
        "retries": carry.retries,
        "mode": carry.mode,
        "runs": runs,
        "rejected": (),
        "requests": len(carry.requests),
        "records": records_in(runs),
        "bytes": size,
        "sha256": digest,
    }
    return parent.model_copy(update=changes)
