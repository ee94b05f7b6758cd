"""What a pipeline states for itself: how long its data are kept, and how long an unanswered create is looked for."""

import sqlalchemy as sa
from alembic import op

from shared.store.columns import UtcTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "terms",
        sa.Column("pipeline", sa.Text, primary_key=True, nullable=False),
        sa.Column("retention_seconds", sa.Float),
        sa.Column("quarantine_seconds", sa.Float),
        sa.Column("stated_at", UtcTime, nullable=False),
    )
