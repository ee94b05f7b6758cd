"""A pipeline's lineage: who owns its name, each run of its Flink job, and every definition that was ever used."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, literal, or_, select, update

from shared.definition import Definition
from shared.errors import NameTaken, StaleState
from shared.store.columns import UtcTime
from shared.store.database import Database, insert_absent
from shared.store.tables import definitions, pipelines, runs, sealed_files
from shared.store.values import Run


@dataclass(frozen=True)
class Owner:
    """Whose a pipeline's name is."""

    pipeline: str
    file: str
    spool: str
    claimed_at: datetime


class Lineage:
    """Names, runs, definitions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def owner(self, pipeline: str) -> str | None:
        """The identity of the file that owns a pipeline's name; None when it is free."""
        with self._database.read() as connection:
            return connection.execute(select(pipelines.c.file).where(pipelines.c.name == pipeline)).scalar_one_or_none()

    def claim_name(self, pipeline: str, file: str, *, take_over: bool = False) -> None:
        """Make a pipeline's name this file's. Raises NameTaken when it is another's, unless it is taken over."""
        with self._database.write() as connection:
            row = {"name": pipeline, "file": file, "epoch": 0, "claimed_at": self._database.clock()}
            if insert_absent(connection, pipelines, row):
                return
            this = pipelines.c.name == pipeline
            owner = connection.execute(select(pipelines.c.file).where(this).with_for_update()).scalar_one()
            if owner != file and not take_over:
                raise NameTaken(
                    f"the pipeline name '{pipeline}' is used by {owner} in this state store; choose another"
                )
            connection.execute(update(pipelines).where(this).values(file=file))

    def begin(
        self,
        pipeline: str,
        *,
        definition: str,
        spool: str,
        job_id: str | None = None,
        restored_from: str | None = None,
        started_from: dict[str, object] | None = None,
        fresh: bool = False,
    ) -> int:
        """Begin a run; its epoch, one more than the last. From now on the runs before it are not the newest.

        A job that begins again, known by its id, has the run that it began; a run without one is always new.
        `definition` is a hash over all of the pipeline's statements; `started_from` the positions of a start without
        state. Raises StaleState when the name was never claimed.
        """
        with self._database.write() as connection:
            this = pipelines.c.name == pipeline
            last = connection.execute(select(pipelines.c.epoch).where(this).with_for_update()).scalar_one_or_none()
            if last is None:
                raise StaleState(f"pipeline '{pipeline}' is not in the store: claim its name first")
            again = select(runs.c.epoch).where(runs.c.pipeline == pipeline, runs.c.job_id == job_id)
            begun = connection.execute(again).scalar_one_or_none() if job_id else None
            if begun is not None:
                return int(begun)
            connection.execute(update(pipelines).where(this).values(epoch=last + 1, spool=spool))
            run = {
                "pipeline": pipeline,
                "epoch": last + 1,
                "job_id": job_id,
                "definition": definition,
                "started_at": self._database.clock(),
                "restored_from": restored_from,
                "started_from": started_from,
                "fresh": fresh,
            }
            connection.execute(insert(runs).values(**run))
            return int(last) + 1

    def is_current(self, pipeline: str, epoch: int) -> bool:
        """Whether a run is the newest of its pipeline, and not over."""
        newest = runs.join(pipelines, (pipelines.c.name == runs.c.pipeline) & (pipelines.c.epoch == runs.c.epoch))
        this = (runs.c.pipeline == pipeline) & (runs.c.epoch == epoch) & runs.c.ended_at.is_(None)
        with self._database.read() as connection:
            return connection.execute(select(runs.c.epoch).select_from(newest).where(this)).first() is not None

    def finish(self, pipeline: str, epoch: int, outcome: str) -> None:
        """Note how a run ended; the first word stands."""
        self._amend(
            pipeline,
            epoch,
            outcome=func.coalesce(runs.c.outcome, outcome),
            ended_at=func.coalesce(runs.c.ended_at, literal(self._database.clock(), UtcTime)),
        )

    def runs(self, pipeline: str, limit: int | None = None) -> list[Run]:
        """A pipeline's runs, the newest first, at most `limit`."""
        during = and_(
            sealed_files.c.pipeline == runs.c.pipeline,
            sealed_files.c.planned_at >= runs.c.started_at,
            or_(runs.c.ended_at.is_(None), sealed_files.c.planned_at < runs.c.ended_at),
        )
        skipped = select(func.coalesce(func.sum(sealed_files.c.skipped), 0)).where(during).scalar_subquery()
        query = select(runs, skipped.label("skipped")).where(runs.c.pipeline == pipeline).order_by(runs.c.epoch.desc())
        query = query.limit(limit)
        with self._database.read() as connection:
            return [_run(row) for row in connection.execute(query)]

    def put_definition(self, definition: Definition) -> str:
        """Keep a definition for good; its hash."""
        with self._database.write() as connection:
            row = {"hash": definition.hash, "json": definition.canonical().decode()}
            insert_absent(connection, definitions, row)
        return definition.hash

    def definition(self, hash_: str) -> Definition | None:
        with self._database.read() as connection:
            query = select(definitions.c.json).where(definitions.c.hash == hash_)
            text = connection.execute(query).scalar_one_or_none()
        return None if text is None else Definition.model_validate_json(text)

    def used(self, pipeline: str) -> list[Definition]:
        """Each definition that a sealed file of a pipeline was planned by, the one that was used last at the end."""
        query = (
            select(definitions.c.json)
            .join(sealed_files, sealed_files.c.definition == definitions.c.hash)
            .where(sealed_files.c.pipeline == pipeline)
            .group_by(definitions.c.hash, definitions.c.json)
            .order_by(func.max(sealed_files.c.planned_at), definitions.c.hash)
        )
        with self._database.read() as connection:
            return [Definition.model_validate_json(text) for text in connection.execute(query).scalars()]

    def _amend(self, pipeline: str, epoch: int, **values: Any) -> None:
        with self._database.write() as connection:
            this = (runs.c.pipeline == pipeline) & (runs.c.epoch == epoch)
            if connection.execute(update(runs).where(this).values(**values)).rowcount != 1:
                raise StaleState(f"run {epoch} of pipeline '{pipeline}' is not in the store")


def put_back(connection: Connection, owner: Owner, known: Iterable[Run]) -> bool:
    """Put back a pipeline's name and runs that the store has forgotten; False, and nothing, where it knows a run."""
    rows = [{name: getattr(run, name) for name in runs.columns.keys()} for run in known]  # noqa: SIM118 - iterating gives columns
    # A command that was refused may have claimed the name before.
    connection.execute(delete(pipelines).where(pipelines.c.name == owner.pipeline, pipelines.c.epoch == 0))
    row = {"name": owner.pipeline, "file": owner.file, "spool": owner.spool, "claimed_at": owner.claimed_at}
    if not insert_absent(connection, pipelines, {**row, "epoch": max((each["epoch"] for each in rows), default=0)}):
        return False
    for each in rows:
        connection.execute(insert(runs).values(**each))
    return True


def _run(row: Row[Any]) -> Run:
    return Run(**{**row._asdict(), "skipped": int(row.skipped)})
