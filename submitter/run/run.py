"""One run of a pipeline, from the claim of its name to its end: which road it takes, the job, what is said of it."""

import threading
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pyflink.table import StreamTableEnvironment

from shared.errors import BatchlineError, StoreUnavailable
from shared.kafka import KafkaClusters
from shared.spool import Spool
from shared.store import Store
from submitter.desk.topic_guard import TopicGuard, watched
from submitter.job.cluster import EmbeddedCluster, RemoteCluster, Unrestorable
from submitter.job.configuration import Start, defaults, is_local, whole
from submitter.job.progress import Ending
from submitter.job.sealing import Rolling
from submitter.lineage import checkpoints
from submitter.lineage.lineage import Road
from submitter.lineage.source_state import exhausted
from submitter.lineage.starting import Places, way_out
from submitter.pipeline.values import Pipeline
from submitter.run.beginning import Beginning, Wishes
from submitter.run.claim import AlreadyRunning, claimed, outlive
from submitter.run.tally import Counter
from submitter.run.watch import Outcome, Watch, drain
from submitter.stopping import Stopped, stoppable, unless_stopped

__all__ = ["RunFailed", "Runner", "Wishes"]
_MAY_LIVE = 5
"""Runs whose job is looked for: the newest one may never have come to the cluster."""


class RunFailed(BatchlineError):
    """The job ended by itself; the message has its last failure."""


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
        """Until the job is finished or stopped. Raises BatchlineError, and Stopped before a run has begun."""
        with ExitStack() as held:
            with stoppable(self.stop):
                held.enter_context(claimed(self.store, self.pipeline.name, self.stop))
                cluster = self._cluster()
                start = self._start(cluster)
            outcome = self._job(cluster, start)
            self._end(cluster, start, outcome)
            if outcome == "superseded":
                raise AlreadyRunning(
                    f"a newer run of pipeline '{self.pipeline.name}' has begun elsewhere; this one has ended"
                )
            if outcome == "topic changed":
                raise RunFailed(self._trouble or "an input topic is another one now: run again")

    def _start(self, cluster: "EmbeddedCluster | RemoteCluster") -> Start:
        """With nobody beside it: what the job needs is there, and the run has begun in the lineage."""
        if cluster.local:
            outlive(self.spool, self.pipeline.name, self.stop, self.say)
        self._beginning.chronicle.remind()
        self._refuse_beside_live_job(cluster)
        self._beginning.prepare()
        return self._begin()

    def _job(self, cluster: "EmbeddedCluster | RemoteCluster", start: Start) -> Outcome:
        """Launch it, and follow it to its end. A run that has begun ends in the lineage too, however it does."""
        try:
            with stoppable(self.stop):
                cluster.launch(self.pipeline, start, self._configuration(start))
            return self._watch(cluster, start)
        except Stopped:
            return "stopped"
        except BaseException as error:
            self._finish(start.epoch, "failed")
            if isinstance(error, Unrestorable):
                raise self._unrestorable(start, str(error)) from error
            raise

    def _cluster(self) -> "EmbeddedCluster | RemoteCluster":
        configuration = self._beginning.configuration
        if is_local(configuration):
            return EmbeddedCluster(self.tables, self.spool, configuration)
        return RemoteCluster(configuration, self.spool, self.stop)

    def _refuse_beside_live_job(self, cluster: "EmbeddedCluster | RemoteCluster") -> None:
        runs = self.store.lineage.runs(self.pipeline.name, _MAY_LIVE)
        live = next((run for run in runs if run.job_id and cluster.is_live(run.job_id)), None)
        if live:
            raise AlreadyRunning(
                f"pipeline '{self.pipeline.name}' already runs on the cluster as job {live.job_id}: cancel it there "
                "first (flink cancel), then run again; nothing is lost"
            )

    def _begin(self) -> Start:
        """Choose the road, prepare it, and begin the run in the lineage."""
        pipeline, mark = self.pipeline, self._beginning.mark()
        road = self._road(mark)
        places = Places() if road.restore else self._beginning.places(road)
        unless_stopped(self.stop)
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
        self._beginning.chronicle.begun(epoch)
        claim_mode: Literal["CLAIM"] | None = "CLAIM" if road.is_own else None
        starts = {statement.name: places.of(statement.name) for statement in pipeline.statements}
        return Start(epoch=epoch, job_id=job_id, restore=road.restore, claim_mode=claim_mode, starts=starts)

    def _road(self, mark: str) -> Road:
        road = self._beginning.road(mark)
        if road.restore:
            self.say(f"continues from checkpoint {road.restore} ({road.reason})")
        elif not road.first:
            self.say(f"starts without Flink state: {road.reason}")
        return road

    def _watch(self, cluster: "EmbeddedCluster | RemoteCluster", start: Start) -> Outcome:
        pipeline = self.pipeline
        counter = Counter(self.store, self.spool, pipeline.name, tuple(each.name for each in pipeline.statements))
        inputs = [*(each.input.bounded for each in pipeline.statements), *(each.bounded for each in pipeline.plain)]
        ages = [each.definition.batch.max_age for each in pipeline.statements if each.input.bounded]
        settled = max((Rolling(age, 1, bounded=True).settled_after for age in ages), default=0.0)
        guard = TopicGuard(watched(pipeline.statements, self.clusters.environ), self.clusters)
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
        return RunFailed(f"Flink can't restore {start.restore}: {trouble}\n{way_out(self._beginning.blind())}")

    def _exhausted(self, job_id: str, newer_than: int) -> bool:
        found = checkpoints.complete(self._beginning.checkpoint_folder, [job_id])[job_id]
        return exhausted([checkpoint for checkpoint in found if checkpoint.number > newer_than])

    def _end(self, cluster: "EmbeddedCluster | RemoteCluster", start: Start, outcome: Outcome) -> None:
        """No new create from here on; those in flight come to their durable step; then the job is cancelled."""
        self._finish(start.epoch, outcome)
        counter = Counter(self.store, self.spool, self.pipeline.name, ())
        if not drain(counter.in_flight, threading.Event().wait):
            self.say("a create is still in flight; its outcome will be looked up by the next run, or by the poller")
        cluster.cancel(start.job_id)
        skipped = 0
        with suppress(StoreUnavailable):
            skipped = counter.skipped()
        self.say(
            f"{outcome}; everything sealed is durable"
            + (f"; {skipped:,} records came again and were skipped, as they are paid for" if skipped else "")
        )

    def _finish(self, epoch: int, outcome: str) -> None:
        """Record how the run ended. A store that is away keeps it from nothing, and will take it for a killed one."""
        try:
            self._beginning.chronicle.finish(epoch, outcome)
        except StoreUnavailable as away:
            self.say(f"the run's end is not recorded, which loses nothing: {away}")

    @property
    def _beginning(self) -> Beginning:
        known = self.pipeline, self.tables, self.store, self.spool, self.clusters, self.wishes
        return Beginning(*known, self.say, self.stop)

    def _configuration(self, start: Start) -> dict[str, str]:
        begun = self._beginning
        return whole(defaults(self.pipeline.name, begun.checkpoint_folder), begun.configuration, start)
