"""Answers that are kept for a while, for records that ask the same later."""

import sqlalchemy as sa
from alembic import op

from shared.store.columns import UtcTime

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("scope", sa.String(32), primary_key=True, nullable=False),
        sa.Column("question", sa.String(32), primary_key=True, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
    )
    op.create_index("ix_answers_expiry", "answers", ["expires_at"])
