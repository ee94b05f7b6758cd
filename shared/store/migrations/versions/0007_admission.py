"""Admission: what each provider's queue has taught, what a byte of requests takes there, who is let in."""

import sqlalchemy as sa
from alembic import op

from shared.store.columns import UtcTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.drop_column("accounts", "limits")
    op.add_column("batches", sa.Column("is_admitted", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("batches", sa.Column("yielded", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "queues",
        sa.Column("account", sa.Text, primary_key=True, nullable=False),
        sa.Column("model", sa.Text, primary_key=True, nullable=False),
        *(sa.Column(name, sa.BigInteger) for name in ("learned_limit", "stated_limit")),
        *(sa.Column(name, UtcTime) for name in ("learned_at", "confirmed_at", "full_at", "full_until")),
        sa.Column("refusals", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "usages",
        *(
            sa.Column(name, sa.Text, primary_key=True, nullable=False)
            for name in ("provider", "model", "pipeline", "statement")
        ),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("bytes", "tokens")),
    )
