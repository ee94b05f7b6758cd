"""What a job of a pipeline needs before it begins: topics, definitions, and the road and the places it starts from."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pyflink.table import StreamTableEnvironment

from shared.errors import SettingsError
from shared.kafka import KafkaClusters
from shared.spool import SealedFile, Spool
from shared.store import Store
from shared.topics import BATCHES_PARTITIONS, ensure_topic
from submitter.desk.hands import Workers
from submitter.job.assembly import errand
from submitter.job.configuration import CHECKPOINTS, recovery_path
from submitter.job.user_table import UserTable
from submitter.lineage import checkpoints
from submitter.lineage.chronicle import Chronicle
from submitter.lineage.fingerprint import fingerprint
from submitter.lineage.lineage import Road
from submitter.lineage.roads import Roads
from submitter.lineage.sources import changes
from submitter.lineage.starting import Finder, Places, Plan, admit, anew, blind, cut_short, plan_finished
from submitter.pipeline.names import moved
from submitter.pipeline.values import Pipeline, Statement
from submitter.run.limits import limits, terms
from submitter.stopping import unless_stopped


@dataclass(frozen=True)
class Wishes:
    """What the user says of a start."""

    overrides: Mapping[str, str]
    """Flink configuration that wins over the pipeline's."""
    fresh: bool = False
    resubmit: bool = False
    replication: int = 1
    """Of the batches topic, if it has to be created."""


@dataclass(frozen=True)
class Beginning:
    """One start of a pipeline."""

    pipeline: Pipeline
    tables: StreamTableEnvironment
    store: Store
    spool: Spool
    clusters: KafkaClusters
    wishes: Wishes
    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    """Ends the planning of what is finished, after the file that is at it."""

    @property
    def configuration(self) -> dict[str, str]:
        """The user's Flink configuration."""
        return {**self.pipeline.flink, **self.wishes.overrides}

    @property
    def checkpoint_folder(self) -> str:
        """The URL of the pipeline's checkpoints, as far as we can look there."""
        address = self._stated_folder
        if address is not None and checkpoints.is_readable(address):
            return address
        return checkpoints.default_folder(self.spool, self.pipeline.name)

    @property
    def _stated_folder(self) -> str | None:
        """What the user says of where checkpoints go."""
        return next((self.configuration[name] for name in CHECKPOINTS if name in self.configuration), None)

    @property
    def chronicle(self) -> Chronicle:
        return Chronicle(self.store, self.spool, self.pipeline.name)

    def prepare(self) -> None:
        """What the job writes to is there, the definitions outlive it, and what holds for it is known to all."""
        pipeline = self.pipeline
        client = self.clusters.client(pipeline.bootstrap_servers, pipeline.batches_kafka)
        ensure_topic(client, pipeline.settings.batches_topic, BATCHES_PARTITIONS, self.wishes.replication)
        for statement in pipeline.statements:
            self.chronicle.define(statement.definition)
        self.store.budgets.state(pipeline.name, limits(pipeline))
        self.store.terms.state(pipeline.name, terms(pipeline, self._stated_folder))

    def mark(self) -> str:
        """What tells this job from one that another file made; see fingerprint."""
        return fingerprint(self.pipeline, self.tables, self.configuration.get("parallelism.default", "1"))

    def road(self, mark: str) -> Road:
        """The state that the lineage, or the user, lets this job continue from."""
        roads = Roads(self.pipeline.name, self.store, self.spool, self.checkpoint_folder)
        reads_on = not self.pipeline.plain and all(each.definition.source for each in self.pipeline.statements)
        return roads.find(mark, recovery_path(self.configuration), fresh=self.wishes.fresh, reads_on=reads_on)

    def places(self, road: Road) -> Places:
        """Where a start without Flink state reads from, with everything planned that is finished."""
        pipeline = self.pipeline
        if not road.first:
            self._admit()
        planned = plan_finished(pipeline.name, self.store, self.spool, self._plan(), self.say)
        if planned:
            self.say(f"planned {planned} sealed files that had no plan yet")
        used, now = self.store.lineage.used(pipeline.name), [each.definition for each in pipeline.statements]
        if wrong := moved(used, now):
            raise SettingsError("\n".join(f"{each.now}: {each.said}" for each in wrong))
        changed = changes(used, now)
        for change in changed:
            self.say(change.said)
        recreated = {(change.statement, change.topic) for change in changed if change.kind == "recreated"}
        finder = Finder(pipeline.name, self.store, self.clusters, self._options_of, recreated)
        places = finder.find(pipeline.statements)
        for place in places.places:
            self.say(
                f"starts from position {place.offset} of {place.topic}/{place.partition} for {place.statement}"
                + (f"; {place.again:,} records after it are paid for and will be skipped" if place.again else "")
                + (f"; {place.gone:,} records before it are gone from the topic" if place.gone else "")
            )
        positioned = [each.name for each in pipeline.statements if each.definition.source is not None]
        for warning in cut_short([name for name in positioned if self.store.plans.has_arrays(pipeline.name, name)]):
            self.say(warning)
        return places

    def blind(self) -> list[str]:
        """The statements whose rows can't be told apart from those already paid for."""
        return blind(self.pipeline.name, self.pipeline.statements, self.store, self.spool)

    def _admit(self) -> None:
        """Whether rows may be paid for again, and what is to be said of it."""
        positioned = [each.name for each in self.pipeline.statements if each.definition.source is not None]
        for said in admit(self.blind(), positioned, resubmit=self.wishes.resubmit):
            self.say(said)
        for warning in anew(self.pipeline.plain):
            self.say(warning)

    def _plan(self) -> Plan:
        planner = Workers(errand(self.pipeline, epoch=0), self.store, self.spool)

        def plan(pipeline: str, statement: str, file: SealedFile) -> list[str]:
            unless_stopped(self.stop)
            return planner.plan(pipeline, statement, file)

        return plan

    def _options_of(self, statement: Statement) -> Mapping[str, str]:
        return UserTable(self.tables, statement.input.identifier).options()
