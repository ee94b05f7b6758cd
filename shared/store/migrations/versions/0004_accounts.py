"""Accounts: the batch that asks for all after a pause, and what proves that the fault is mended."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("rest_seconds", sa.Float, nullable=False, server_default="300"))
    op.add_column("accounts", sa.Column("probe", sa.String(64)))
    for name in ("needs_results", "is_proving"):
        op.add_column("accounts", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
