"""The state store: SQLite or PostgreSQL, the one truth about every batch. Callers use `Store` and its values."""

from shared.errors import PositionsPaid
from shared.store.creates import Attempt, Stray, Whose
from shared.store.store import Store
from shared.store.values import OWN_JOB, Batch, Lease, Plan, PlannedBatch, PositionRun, Run

__all__ = [
    "OWN_JOB",
    "Attempt",
    "Batch",
    "Lease",
    "Plan",
    "PlannedBatch",
    "PositionRun",
    "PositionsPaid",
    "Run",
    "Store",
    "Stray",
    "Whose",
]
