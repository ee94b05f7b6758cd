"""Deadlines, and batches that are asked record by record."""

import sqlalchemy as sa
from alembic import op

from shared.store.columns import UtcTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("batches", sa.Column("mode", sa.String(8), nullable=False, server_default="batch"))
    op.add_column("batches", sa.Column("deadline_at", UtcTime))
    op.add_column("batches", sa.Column("harvested_at", UtcTime))
    op.add_column("batches", sa.Column("unknown_calls", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("ix_batches_deadline", "batches", ["deadline_at"])
