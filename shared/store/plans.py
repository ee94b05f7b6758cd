"""Plans of sealed files: made once, committed in one transaction with their batches and positions, never recomputed."""

from datetime import timedelta

from sqlalchemy import exists, select

from shared.store.batch_rows import insert
from shared.store.database import Database, insert_absent
from shared.store.leases import hold, take
from shared.store.positions import pay
from shared.store.tables import sealed_files
from shared.store.values import Fence, Plan, PlannedBatch, PositionRun

__all__ = ["Plan", "PlannedBatch", "Plans", "PositionRun"]

INITIAL_TTL = timedelta(minutes=2)
"""How long a planner's first lease on each of its batches lasts, unless it says otherwise."""


class Plans:
    """Which sealed files are planned, and the one way to plan one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_planned(self, address: str) -> bool:
        with self._database.read() as connection:
            return bool(connection.execute(select(exists().where(sealed_files.c.address == address))).scalar())

    def planned(self, pipeline: str, statement: str) -> set[str]:
        """The addresses of a statement's planned files."""
        mine = (sealed_files.c.pipeline == pipeline) & (sealed_files.c.statement == statement)
        with self._database.read() as connection:
            return set(connection.execute(select(sealed_files.c.address).where(mine)).scalars())

    def attempt_folder(self, address: str) -> str | None:
        """The attempt whose plan of a file was committed; None for a file that is not planned."""
        with self._database.read() as connection:
            query = select(sealed_files.c.attempt_folder).where(sealed_files.c.address == address)
            return connection.execute(query).scalar_one_or_none()

    def commit(
        self, plan: Plan, *, holder: str | None = None, ttl: timedelta = INITIAL_TTL, fence: Fence = None
    ) -> bool:
        """Commit a plan; True when it is the file's plan now, False when another attempt was first.

        With `holder`, each of its batches starts under that holder's lease (`batch/<key>`). After StoreUnavailable
        nobody knows whether it was committed: keep the attempt's folder, and commit the same plan again; it is
        idempotent. Raises PositionsPaid, with nothing written, when another plan paid for some of its positions
        meanwhile; LeaseLost when the fence fell.
        """
        with self._database.write() as connection:
            hold(connection, fence)
            file = {name: getattr(plan, name) for name in sealed_files.columns.keys()}  # noqa: SIM118 - iterating gives columns
            if not insert_absent(connection, sealed_files, file):
                winner = select(sealed_files.c.attempt_folder).where(sealed_files.c.address == plan.address)
                return bool(connection.execute(winner).scalar_one() == plan.attempt_folder)
            pay(connection, plan.pipeline, plan.statement, plan.positions)
            now = self._database.clock()
            for batch in plan.batches:
                insert(connection, batch, now, attempt_folder=plan.attempt_folder)
                if holder is not None:
                    take(connection, f"batch/{batch.batch_key}", holder, now, ttl)
            return True
