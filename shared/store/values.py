"""What the state store takes and gives: frozen values without I/O. All times are aware, in UTC."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self, TypedDict

from shared.definition import Mode
from shared.lifecycle import State
from shared.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on something until another takes it over; `epoch` grows when it changes hands or lapses."""

    name: str
    holder: str
    epoch: int


Fence = Lease | tuple[Lease, ...] | None
"""The leases that a write must still hold; None writes without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBatch:
    """What is known of a batch before anything is sent."""

    batch_key: str
    pipeline: str
    statement: str
    provider: str
    account: str
    model: str
    definition: str
    """The definition's hash."""
    generation: int
    parent: str | None
    requests: int
    records: int
    bytes: int
    sealed_at: datetime
    sealed_file: str | None
    retries: int = 0
    attempt_folder: str | None = None
    """The address of the plan attempt that wrote its folder; a plan fills it in."""
    estimated_tokens: int | None = None
    """Prompt tokens."""
    estimated_cost_usd: float | None = None
    mode: Mode = "batch"
    deadline_at: datetime | None = None
    """When its records should be out; None for never."""
    model_name: str | None = None
    """The model's name in the file: several may ask the same model of a provider."""
    deduplicated: int = 0
    """Records that are not asked, because another of the batch asks the same."""

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """The batch that a manifest describes."""
        model, deadline = manifest.definition.model, manifest.definition.batch.deadline
        return cls(
            batch_key=manifest.batch_key,
            pipeline=manifest.pipeline,
            statement=manifest.statement,
            provider=model.provider,
            account=model.account,
            model=model.model,
            definition=manifest.definition.hash,
            generation=manifest.generation,
            parent=manifest.parent,
            requests=manifest.requests,
            records=manifest.records,
            bytes=manifest.bytes,
            sealed_at=manifest.sealed_at,
            sealed_file=manifest.sealed_file,
            retries=manifest.retries,
            mode=manifest.mode,
            deadline_at=None if deadline is None else manifest.sealed_at + timedelta(seconds=deadline),
            model_name=model.name,
            deduplicated=len(manifest.echoes) + manifest.known,
        )


@dataclass(frozen=True, slots=True)
class Charge:
    """What a batch has reserved and spent of one day (UTC), in US dollars."""

    day: str
    reserved_usd: float = 0.0
    spent_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(PlannedBatch):
    """A row of `batches`."""

    state: State
    held_reason: str | None = None
    held_until: datetime | None = None
    provider_batch_id: str | None = None
    succeeded: int = 0
    failed: int = 0
    carried: int = 0
    submitted_at: datetime | None = None
    ended_at: datetime | None = None
    published_at: datetime | None = None
    updated_at: datetime
    expires_at: datetime | None = None
    results_expire_at: datetime | None = None
    next_check_at: datetime | None = None
    error: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    sync_cost_usd: float | None = None
    remote_status: str | None = None
    """The provider's own word."""
    remote_since: datetime | None = None
    """Since when the provider has said that word."""
    missing_since: datetime | None = None
    """Since when the provider has answered with 404; None once it knows the batch again."""
    sink_cluster: str | None = None
    shard: int | None = None
    registered_at: datetime | None = None
    duplicate_lines: int = 0
    unknown_lines: int = 0
    malformed_lines: int = 0
    marker_forgotten_at: datetime | None = None
    """When its progress marker was tombstoned."""
    harvested_at: datetime | None = None
    """When its end was asked for last, because its deadline nears."""
    unknown_calls: int = 0
    """Synchronous calls of which nobody saw the answer: each may have been paid for, and was asked again."""

    is_admitted: bool = False
    """It may be sent: while somebody works on it, its share of its provider's queue is kept for it."""
    duplicate_entries: int = 0
    """Of answers for several records: entries for one that has another already."""
    unknown_entries: int = 0
    """And for none of the request's."""
    forgiven_answers: int = 0
    """Answers that were read in spite of a fence, a preface, a trailing comma."""
    unreadable_answers: int = 0
    yielded: int = 0
    """How much room batches behind it in the line have taken, passing it."""

    @property
    def in_flight(self) -> int:
        """Records that are neither out nor carried to a child."""
        return self.records - self.succeeded - self.failed - self.carried


class Changes(TypedDict, total=False):
    """The columns of a batch that a verb may set beside its state; what is not named stays."""

    held_reason: str | None
    held_until: datetime | None
    provider_batch_id: str | None
    succeeded: int
    failed: int
    carried: int
    submitted_at: datetime | None
    ended_at: datetime | None
    published_at: datetime | None
    expires_at: datetime | None
    results_expire_at: datetime | None
    next_check_at: datetime | None
    error: str | None
    input_tokens: int
    output_tokens: int
    estimated_cost_usd: float | None
    cost_usd: float | None
    sync_cost_usd: float | None
    remote_status: str | None
    remote_since: datetime | None
    missing_since: datetime | None
    attempt_folder: str | None
    estimated_tokens: int | None
    duplicate_lines: int
    unknown_lines: int
    malformed_lines: int
    duplicate_entries: int
    unknown_entries: int
    forgiven_answers: int
    unreadable_answers: int
    harvested_at: datetime | None
    unknown_calls: int


@dataclass(frozen=True, slots=True)
class PositionRun:
    """Source offsets [start, end) of one partition that are really in a file; it never covers a gap."""

    cluster_id: str
    topic_id: str
    partition: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of one sealed file."""

    pipeline: str
    statement: str
    address: str
    """The sealed file's, below the spool's root."""
    definition: str
    rows: int
    skipped: int
    """Rows whose positions were already paid for."""
    sealed_at: datetime
    planned_at: datetime
    attempt_folder: str
    """Where this attempt wrote the batches' folders; unique to it."""
    batches: tuple[PlannedBatch, ...] = ()
    positions: tuple[PositionRun, ...] = ()
    continued: tuple[tuple[str, str, int, int], ...] = ()
    """(cluster id, topic id, partition, offset) of records that another file's plan paid for, and that go on here."""


OWN_JOB = "own-"
"""How a run's `job_id` begins where the job is the user's: Flink has another id of it, which we do not learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One start of a pipeline's Flink job."""

    pipeline: str
    epoch: int
    job_id: str | None
    """Flink's, which names the folder of its checkpoints; or see OWN_JOB."""
    definition: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    restored_from: str | None
    started_from: dict[str, object] | None
    fresh: bool
    skipped: int
    """Rows planned during it whose positions were already paid for."""

    @property
    def is_own_job(self) -> bool:
        return self.job_id is not None and self.job_id.startswith(OWN_JOB)
