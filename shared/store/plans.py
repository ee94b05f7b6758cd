"""Plans of sealed files: made once, committed in one transaction with their batches and positions, never recomputed."""

from datetime import datetime

from sqlalchemy import Connection, exists, func, select

from shared.store.batch_rows import insert
from shared.store.database import Database, insert_absent
from shared.store.positions import absorb, pay
from shared.store.tables import positions, sealed_files
from shared.store.values import Plan, PlannedBatch, PositionRun

__all__ = ["Plan", "PlannedBatch", "Plans", "PositionRun"]


class Plans:
    """Which sealed files are planned, and the one way to plan one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_planned(self, address: str) -> bool:
        with self._database.read() as connection:
            return bool(connection.execute(select(exists().where(sealed_files.c.address == address))).scalar())

    def planned_at(self, address: str) -> datetime | None:
        """When a file's plan was made; None for one without."""
        made = select(sealed_files.c.planned_at).where(sealed_files.c.address == address)
        with self._database.read() as connection:
            return connection.execute(made).scalar_one_or_none()

    def attempt(self, address: str) -> str | None:
        """The folder that a file's plan was written in; None for one without."""
        folder = select(sealed_files.c.attempt_folder).where(sealed_files.c.address == address)
        with self._database.read() as connection:
            return connection.execute(folder).scalar_one_or_none()

    def has_arrays(self, pipeline: str, statement: str) -> bool:
        """Whether records of a statement have given several rows: more were sent than there are positions paid for."""
        sent = select(func.coalesce(func.sum(sealed_files.c.rows - sealed_files.c.skipped), 0)).where(
            sealed_files.c.pipeline == pipeline, sealed_files.c.statement == statement
        )
        paid = select(func.coalesce(func.sum(positions.c.end_offset - positions.c.start_offset), 0)).where(
            positions.c.pipeline == pipeline, positions.c.statement == statement
        )
        with self._database.read() as connection:
            return int(connection.execute(sent).scalar_one()) > int(connection.execute(paid).scalar_one())

    def addresses(self, pipeline: str) -> list[str]:
        """The files of a pipeline that have a plan."""
        with self._database.read() as connection:
            mine = select(sealed_files.c.address).where(sealed_files.c.pipeline == pipeline)
            return list(connection.execute(mine).scalars())

    def last(self, pipeline: str) -> datetime | None:
        """When a pipeline's last plan was made; None before the first."""
        newest = select(func.max(sealed_files.c.planned_at)).where(sealed_files.c.pipeline == pipeline)
        with self._database.read() as connection:
            return connection.execute(newest).scalar_one_or_none()

    def commit(self, plan: Plan) -> bool:
        """Commit a plan; True when it is the file's plan now, False when another attempt was first.

        After StoreUnavailable nobody knows whether it was committed: keep the attempt's folder; committing the same
        plan again is idempotent. Raises PositionsPaid, with nothing written, when another plan paid for some of its
        positions meanwhile.
        """
        with self._database.write() as connection:
            file = {name: getattr(plan, name) for name in sealed_files.columns.keys()}  # noqa: SIM118 - iterating gives columns
            if not insert_absent(connection, sealed_files, file):
                winner = select(sealed_files.c.attempt_folder).where(sealed_files.c.address == plan.address)
                return bool(connection.execute(winner).scalar_one() == plan.attempt_folder)
            pay(connection, plan.pipeline, plan.statement, plan.positions)
            now = self._database.clock()
            for batch in plan.batches:
                insert(connection, batch, now, attempt_folder=plan.attempt_folder)
            return True


def put_back(connection: Connection, plan: Plan) -> bool:
    """Put a plan back that the store has forgotten, with its positions; whether it was absent.

    Its batches come back by their manifests. What another plan has paid for meanwhile is paid for twice already.
    """
    file = {name: getattr(plan, name) for name in sealed_files.columns.keys()}  # noqa: SIM118 - iterating gives columns
    if not insert_absent(connection, sealed_files, file):
        return False
    absorb(connection, plan.pipeline, plan.statement, plan.positions)
    return True
