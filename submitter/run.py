"""One run of a pipeline, from the claim of its name to its end: which road it takes, the job, what is said of it."""

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pyflink.table import StreamTableEnvironment

from shared.errors import BatchlineError, SettingsError
from shared.kafka import KafkaClusters
from shared.spool import Spool
from shared.store import Store
from shared.topics import BATCHES_PARTITIONS, ensure_topic
from submitter import checkpoints
from submitter.assembly import errand
from submitter.chronicle import Chronicle
from submitter.claim import AlreadyRunning, claimed, outlive
from submitter.cluster import EmbeddedCluster, RemoteCluster, Unrestorable
from submitter.configuration import CHECKPOINTS, Start, defaults, is_local, recovery_path, whole
from submitter.fingerprint import fingerprint
from submitter.hands import Workers
from submitter.limits import limits
from submitter.lineage import Road
from submitter.names import moved
from submitter.pipeline.values import Pipeline, Statement
from submitter.progress import Ending
from submitter.roads import Roads
from submitter.sealing import Rolling
from submitter.source_state import exhausted
from submitter.sources import changes
from submitter.starting import Finder, Places, admit, anew, blind, plan_finished, way_out
from submitter.tally import Counter
from submitter.topic_guard import TopicGuard
from submitter.user_table import UserTable
from submitter.watch import Outcome, Watch, drain

_MAY_LIVE = 5
"""Runs whose job is looked for: the newest one may never have come to the cluster."""


class RunFailed(BatchlineError):
    """The job ended by itself; the message has its last failure."""


@dataclass(frozen=True)
class Wishes:
    """What the command line says."""

    overrides: Mapping[str, str]
    fresh: bool = False
    resubmit: bool = False
    replication: int = 1
    """Of the batches topic, if it has to be created."""


@dataclass
class Runner:
    """A run, with all that it needs."""

    pipeline: Pipeline
    tables: StreamTableEnvironment
    store: Store
    spool: Spool
    clusters: KafkaClusters
    wishes: Wishes
    say: Callable[[str], None]
    stop: threading.Event
    _trouble: str | None = None

    def run(self) -> None:
        """Until the job is finished or stopped. Raises BatchlineError."""
        name = self.pipeline.name
        with claimed(self.store, name, self.stop):
            cluster = self._cluster()
            if cluster.local:
                outlive(self.spool, name, self.stop)
            self._chronicle.refuse_forgotten()
            self._refuse_beside_live_job(cluster)
            self._prepare()
            start = self._begin()
            try:
                cluster.launch(self.pipeline, start, self._configuration(start))
                outcome = self._watch(cluster, start)
            except BaseException as error:
                self._chronicle.finish(start.epoch, "failed")
                if isinstance(error, Unrestorable):
                    raise self._unrestorable(start, str(error)) from error
                raise
            self._end(cluster, start, outcome)
            if outcome == "superseded":
                raise AlreadyRunning(f"a newer run of pipeline '{name}' has begun elsewhere; this one has ended")
            if outcome == "topic changed":
                raise RunFailed(self._trouble or "an input topic is another one now: run again")

    def _prepare(self) -> None:
        """What the job writes to is there, the definitions outlive it, and what it may cost is known to all."""
        pipeline = self.pipeline
        client = self.clusters.client(pipeline.bootstrap_servers, pipeline.batches_kafka)
        ensure_topic(client, pipeline.settings.batches_topic, BATCHES_PARTITIONS, self.wishes.replication)
        for statement in pipeline.statements:
            self._chronicle.define(statement.definition)
        self.store.budgets.state(pipeline.name, limits(pipeline))

    def _cluster(self) -> "EmbeddedCluster | RemoteCluster":
        configuration = self._theirs()
        if is_local(configuration):
            return EmbeddedCluster(self.tables, self.spool, configuration)
        return RemoteCluster(configuration, self.spool, self.wishes.overrides)

    def _refuse_beside_live_job(self, cluster: "EmbeddedCluster | RemoteCluster") -> None:
        runs = self.store.lineage.runs(self.pipeline.name, _MAY_LIVE)
        live = next((run for run in runs if run.job_id and cluster.is_live(run.job_id)), None)
        if live:
            raise SettingsError(
                f"pipeline '{self.pipeline.name}' already runs on the cluster as job {live.job_id}: cancel it there "
                "first (flink cancel), then run again; nothing is lost"
            )

    def _begin(self) -> Start:
        """Choose the road, prepare it, and begin the run in the lineage."""
        pipeline, theirs = self.pipeline, self._theirs()
        mark = fingerprint(pipeline, self.tables, theirs.get("parallelism.default", "1"))
        road = self._road(mark)
        places = Places() if road.restore else self._places(road)
        job_id = uuid.uuid4().hex
        epoch = self.store.lineage.begin(
            pipeline.name,
            definition=mark,
            spool=self.spool.address,
            job_id=job_id,
            restored_from=road.restore,
            started_from=None if road.restore else places.record(),
            fresh=self.wishes.fresh,
        )
        self._chronicle.begun(epoch)
        claim_mode: Literal["CLAIM"] | None = "CLAIM" if road.is_own else None
        starts = {statement.name: places.of(statement.name) for statement in pipeline.statements}
        return Start(epoch=epoch, job_id=job_id, restore=road.restore, claim_mode=claim_mode, starts=starts)

    def _road(self, mark: str) -> Road:
        roads = Roads(self.pipeline.name, self.store, self.spool, self._checkpoint_folder())
        reads_on = not self.pipeline.plain and all(each.definition.source for each in self.pipeline.statements)
        road = roads.find(mark, recovery_path(self._theirs()), fresh=self.wishes.fresh, reads_on=reads_on)
        if road.restore:
            self.say(f"continues from checkpoint {road.restore} ({road.reason})")
        elif not road.first:
            self.say(f"starts without Flink state: {road.reason}")
        return road

    def _places(self, road: Road) -> Places:
        """The road without Flink state."""
        pipeline = self.pipeline
        if not road.first:
            self._admit()
        planner = Workers(errand(pipeline, epoch=0), self.store, self.spool)
        planned = plan_finished(pipeline.name, self.store, self.spool, planner.plan, self.say)
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
        return places

    def _admit(self) -> None:
        """Whether rows may be paid for again, and what is to be said of it."""
        positioned = [each.name for each in self.pipeline.statements if each.definition.source is not None]
        for said in admit(self._blind(), positioned, resubmit=self.wishes.resubmit):
            self.say(said)
        for warning in anew(self.pipeline.plain):
            self.say(warning)

    def _blind(self) -> list[str]:
        return blind(self.pipeline.name, self.pipeline.statements, self.store, self.spool)

    def _watch(self, cluster: "EmbeddedCluster | RemoteCluster", start: Start) -> Outcome:
        pipeline = self.pipeline
        counter = Counter(self.store, self.spool, pipeline.name, tuple(each.name for each in pipeline.statements))
        inputs = [*(each.input.bounded for each in pipeline.statements), *(each.bounded for each in pipeline.plain)]
        ages = [each.definition.batch.max_age for each in pipeline.statements if each.input.bounded]
        settled = max((Rolling(age, 1, bounded=True).settled_after for age in ages), default=0.0)
        guard = TopicGuard(pipeline.statements, self.clusters)
        watch = Watch(
            flink=cluster.rest,
            job_id=start.job_id,
            ending=Ending(settled),
            tally=counter.tally,
            say=self.say,
            stop=self.stop,
            restored=start.restore is not None,
            bounded=all(inputs),
            exhausted=partial(self._exhausted, start.job_id),
            is_current=partial(self.store.lineage.is_current, pipeline.name, start.epoch),
            changed=guard.found,
            ended=cluster.ended,
            gives_up=cluster.local,
        )
        with guard.watching():
            outcome = watch.follow()
        self._trouble = watch.trouble
        if outcome == "unrestorable":
            raise self._unrestorable(start, watch.trouble)
        if outcome in ("failed", "canceled", "away"):
            raise RunFailed(f"the job is {outcome}: {watch.trouble or 'see its log'} ({cluster.log})")
        return outcome

    def _unrestorable(self, start: Start, trouble: str | None) -> RunFailed:
        return RunFailed(f"Flink can't restore {start.restore}: {trouble}\n{way_out(self._blind())}")

    def _exhausted(self, job_id: str, newer_than: int) -> bool:
        found = checkpoints.complete(self._checkpoint_folder(), [job_id])[job_id]
        return exhausted([checkpoint for checkpoint in found if checkpoint.number > newer_than])

    def _end(self, cluster: "EmbeddedCluster | RemoteCluster", start: Start, outcome: Outcome) -> None:
        """No new create from here on; those in flight come to their durable step; then the job is cancelled."""
        self._chronicle.finish(start.epoch, outcome)
        counter = Counter(self.store, self.spool, self.pipeline.name, ())
        if not drain(counter.in_flight, threading.Event().wait):
            self.say("a create is still in flight; its outcome will be looked up by the next run, or by the poller")
        cluster.cancel(start.job_id)
        skipped = counter.skipped()
        self.say(
            f"{outcome}; everything sealed is durable"
            + (f"; {skipped:,} records came again and were skipped, as they are paid for" if skipped else "")
        )

    @property
    def _chronicle(self) -> Chronicle:
        return Chronicle(self.store, self.spool, self.pipeline.name)

    def _configuration(self, start: Start) -> dict[str, str]:
        return whole(defaults(self.pipeline.name, self._checkpoint_folder()), self._theirs(), start)

    def _theirs(self) -> dict[str, str]:
        return {**self.pipeline.flink, **self.wishes.overrides}

    def _checkpoint_folder(self) -> str:
        theirs = self._theirs()
        address = next((theirs[name] for name in CHECKPOINTS if name in theirs), None)
        if address is not None and checkpoints.is_readable(address):
            return address
        return checkpoints.default_folder(self.spool, self.pipeline.name)

    def _options_of(self, statement: Statement) -> Mapping[str, str]:
        return UserTable(self.tables, statement.input.identifier).options()
