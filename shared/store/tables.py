"""The tables of the state store. The migrations make them; a test holds both against each other.

`batches` is documented in deploy/README.md and stable up to `sync_cost_usd`; the columns after it are internal.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from shared.store.columns import StateName, UtcTime

metadata = MetaData()


def _needed(name: str, type_: Any = Text, *, key: bool = False) -> Column[Any]:
    return Column(name, type_, primary_key=key, nullable=False)


def _count(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _times(*names: str) -> list[Column[Any]]:
    return [Column(name, UtcTime) for name in names]


installation = Table("installation", metadata, _needed("id", String(32), key=True), _needed("created_at", UtcTime))

pipelines = Table(
    "pipelines",
    metadata,
    _needed("name", key=True),
    _needed("file"),
    Column("spool", Text),
    _needed("epoch", Integer),
    _needed("claimed_at", UtcTime),
)

runs = Table(
    "runs",
    metadata,
    Column("pipeline", Text, ForeignKey("pipelines.name"), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("job_id", Text),
    _needed("definition"),
    _needed("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("outcome", Text),
    Column("restored_from", Text),
    Column("started_from", JSON(none_as_null=True)),
    _needed("fresh", Boolean),
)

definitions = Table("definitions", metadata, _needed("hash", String(16), key=True), _needed("json"))

sealed_files = Table(
    "sealed_files",
    metadata,
    _needed("address", key=True),
    _needed("pipeline"),
    _needed("statement"),
    _needed("definition", String(16)),
    _needed("rows", BigInteger),
    _needed("skipped", BigInteger),
    _needed("sealed_at", UtcTime),
    _needed("planned_at", UtcTime),
    _needed("attempt_folder"),
    Index("ix_sealed_files_statement", "pipeline", "statement", "planned_at"),
)

_PARTITION = ("pipeline", "statement", "cluster_id", "topic_id", "partition")

positions = Table(
    "positions",
    metadata,
    _needed("pipeline", key=True),
    _needed("statement", key=True),
    _needed("cluster_id", key=True),
    _needed("topic_id", key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("start_offset", BigInteger, primary_key=True, autoincrement=False),
    _needed("end_offset", BigInteger),
    CheckConstraint("start_offset < end_offset", name="ck_positions_run"),
    UniqueConstraint(*_PARTITION, "end_offset", name="uq_positions_end"),
)

batches = Table(
    "batches",
    metadata,
    _needed("batch_key", String(64), key=True),
    _needed("pipeline"),
    _needed("statement"),
    _needed("provider"),
    _needed("account"),
    _needed("model"),
    _needed("definition", String(16)),
    _needed("state", StateName(16)),
    Column("held_reason", Text),
    Column("held_until", UtcTime),
    Column("provider_batch_id", Text),
    _needed("generation", Integer),
    Column("parent", String(64)),
    _needed("requests", BigInteger),
    _needed("records", BigInteger),
    _needed("bytes", BigInteger),
    *(_count(name) for name in ("succeeded", "failed", "carried")),
    _needed("sealed_at", UtcTime),
    *_times("submitted_at", "ended_at", "published_at"),
    _needed("updated_at", UtcTime),
    *_times("expires_at", "results_expire_at", "next_check_at"),
    Column("error", Text),
    *(_count(name) for name in ("input_tokens", "output_tokens")),
    *(Column(name, Float) for name in ("estimated_cost_usd", "cost_usd", "sync_cost_usd")),
    Column("sealed_file", Text),
    Column("attempt_folder", Text),
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("remote_status", Text),
    *_times("remote_since", "missing_since"),
    Column("sink_cluster", Text),
    Column("shard", Integer),
    Column("registered_at", UtcTime),
    Column("estimated_tokens", BigInteger),
    *(_count(name) for name in ("duplicate_lines", "unknown_lines", "malformed_lines")),
    Column("mode", String(8), nullable=False, server_default="batch"),
    *_times("deadline_at", "harvested_at"),
    _count("unknown_calls"),
    Column("marker_forgotten_at", UtcTime),
    Column("is_admitted", Boolean, nullable=False, server_default=false()),
    _count("yielded"),
    Column("model_name", Text),
    _count("deduplicated"),
    *(_count(name) for name in ("duplicate_entries", "unknown_entries", "forgiven_answers", "unreadable_answers")),
    CheckConstraint(
        "succeeded >= 0 AND failed >= 0 AND carried >= 0 AND succeeded + failed + carried <= records",
        name="ck_batches_conservation",
    ),
    CheckConstraint(
        "state NOT IN ('published', 'failed') OR succeeded + failed + carried = records",
        name="ck_batches_all_out",
    ),
    Index("ix_batches_due", "state", "next_check_at"),
    Index("ix_batches_statement", "pipeline", "statement"),
    Index("ix_batches_account", "account", "state"),
    Index("ix_batches_parent", "parent"),
    Index("ix_batches_shard", "sink_cluster", "shard", "state"),
    Index("ix_batches_deadline", "deadline_at"),
    Index("ix_batches_provider_batch", "provider_batch_id"),
    Index("ix_batches_submitted", "submitted_at"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("batch_key", String(64), ForeignKey("batches.batch_key"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    _needed("account"),
    _needed("started_at", UtcTime),
    _needed("requests", BigInteger),
    _needed("bytes", BigInteger),
    Column("input_file_id", Text),
    Column("outcome", Text),
    Column("resolved_at", UtcTime),
    Column("provider_batch_id", Text),
    Column("lookups", Integer, nullable=False, server_default="0"),
    *_times("clean_since", "last_lookup_at"),
    Column("disowned", JSON, nullable=False, server_default="[]"),
    Column("may_have_run", Boolean, nullable=False, server_default=false()),
    Column("note", Text),
)
Index("ix_attempts_account", attempts.c.account, attempts.c.started_at)
Index("ix_attempts_provider_batch", attempts.c.provider_batch_id)
_OPEN = attempts.c.outcome.is_(None)
Index("uq_attempts_open", attempts.c.batch_key, unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)

strays = Table(
    "strays",
    metadata,
    _needed("provider_batch_id", key=True),
    _needed("batch_key", String(64)),
    _needed("account"),
    _needed("found_at", UtcTime),
    Column("cancelled_at", UtcTime),
    Column("created_at", UtcTime),
    Column("whose", String(8), nullable=False, server_default="ours"),
    Column("settled_at", UtcTime),
    *(_count(name) for name in ("input_tokens", "output_tokens")),
    Column("cost_usd", Float),
    Column("is_estimate", Boolean, nullable=False, server_default=false()),
    Index("ix_strays_batch", "batch_key"),
)

leases = Table(
    "leases",
    metadata,
    _needed("name", key=True),
    _needed("holder"),
    _needed("epoch", BigInteger),
    _needed("expires_at", UtcTime),
)

accounts = Table(
    "accounts",
    metadata,
    _needed("account", key=True),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("paused_until", UtcTime),
    Column("reason", Text),
    _needed("updated_at", UtcTime),
    Column("rest_seconds", Float, nullable=False, server_default="300"),
    Column("probe", String(64)),
    *(Column(name, Boolean, nullable=False, server_default=false()) for name in ("needs_results", "is_proving")),
)

queues = Table(
    "queues",
    metadata,
    _needed("account", key=True),
    _needed("model", key=True),
    *(Column(name, BigInteger) for name in ("learned_limit", "stated_limit")),
    *_times("learned_at", "confirmed_at", "full_at", "full_until"),
    Column("refusals", Integer, nullable=False, server_default="0"),
)

budgets = Table(
    "budgets",
    metadata,
    _needed("pipeline", key=True),
    _needed("statement", key=True),
    Column("model_name", Text),
    _needed("limit_usd", Float),
    _needed("stated_at", UtcTime),
)

terms = Table(
    "terms",
    metadata,
    _needed("pipeline", key=True),
    *(Column(name, Float) for name in ("retention_seconds", "quarantine_seconds")),
    _needed("stated_at", UtcTime),
    Column("checkpoints", Text),
)

charges = Table(
    "charges",
    metadata,
    _needed("batch_key", String(64), key=True),
    _needed("day", String(10), key=True),
    _needed("pipeline"),
    Column("model_name", Text),
    *(_needed(name, Float) for name in ("reserved_usd", "spent_usd")),
    Index("ix_charges_day", "pipeline", "day"),
)

answers = Table(
    "answers",
    metadata,
    *(_needed(name, String(32), key=True) for name in ("scope", "question")),
    _needed("answer", LargeBinary),
    _needed("expires_at", UtcTime),
    Index("ix_answers_expiry", "expires_at"),
)

usages = Table(
    "usages",
    metadata,
    *(_needed(name, key=True) for name in ("provider", "model", "pipeline", "statement")),
    *(_needed(name, BigInteger) for name in ("bytes", "tokens")),
)

health = Table(
    "health",
    metadata,
    _needed("dependency", key=True),
    _needed("holder", key=True),
    _needed("away_since", UtcTime),
    _needed("updated_at", UtcTime),
    Column("next_try_at", UtcTime),
    _needed("message"),
)
