"""Plan a sealed file once: render its rows, cut them into batches on disk, and commit the plan in one transaction."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial

from shared.admission import Cut
from shared.annals import Annals, place_plan, write_plan
from shared.budget import cut_for
from shared.clock import Clock
from shared.definition import Definition, Model
from shared.errors import SpoolAway, SpoolError, StoreUnavailable
from shared.estimate import all_answers, estimate
from shared.failpoints import Failpoint, reached
from shared.keys import batch_key
from shared.manifest import Manifest
from shared.packed import asked
from shared.providers.port import Provider
from shared.question import scope_of
from shared.recall import recall
from shared.spool import SealedFile, Spool
from shared.store import Plan, PlannedBatch, PositionRun, PositionsPaid, Store
from shared.telemetry import Action, log
from shared.trust import vouch
from submitter.planning.draft import Draft
from submitter.planning.lately import Lately
from submitter.planning.ledger import Ledger
from submitter.planning.neighbours import Neighbours
from submitter.planning.plan import Touching
from submitter.planning.remembered import positions, remembered
from submitter.planning.room import room_of


class Planner:
    """Plans the sealed files of a pipeline. Several may work at once: the first commit wins, others leave no trace."""

    def __init__(self, store: Store, spool: Spool, provider_for: Callable[[Model], Provider], clock: Clock) -> None:
        self._store, self._spool, self._provider_for, self._clock = store, spool, provider_for, clock

    @cached_property
    def _installation(self) -> str:
        return self._store.shards.installation_id()

    def plan(self, pipeline: str, statement: str, file: SealedFile) -> list[str]:
        """Plan one file by the definition that sealed it; gives the new batches' keys, [] when another was first.

        Raises SpoolError for a file with a line that is not a sealed row, or by a definition that nobody knows; the
        file stays, unplanned, and loses nothing.
        """
        definition = self._definition(pipeline, statement, file)
        while not self._store.plans.is_planned(file.address):
            manifests = remembered(self._spool, pipeline, statement, file)
            if manifests:
                with suppress(PositionsPaid):
                    return self._recall(definition, file, manifests)
                continue
            attempt = self._spool.new_attempt(pipeline, statement)
            reached(Failpoint.PLAN_BEGUN)
            try:
                plan = self._draft(definition, file, attempt)
                write_plan(self._spool, plan, self._installation)
                reached(Failpoint.PLAN_WRITTEN)
                won = self._store.plans.commit(plan)
            except PositionsPaid:
                # Another file's plan paid for some of these rows after they were looked up: look again.
                self._spool.discard(attempt)
                continue
            except StoreUnavailable:
                # The commit may have taken effect: then these folders are the batches'. The janitor knows.
                raise
            except BaseException:
                self._spool.discard(attempt)
                raise
            if won:
                reached(Failpoint.PLAN_COMMITTED)
                return self._settle(plan)
            self._spool.discard(attempt)
        return []

    def _definition(self, pipeline: str, statement: str, file: SealedFile) -> Definition:
        """From the store; or, where that is an older copy, from its forgotten plan's manifest, or the annals."""
        known = self._store.lineage.definition(file.definition)
        if known is not None:
            return known
        first = batch_key(pipeline, statement, file.address.partition("/sealed/")[2], 0)
        try:
            remembered = self._spool.manifest(pipeline, statement, first).definition
        except SpoolAway:
            raise
        except SpoolError:
            kept = Annals(self._spool, pipeline).definition(file.definition)
            if kept is None:
                raise SpoolError(
                    f"{file.address} was sealed by a definition that neither the store nor the spool knows: it is left "
                    "as it is; its rows are read again by a start with --fresh"
                ) from None
            remembered = kept
        vouch(self._store, remembered)
        self._store.lineage.put_definition(remembered)
        return remembered

    def _recall(self, definition: Definition, file: SealedFile, manifests: list[Manifest]) -> list[str]:
        """Tell the store of a plan that it has forgotten. Raises PositionsPaid where another's is told meanwhile."""
        keys = [manifest.batch_key for manifest in manifests if recall(self._store, self._spool, manifest)]
        rows, skipped, runs = positions(self._spool, file, manifests, self._ledger(definition))
        attempt = self._spool.new_attempt(definition.pipeline, definition.statement)
        plan = Plan(
            pipeline=definition.pipeline,
            statement=definition.statement,
            address=file.address,
            definition=definition.hash,
            rows=rows,
            skipped=skipped,
            sealed_at=file.modified_at,
            planned_at=self._clock(),
            attempt_folder=attempt,
            positions=tuple(PositionRun(*run) for run in runs),
        )
        self._store.plans.commit(plan)
        reached(Failpoint.PLAN_RECALLED)
        self._spool.discard(attempt)
        return keys

    def _draft(self, definition: Definition, file: SealedFile, attempt: str) -> Plan:
        neighbours = Neighbours(self._store, self._spool, definition.pipeline, definition.statement, file)
        ledger = self._ledger(definition, neighbours)
        provider, folder = self._provider_for(definition.model), self._spool.files.work(attempt)
        stated = provider.profile.stated(definition.batch)
        cut = self._cut(definition, stated)
        room, requests = room_of(definition, self._rate(definition)), provider.requests(asked(definition))
        draft = Draft(definition, requests, provider.profile, file, folder, ledger, cut, room)
        if definition.batch.deduplicate_ttl is not None:
            scope = scope_of(definition)
            draft.lately = Lately(self._store.answers.known(scope), partial(self._store.answers.fetch, scope))
        with self._spool.files.local(file.address) as sealed:
            manifests = draft.write(sealed)
        if draft.lowered:
            log(
                Action.PACKS_LOWERED,
                logging.WARNING,
                file=file.address,
                requests=draft.lowered,
                size=definition.batch.size,
                message="one request has no room for as many records as 'batch.size' says",
            )
        doubtful = list(ledger.doubtful()) if ledger else []
        if doubtful and neighbours.is_cut_off:
            _tell(file, doubtful)
        self._spool.keep_attempt(attempt, [manifest.batch_key for manifest in manifests])
        return Plan(
            pipeline=definition.pipeline,
            statement=definition.statement,
            address=file.address,
            definition=definition.hash,
            rows=draft.rows,
            skipped=draft.skipped,
            sealed_at=file.modified_at,
            planned_at=self._clock(),
            attempt_folder=attempt,
            batches=tuple(self._estimated(PlannedBatch.of(manifest), definition) for manifest in manifests),
            positions=tuple(PositionRun(*run) for run in draft.positions()),
            continued=tuple(ledger.continued()) if ledger else (),
        )

    def _cut(self, definition: Definition, stated: int | None) -> Cut:
        """Where batches are cut, so that each fits the provider's queue, and what a day may cost, by itself."""
        model, pipeline, statement = definition.model, definition.pipeline, definition.statement
        room = self._store.queues.cut(model, pipeline, statement, stated)
        limit = self._store.budgets.of(pipeline, statement)
        if limit is None or definition.batch.mode == "sync":
            return room
        rate = self._rate(definition)
        pack = room_of(definition, rate)
        answer = None if pack is None else all_answers(definition, 1, pack.records)
        return room.within(cut_for(model, limit, rate, answer))

    def _rate(self, definition: Definition) -> float:
        model = definition.model
        return self._store.queues.rate(model.provider, model.model, definition.pipeline, definition.statement)

    def _estimated(self, batch: PlannedBatch, definition: Definition) -> PlannedBatch:
        tokens, usd = estimate(definition, batch, self._rate(definition))
        return replace(batch, estimated_tokens=tokens, estimated_cost_usd=usd)

    def _ledger(self, definition: Definition, neighbours: Neighbours | None = None) -> Ledger | None:
        source = definition.source
        if source is None:
            return None

        def paid(topic: int, partition: int, low: int) -> list[tuple[int, int]]:
            return self._store.positions.paid(
                definition.pipeline,
                definition.statement,
                source.cluster_id,
                source.topics[topic][1],
                partition,
                low,
            )

        def touches(topic: int, partition: int) -> Touching:
            of = (source.cluster_id, source.topics[topic][1], partition)
            return neighbours.touching(of) if neighbours else (set(), set())

        return Ledger(source, paid, touches)

    def _settle(self, plan: Plan) -> list[str]:
        keys = [batch.batch_key for batch in plan.batches]
        place_plan(self._spool, plan)
        reached(Failpoint.PLAN_RECORDED)
        for key in keys:
            self._spool.settle(plan.attempt_folder, plan.pipeline, plan.statement, key)
        self._spool.discard(plan.attempt_folder)
        reached(Failpoint.PLAN_SETTLED)
        return keys


def _tell(file: SealedFile, doubtful: Iterable[tuple[str, int, int]]) -> None:
    for topic, partition, offset in doubtful:
        log(
            Action.ROWS_DOUBTED,
            logging.WARNING,
            file=file.address,
            topic=topic,
            partition=partition,
            offset=offset,
            message="rows were skipped as paid for, and may be the rest of a record that gives several (a JSON array): "
            "compare it with what came out of it, and produce again what is missing",
        )
