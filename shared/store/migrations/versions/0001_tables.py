"""The tables: lineage and positions, batches and attempts, leases and accounts."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from shared.store.columns import UtcTime

revision = "0001"
down_revision = None

_OPEN = sa.text("outcome IS NULL")


def upgrade() -> None:
    _lineage()
    _positions()
    _batches()
    _batches_indexes()
    _attempts()
    _rights()


def _needed(name: str, type_: Any = sa.Text, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, type_, primary_key=key, nullable=False)


def _count(name: str, type_: Any = sa.BigInteger) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False, server_default="0")


def _key(name: str, type_: Any = sa.Integer) -> sa.Column[Any]:
    return sa.Column(name, type_, primary_key=True, autoincrement=False)


def _lineage() -> None:
    installation = op.create_table(
        "installation", _needed("id", sa.String(32), key=True), _needed("created_at", UtcTime)
    )
    op.bulk_insert(installation, [{"id": uuid4().hex, "created_at": datetime.now(UTC)}])
    op.create_table(
        "pipelines",
        _needed("name", key=True),
        _needed("file"),
        sa.Column("spool", sa.Text),
        _needed("epoch", sa.Integer),
        _needed("claimed_at", UtcTime),
    )
    op.create_table(
        "runs",
        sa.Column("pipeline", sa.Text, sa.ForeignKey("pipelines.name"), primary_key=True),
        _key("epoch"),
        sa.Column("job_id", sa.Text),
        _needed("definition"),
        _needed("started_at", UtcTime),
        sa.Column("ended_at", UtcTime),
        sa.Column("outcome", sa.Text),
        sa.Column("restored_from", sa.Text),
        sa.Column("started_from", sa.JSON),
        _needed("fresh", sa.Boolean),
    )
    op.create_table("definitions", _needed("hash", sa.String(16), key=True), _needed("json"))


def _positions() -> None:
    op.create_table(
        "sealed_files",
        _needed("address", key=True),
        _needed("pipeline"),
        _needed("statement"),
        _needed("definition", sa.String(16)),
        _needed("rows", sa.BigInteger),
        _needed("skipped", sa.BigInteger),
        _needed("sealed_at", UtcTime),
        _needed("planned_at", UtcTime),
        _needed("attempt_folder"),
    )
    op.create_index("ix_sealed_files_statement", "sealed_files", ["pipeline", "statement", "planned_at"])
    partition = ("pipeline", "statement", "cluster_id", "topic_id")
    op.create_table(
        "positions",
        *(_needed(name, key=True) for name in partition),
        _key("partition"),
        _key("start_offset", sa.BigInteger),
        _needed("end_offset", sa.BigInteger),
        sa.CheckConstraint("start_offset < end_offset", name="ck_positions_run"),
        sa.UniqueConstraint(*partition, "partition", "end_offset", name="uq_positions_end"),
    )


def _batches() -> None:
    documented = [
        _needed("batch_key", sa.String(64), key=True),
        *(_needed(name) for name in ("pipeline", "statement", "provider", "account", "model")),
        _needed("definition", sa.String(16)),
        _needed("state", sa.String(16)),
        sa.Column("held_reason", sa.Text),
        sa.Column("held_until", UtcTime),
        sa.Column("provider_batch_id", sa.Text),
        _needed("generation", sa.Integer),
        sa.Column("parent", sa.String(64)),
        *(_needed(name, sa.BigInteger) for name in ("requests", "records", "bytes")),
        *(_count(name) for name in ("succeeded", "failed", "carried")),
        _needed("sealed_at", UtcTime),
        *(sa.Column(name, UtcTime) for name in ("submitted_at", "ended_at", "published_at")),
        _needed("updated_at", UtcTime),
        *(sa.Column(name, UtcTime) for name in ("expires_at", "results_expire_at", "next_check_at")),
        sa.Column("error", sa.Text),
        *(_count(name) for name in ("input_tokens", "output_tokens")),
        *(sa.Column(name, sa.Float) for name in ("estimated_cost_usd", "cost_usd", "sync_cost_usd")),
    ]
    internal = [
        *(sa.Column(name, sa.Text) for name in ("sealed_file", "attempt_folder")),
        _count("retries", sa.Integer),
        sa.Column("remote_status", sa.Text),
        *(sa.Column(name, UtcTime) for name in ("remote_since", "missing_since")),
        sa.Column("sink_cluster", sa.Text),
        sa.Column("shard", sa.Integer),
        sa.Column("registered_at", UtcTime),
        sa.Column("estimated_tokens", sa.BigInteger),
        *(_count(name) for name in ("duplicate_lines", "unknown_lines", "malformed_lines")),
    ]
    op.create_table(
        "batches",
        *documented,
        *internal,
        sa.CheckConstraint(
            "succeeded >= 0 AND failed >= 0 AND carried >= 0 AND succeeded + failed + carried <= records",
            name="ck_batches_conservation",
        ),
        sa.CheckConstraint(
            "state NOT IN ('published', 'failed') OR succeeded + failed + carried = records",
            name="ck_batches_all_out",
        ),
    )


def _batches_indexes() -> None:
    op.create_index("ix_batches_due", "batches", ["state", "next_check_at"])
    op.create_index("ix_batches_statement", "batches", ["pipeline", "statement"])
    op.create_index("ix_batches_account", "batches", ["account", "state"])
    op.create_index("ix_batches_parent", "batches", ["parent"])
    op.create_index("ix_batches_shard", "batches", ["sink_cluster", "shard", "state"])


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("batch_key", sa.String(64), sa.ForeignKey("batches.batch_key"), primary_key=True),
        _key("attempt"),
        _needed("account"),
        _needed("started_at", UtcTime),
        _needed("requests", sa.BigInteger),
        _needed("bytes", sa.BigInteger),
        *(sa.Column(name, sa.Text) for name in ("input_file_id", "outcome")),
        sa.Column("resolved_at", UtcTime),
        sa.Column("provider_batch_id", sa.Text),
        _count("lookups", sa.Integer),
        *(sa.Column(name, UtcTime) for name in ("clean_since", "last_lookup_at")),
        sa.Column("disowned", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("note", sa.Text),
    )
    op.create_index("ix_attempts_account", "attempts", ["account", "started_at"])
    op.create_index(
        "uq_attempts_open", "attempts", ["batch_key"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_table(
        "strays",
        _needed("provider_batch_id", key=True),
        _needed("batch_key", sa.String(64)),
        _needed("account"),
        _needed("found_at", UtcTime),
        sa.Column("cancelled_at", UtcTime),
    )
    op.create_index("ix_strays_batch", "strays", ["batch_key"])


def _rights() -> None:
    op.create_table(
        "leases",
        _needed("name", key=True),
        _needed("holder"),
        _needed("epoch", sa.BigInteger),
        _needed("expires_at", UtcTime),
    )
    op.create_table(
        "accounts",
        _needed("account", key=True),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("paused_until", UtcTime),
        sa.Column("reason", sa.Text),
        sa.Column("limits", sa.JSON, nullable=False, server_default="{}"),
        _needed("updated_at", UtcTime),
    )
    op.create_table(
        "health",
        *(_needed(name, key=True) for name in ("dependency", "holder")),
        *(_needed(name, UtcTime) for name in ("away_since", "updated_at")),
        sa.Column("next_try_at", UtcTime),
        _needed("message"),
    )
