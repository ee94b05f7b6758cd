"""Where a pipeline's checkpoints lie, if not in its spool: what they need must not be deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("terms", sa.Column("checkpoints", sa.Text))
