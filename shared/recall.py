"""Puts what an older copy of the store has forgotten back into it, from the spool: pipelines, batches, and plans.

A batch's intent says that it may have been sent, its closing that it is out: neither is done again. What a plan has
paid for stays paid for.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from shared.annals import Annals
from shared.attempted import attempted
from shared.closing import Closing, read_closing
from shared.errors import SpoolError
from shared.estimate import estimate
from shared.failpoints import Failpoint, reached
from shared.lifecycle import State
from shared.manifest import Manifest
from shared.spool import Spool
from shared.store import Attempt, PlannedBatch, Store
from shared.store.lineage import Owner
from shared.trust import vouch


class Belonging(Enum):
    """Whose a pipeline of the spool is."""

    OURS = auto()
    """The store knows a run of it; or its name, where no run is on record."""
    FORGOTTEN = auto()
    """Its newest run was this store's, which knows none: it was restored from a copy that is older than the first."""
    ANOTHERS = auto()
    """Its newest run was another store's."""
    UNTOLD = auto()
    """No run is on record, and the store does not know its name."""


def belonging(store: Store, spool: Spool, pipeline: str) -> Belonging:
    """Whose a pipeline is. Raises SpoolError for a damaged record of its newest run."""
    if store.lineage.runs(pipeline, 1):
        return Belonging.OURS
    newest = Annals(spool, pipeline).newest()
    if newest is None or newest.pipeline != pipeline:
        return Belonging.UNTOLD if store.lineage.owner(pipeline) is None else Belonging.OURS
    is_ours = newest.installation == store.shards.installation_id()
    return Belonging.FORGOTTEN if is_ours else Belonging.ANOTHERS


def recall_pipeline(store: Store, spool: Spool, pipeline: str) -> bool:
    """Put back a forgotten pipeline: its name, its runs, what they state; whether the store knew no run of it.

    Before its batches, which its limits hold for. Raises SpoolError for a damaged record.
    """
    runs = Annals(spool, pipeline).runs()
    first, newest = runs[0][0], runs[-1][0]
    owner = Owner(pipeline, newest.file, spool.address, first.started_at)
    return store.recalls.pipeline(owner, [run.run(end) for run, end in runs], newest.days, newest.terms)


def recall(store: Store, spool: Spool, manifest: Manifest, environ: Mapping[str, str] = os.environ) -> bool:
    """Put a batch back; False for one that the store knows, or that comes back or needs nothing otherwise.

    A child comes back with its parent's results, by the decision on them; where the rows are deleted, all is out.
    Raises SpoolError for a damaged file in its folder, and for a definition that nobody vouches for.
    """
    folder = spool.batch(manifest.pipeline, manifest.statement, manifest.batch_key)
    closing = read_closing(spool, folder)
    size = spool.files.size(manifest.sealed_file)
    if closing is None and (manifest.generation > 0 or size is None):
        return False
    if size is not None and size < manifest.end:
        raise SpoolError(f"the manifest of {folder} tells of {manifest.end} bytes of a sealed file that has {size}")
    vouch(store, manifest.definition, environ)
    store.lineage.put_definition(manifest.definition)
    planned = _estimated(manifest)
    made = attempted(spool, folder, planned) if closing is None else []
    is_back = _put_back(store, planned, closing, made)
    if is_back:
        reached(Failpoint.RECALLED)
    return is_back


def recall_plans(store: Store, spool: Spool, pipeline: str, damaged: Callable[[SpoolError], None] | None = None) -> int:
    """Put back the plans of files that are deleted, with the positions that they paid for; how many were absent.

    Those of files that are there are told by their manifests, to whoever plans them. `damaged` is told of each record
    that can't be read. Raises SpoolAway; SpoolError for a damaged record where nobody is told.
    """
    records = Annals(spool, pipeline).plans(store.plans.addresses(pipeline), damaged)
    count = 0
    for record in records:
        is_gone = record.pipeline == pipeline and spool.files.size(record.address) is None
        if is_gone and store.recalls.plan(record.plan()):
            reached(Failpoint.PLAN_RECALLED)
            count += 1
    return count


def _put_back(store: Store, planned: PlannedBatch, closing: Closing | None, made: Sequence[Attempt]) -> bool:
    if closing is not None:
        end = closing.model_dump(exclude={"version", "batch_key", "state"})
        return store.recalls.ended(planned, State(closing.state), end)
    return store.recalls.sent(planned, made) if made else store.recalls.planned(planned)


def _estimated(manifest: Manifest) -> PlannedBatch:
    """What it may cost is to be reserved again."""
    planned = PlannedBatch.of(manifest)
    guess = estimate(manifest.definition, planned)
    return replace(planned, estimated_tokens=guess.tokens, estimated_cost_usd=guess.usd)
