"""What must outlive the state store, beside the data: each run, each definition, each plan. Files, written once.

They lie in <pipeline>/annals of the spool, and stay when the data are deleted: what is paid for stays paid for.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from shared.definition import Definition
from shared.errors import SpoolError
from shared.keys import batch_key
from shared.spool import ANNALS, PLAN, Spool
from shared.store.budgets import Limit
from shared.store.terms import Stated
from shared.store.values import Plan, PositionRun, Run

_RUN = re.compile(r"run-([0-9]+)\.json")
Parsed = TypeVar("Parsed", bound=BaseModel)


class Record(BaseModel):
    """Versioned; unknown fields are a later version's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    installation: str = Field(pattern=r"^[0-9a-f]{32}$")
    """Whose it is: transactional ids are made of it."""


class RunRecord(Record):
    """A run that began. Written before its job is started."""

    pipeline: str
    file: str
    """The identity of the file that owns the pipeline's name."""
    epoch: int = Field(ge=1)
    job_id: str | None
    definition: str
    started_at: datetime
    restored_from: str | None
    started_from: dict[str, JsonValue] | None
    fresh: bool
    limits: tuple[tuple[str, str | None, float], ...] = ()
    """(statement, model, US dollars) of each limit on what a day may cost, as `shared.store.budgets` has them."""
    retention: float | None = None
    """Seconds that its data are kept, if it says so."""
    quarantine: float | None = None
    """Seconds that its unanswered creates are looked for, if it says so."""
    checkpoints: str | None = None
    """The address of its checkpoints, where they don't lie in its spool."""

    def run(self, end: "EndRecord | None") -> Run:
        """The run, as the store keeps it."""
        return Run(
            pipeline=self.pipeline,
            epoch=self.epoch,
            job_id=self.job_id,
            definition=self.definition,
            started_at=self.started_at,
            ended_at=end.ended_at if end else None,
            outcome=end.outcome if end else None,
            restored_from=self.restored_from,
            started_from=dict(self.started_from) if self.started_from is not None else None,
            fresh=self.fresh,
            skipped=0,
        )

    @property
    def days(self) -> list[Limit]:
        """What a day may cost, as the run said."""
        return [Limit(*limit) for limit in self.limits]

    @property
    def terms(self) -> Stated:
        return Stated(_span(self.retention), _span(self.quarantine), self.checkpoints)


class EndRecord(Record):
    """How a run ended."""

    outcome: str
    ended_at: datetime


class PlanRecord(Record):
    """What became of a sealed file. Written with the attempt, and put in its place before any of its batches."""

    pipeline: str
    statement: str
    address: str
    definition: str
    rows: int
    skipped: int
    sealed_at: datetime
    planned_at: datetime
    attempt: str
    """The folder in which the batches were written."""
    batches: tuple[str, ...]
    """Their keys."""
    positions: tuple[tuple[str, str, int, int, int], ...]
    """(cluster id, topic id, partition, start, end) of each run that it pays for."""
    continued: tuple[tuple[str, str, int, int], ...] = ()
    """(cluster id, topic id, partition, offset) of each that another file's plan paid for, and that goes on here."""

    @classmethod
    def of(cls, plan: Plan, installation: str) -> Self:
        """The record of a plan."""
        return cls(
            installation=installation,
            pipeline=plan.pipeline,
            statement=plan.statement,
            address=plan.address,
            definition=plan.definition,
            rows=plan.rows,
            skipped=plan.skipped,
            sealed_at=plan.sealed_at,
            planned_at=plan.planned_at,
            attempt=plan.attempt_folder,
            batches=tuple(batch.batch_key for batch in plan.batches),
            positions=tuple(
                (run.cluster_id, run.topic_id, run.partition, run.start, run.end) for run in plan.positions
            ),
            continued=plan.continued,
        )

    def plan(self) -> Plan:
        """The plan, without its batches: they have manifests of their own."""
        return Plan(
            pipeline=self.pipeline,
            statement=self.statement,
            address=self.address,
            definition=self.definition,
            rows=self.rows,
            skipped=self.skipped,
            sealed_at=self.sealed_at,
            planned_at=self.planned_at,
            attempt_folder=self.attempt,
            positions=tuple(PositionRun(*run) for run in self.positions),
            continued=self.continued,
        )


class Annals:
    """One pipeline's. Every verb raises SpoolError for what is damaged, SpoolAway for what can't be reached."""

    def __init__(self, spool: Spool, pipeline: str) -> None:
        self._files, self._folder = spool.files, f"{pipeline}/{ANNALS}"

    def keep_definition(self, definition: Definition) -> None:
        """A definition that files may be sealed by from now on."""
        self._files.create(f"{self._folder}/definitions/{definition.hash}.json", definition.canonical())

    def keep_run(
        self, run: Run, file: str, installation: str, limits: Iterable[Limit] = (), terms: Stated | None = None
    ) -> None:
        """A run that is about to start its job, what a day of its pipeline may cost, and its terms."""
        values = {name: getattr(run, name) for name in RunRecord.model_fields if hasattr(run, name)}
        for name, span in asdict(terms or Stated()).items():
            values[name] = span.total_seconds() if isinstance(span, timedelta) else span
        stated = tuple((limit.statement, limit.model, limit.usd) for limit in limits if limit.usd is not None)
        record = RunRecord(**values, file=file, installation=installation, limits=stated)
        self._files.create(f"{self._folder}/run-{run.epoch}.json", record.model_dump_json().encode())

    def keep_end(self, epoch: int, outcome: str, ended_at: datetime, installation: str) -> None:
        """How a run ended; the first word stands."""
        record = EndRecord(outcome=outcome, ended_at=ended_at, installation=installation)
        self._files.create(f"{self._folder}/ended-{epoch}.json", record.model_dump_json().encode())

    def runs(self) -> list[tuple[RunRecord, EndRecord | None]]:
        """Every run that began, with its end, the newest last."""
        runs = (
            (self._read(RunRecord, f"run-{epoch}.json"), self._read(EndRecord, f"ended-{epoch}.json"))
            for epoch in self._epochs()
        )
        return [(run, end) for run, end in runs if run is not None]

    def newest(self) -> RunRecord | None:
        """The run that began last; None before the first."""
        epochs = self._epochs()
        return self._read(RunRecord, f"run-{epochs[-1]}.json") if epochs else None

    def definition(self, hash_: str) -> Definition | None:
        return self._read(Definition, f"definitions/{hash_}.json")

    def definitions(self) -> Iterator[Definition]:
        """Every definition that a run was started with."""
        for entry in self._files.entries(f"{self._folder}/definitions"):
            data = self._files.read(entry.address)
            if data is not None:
                yield _parsed(Definition, data, entry.address)

    def plans(
        self, known: Iterable[str] = (), damaged: Callable[[SpoolError], None] | None = None
    ) -> Iterator[PlanRecord]:
        """Every plan of which a batch may have been sent, or that had none; but for those of files in `known`.

        `damaged` is told of each record that can't be read, which then keeps no other.
        """
        passed = {f"{plan_name(address)}.json" for address in known}
        for entry in self._files.entries(f"{self._folder}/plans"):
            data = self._files.read(entry.address) if entry.name not in passed else None
            if data is None:
                continue
            try:
                record = _parsed(PlanRecord, data, entry.address)
            except SpoolError as error:
                if damaged is None:
                    raise
                damaged(error)
                continue
            yield record

    def plan(self, address: str, attempt: str) -> PlanRecord | None:
        """The plan of a sealed file: where it was written, or in its place, into which it goes from there."""
        places = (f"{attempt}/{PLAN}", f"{self._folder}/plans/{plan_name(address)}.json")
        found = ((place, data) for place in places if (data := self._files.read(place)) is not None)
        return next((_parsed(PlanRecord, data, place) for place, data in found), None)

    def _epochs(self) -> list[int]:
        names = (_RUN.fullmatch(entry.name) for entry in self._files.entries(self._folder, "run-"))
        return sorted(int(name[1]) for name in names if name)

    def _read(self, record: type[Parsed], name: str) -> Parsed | None:
        data = self._files.read(f"{self._folder}/{name}")
        return None if data is None else _parsed(record, data, f"{self._folder}/{name}")


def plan_name(address: str) -> str:
    """The part of the keys that a sealed file's batches share, by which its plan is kept."""
    pipeline, statement, _ = address.split("/", 2)
    return batch_key(pipeline, statement, address.partition("/sealed/")[2], 0).rpartition("-")[0]


def write_plan(spool: Spool, plan: Plan, installation: str) -> None:
    """Write a plan's record beside its batches, before it is committed; `place_plan` gives it its place."""
    spool.files.create(f"{plan.attempt_folder}/{PLAN}", PlanRecord.of(plan, installation).model_dump_json().encode())


def place_plan(spool: Spool, plan: Plan) -> None:
    """Give a committed plan's record its place, also where it has no batch that would."""
    spool.place_plan(plan.attempt_folder, plan.pipeline, f"{plan_name(plan.address)}-0")


def _parsed(model: type[Parsed], data: bytes, address: str) -> Parsed:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise SpoolError(f"{address} is damaged: {error}") from error


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
