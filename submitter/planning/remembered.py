"""A plan that the store has forgotten, read from the manifests that it left in the spool: it is never computed anew.

The store was restored from an older copy. Another cut of the same file would send, and pay for, its rows again.
"""

from collections.abc import Sequence
from itertools import chain

from shared.errors import SpoolError
from shared.keys import batch_key
from shared.manifest import Manifest
from shared.rows import row_reader
from shared.spool import MANIFEST, SealedFile, Spool
from submitter.planning.ledger import Ledger


def remembered(spool: Spool, pipeline: str, statement: str, file: SealedFile) -> list[Manifest]:
    """The batches of a file that was planned before, in order; [] for a file that was not.

    Raises SpoolError where one of them is missing or damaged.
    """
    found: list[Manifest] = []
    while not found or found[-1].end < file.size:
        key = batch_key(pipeline, statement, file.address.partition("/sealed/")[2], len(found))
        if spool.files.size(f"{spool.batch(pipeline, statement, key)}/{MANIFEST}") is None:
            if not found:
                return []
            _settle(spool, pipeline, statement, key, file)
        found.append(spool.manifest(pipeline, statement, key))
    return found


def positions(
    spool: Spool, file: SealedFile, manifests: Sequence[Manifest], ledger: Ledger | None
) -> tuple[int, int, list[tuple[str, str, int, int, int]]]:
    """A planned file's rows, how many of them its plan skipped, and the runs of positions that it pays for.

    What the ledger has by now is left out of these. Raises SpoolError for a file that is not the manifests'.
    """
    rows = skipped = 0
    read = row_reader(manifests[0].definition)
    fates = chain.from_iterable(manifest.fates() for manifest in manifests)
    try:
        with spool.files.local(file.address) as path, path.open("rb") as lines:
            for line, fate in zip(lines, fates, strict=True):
                rows += 1
                if fate == "elsewhere":
                    skipped += 1
                elif ledger is not None:
                    ledger.take(read(line)["position"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise SpoolError(f"{file.address} is not the file that its manifests speak of ({error}): restore it") from error
    return rows, skipped, list(ledger.runs()) if ledger else []


def _settle(spool: Spool, pipeline: str, statement: str, key: str, file: SealedFile) -> None:
    """Give a batch its place that was committed, and still stands where it was written."""
    folder = f"{spool.statement(pipeline, statement)}/batches"
    for attempt in spool.files.entries(folder, ".plan-"):
        if spool.files.size(f"{attempt.address}/{key}/{MANIFEST}") is not None:
            spool.settle(attempt.address, pipeline, statement, key)
            return
    raise SpoolError(f"{file.address} was planned, and {key}, a batch of that plan, is missing: restore it")
