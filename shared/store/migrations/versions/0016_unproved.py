"""Creates of which only what left no trace was found: whether one may have run, and its requests go on in a child."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("may_have_run", sa.Boolean, nullable=False, server_default=sa.false()))
