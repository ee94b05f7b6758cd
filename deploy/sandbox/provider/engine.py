"""The provider behind its HTTP routes: state, faults, clock, and the worker processes that validate and execute."""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from deploy.sandbox.provider.batches import Batch, Phase, Timing, advance, validated
from deploy.sandbox.provider.clock import Clock
from deploy.sandbox.provider.faults import Faults
from deploy.sandbox.provider.limits import Limits
from deploy.sandbox.provider.processing import Outcome, Work, process
from deploy.sandbox.provider.requests_file import Findings, validate
from deploy.sandbox.provider.store import FileRecord, Store, new_id
from deploy.sandbox.provider.witness import WitnessLog

LOGGER = logging.getLogger(__name__)
TICK = 0.05
HOUR = 3_600


def _end_with_parent(parent: int) -> None:
    """Let a worker process end when the server (process `parent`) was killed: nobody else would end it."""

    def watch() -> None:
        never = threading.Event()
        while not never.wait(0.5):
            if os.getppid() != parent:
                os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _processes() -> Executor:
    """Processes, so that large batches don't keep the server from answering; each starts with its first work."""
    return ProcessPoolExecutor(2, get_context("spawn"), _end_with_parent, (os.getpid(),))


@dataclass
class Engine:
    """Everything the routes need. `start` and `stop` bracket the serving."""

    directory: Path
    limits: Limits
    faults: Faults
    clock: Clock
    seed: int = 0
    processing_seconds: float = 1.0
    late: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    pool: Executor = field(default_factory=_processes)
    prompts: set[str] = field(default_factory=set)
    """The prompt cache of the synchronous endpoint."""
    dictated: dict[str, str] = field(default_factory=dict)
    """What is said to synchronous requests, by the hash of their bodies; to all others, what the model finds."""

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.store = Store(self.directory)
        self.log = WitnessLog(self.directory)
        self.timing = Timing.of(self.processing_seconds)
        self._creates: dict[str, deque[float]] = {"openai": deque(), "anthropic": deque()}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._active = {batch.id for batch in self.store.batches if not batch.ended}

    async def run(self) -> None:
        """Move all batches every so often, until cancelled; then let the workers go."""
        try:
            while True:
                self.tick()
                await asyncio.sleep(TICK)
        finally:
            self.pool.shutdown(wait=False, cancel_futures=True)
            # All state is on disk; what the workers still compute is computed again by the next start.
            for worker in active_children():
                worker.kill()
            self.log.close()

    def tick(self) -> None:
        """Do what is due now: late creates, transitions, jobs."""
        now = self.clock.now()
        for due in [one for one in self.late if one[0] <= now]:
            self.late.remove(due)
            due[1]()
        for name in list(self._active):
            batch = self.store.batches.get(name)
            if batch is not None:
                self.settle(batch)

    def settle(self, batch: Batch) -> Batch:
        """Bring one batch up to the present time, and start the work it waits for."""
        if batch.id not in self._active:
            return batch
        if advance(batch, self.clock.now(), self.timing):
            if batch.ended:
                self._ended(batch)
            self.store.batches.put(batch)
        job = None if batch.id in self._jobs or batch.ended else self._needed(batch)
        if job is not None:
            self._jobs[batch.id] = asyncio.ensure_future(self._job(batch, job))
        return batch

    async def _job(self, batch: Batch, job: Coroutine[Any, Any, None]) -> None:
        """Do a batch's work; work that fails is told once and never tried again."""
        try:
            await job
        except Exception:
            LOGGER.exception("batch %s: its work failed, it stays %s", batch.id, batch.phase)
        else:
            del self._jobs[batch.id]
            self.settle(batch)

    def _needed(self, batch: Batch) -> Coroutine[Any, Any, None] | None:
        """Return the coroutine of the work that the batch's next step waits for."""
        if batch.phase is Phase.VALIDATING:
            return self._validate(batch) if batch.errors is None else None
        return self._process(batch) if batch.result is None else None

    def created_this_hour(self, provider: str) -> int:
        """Count the creates of the last hour, not yet this one."""
        times = self._creates[provider]
        while times and times[0] <= self.clock.now() - HOUR:
            times.popleft()
        return len(times)

    def accept(self, batch: Batch) -> None:
        """Take a batch in; from here on it exists."""
        self._creates[batch.provider].append(self.clock.now())
        self.store.batches.put(batch)
        self._active.add(batch.id)
        self.log.write(
            "create",
            batch=batch.id,
            provider=batch.provider,
            endpoint=batch.endpoint,
            input_file=batch.input_file_id,
            path=batch.input_path,
            metadata=batch.metadata,
        )
        self.settle(batch)

    def enqueued_tokens(self, model: str | None) -> int:
        running = (self.store.batches.get(name) for name in self._active)
        return sum(batch.input_tokens for batch in running if batch is not None and batch.model == model)

    def queued_requests(self) -> int:
        running = (self.store.batches.get(name) for name in self._active)
        return sum(batch.total for batch in running if batch is not None and batch.provider == "anthropic")

    async def _validate(self, batch: Batch) -> None:
        arguments = batch.input_path, batch.endpoint, self.limits, batch.traits.get("bad_line_fails_batch")
        findings = await asyncio.get_running_loop().run_in_executor(self.pool, validate, *arguments)
        if batch.phase is Phase.VALIDATING:
            self._found(batch, findings)

    def _found(self, batch: Batch, findings: Findings) -> None:
        """Take in what validation found; the cap on enqueued tokens is judged here."""
        room = self.limits.openai_enqueued_tokens - self.enqueued_tokens(findings.model)
        trait = batch.traits.get("token_limit_exceeded")
        over = batch.provider == "openai" and not findings.errors and findings.input_tokens > room
        if trait is not None or over:
            limit = trait["limit"] if trait else self.limits.openai_enqueued_tokens
            message = f"Enqueued token limit reached for {findings.model} in organization org-sandbox. Limit: "
            message += f"{limit:,} enqueued tokens. Please try again once some in_progress batches have been completed."
            findings.errors = [{"code": "token_limit_exceeded", "line": None, "message": message, "param": None}]
        batch.total, batch.model = findings.total, findings.model
        batch.input_tokens = 0 if findings.errors else findings.input_tokens
        validated(batch, findings.errors)
        self.store.batches.put(batch)

    async def _process(self, batch: Batch) -> None:
        work = self._work(batch)
        outcome = await asyncio.get_running_loop().run_in_executor(self.pool, process, work)
        batch.outcome, batch.outcome_for = outcome, (work.done, work.ending)
        batch.outcome_at = self.clock.now()
        self.store.batches.put(batch)

    def _work(self, batch: Batch) -> Work:
        credit, empty = (
            batch.traits.get("credit_exhausted_mid_batch"),
            batch.traits.get("completed_without_output_file"),
        )
        attempt = f"{batch.id}-{batch.done}-{batch.ending}"
        return Work(
            provider=batch.provider,
            batch_id=batch.id,
            endpoint=batch.endpoint,
            created=int(batch.created_at),
            input_path=batch.input_path,
            output_path=str(self.store.path(f"{attempt}.output.jsonl")),
            error_path=str(self.store.path(f"{attempt}.error.jsonl")),
            billed_path=str(self.store.path(f"{attempt}.billed.jsonl")),
            seed=self.seed,
            done=batch.done,
            ending=batch.ending,
            line_faults=batch.line_faults,
            credit_after=int(batch.done * credit["done"]) if credit else None,
            all_failed=empty is not None,
        )

    def _ended(self, batch: Batch) -> None:
        self._active.discard(batch.id)
        outcome = batch.outcome or Outcome()
        if batch.provider == "openai" and batch.phase is not Phase.FAILED:
            self._register_results(batch, outcome)
        counts = {"succeeded": outcome.succeeded, "failed": outcome.failed, "expired": outcome.expired}
        billed = outcome.files.get("billed")
        self.log.write("ended", batch=batch.id, phase=str(batch.phase), billed=billed, counts=counts)

    def _register_results(self, batch: Batch, outcome: Outcome) -> None:
        empty = batch.traits.get("completed_without_output_file")
        if empty is not None and empty["error_file"] == "empty":
            batch.error_file_id = ""
            return
        if outcome.output_bytes:
            batch.output_file_id = self._register(batch, "output", outcome.output_bytes)
        if outcome.error_bytes:
            batch.error_file_id = self._register(batch, "error", outcome.error_bytes)

    def _register(self, batch: Batch, kind: str, size: int) -> str:
        ended = batch.ended_at or self.clock.now()
        path = batch.outcome.files[kind] if batch.outcome else ""
        name = f"{batch.id}_{kind}.jsonl"
        until = ended + self._hidden_seconds(batch)
        expires = ended + batch.output_seconds
        record = FileRecord(new_id("file-"), name, "batch_output", size, ended, path, expires, until)
        self.store.files.put(record)
        return record.id

    @staticmethod
    def _hidden_seconds(batch: Batch) -> float:
        """Return for how long after the end the results' content is not found."""
        delayed = batch.traits.get("output_file_delayed", {})
        absent = batch.traits.get("results_404_after_end", {"seconds": 0.0})
        return float(delayed["seconds"] if delayed.get("listed") else absent["seconds"])
