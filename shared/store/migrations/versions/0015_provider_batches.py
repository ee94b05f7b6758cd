"""Provider batches by their ids and their times, whichever of a workspace's keys made them."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_index("ix_batches_provider_batch", "batches", ["provider_batch_id"])
    op.create_index("ix_batches_submitted", "batches", ["submitted_at"])
    op.create_index("ix_attempts_provider_batch", "attempts", ["provider_batch_id"])
