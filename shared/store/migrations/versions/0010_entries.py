"""What was odd about answers for several records: entries twice or of nobody, and texts that were hard to read."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for name in ("duplicate_entries", "unknown_entries", "forgiven_answers", "unreadable_answers"):
        op.add_column("batches", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
