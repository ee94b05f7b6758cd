"""When a batch's progress marker was tombstoned."""

import sqlalchemy as sa
from alembic import op

from shared.store.columns import UtcTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("batches", sa.Column("marker_forgotten_at", UtcTime))
