"""What became of a batch, kept beside its manifest for good when its data are deleted: its last row, in short.

An older copy of the store, or one that was lost, learns from it that the batch is out and needs nothing more.
"""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import SpoolError
from shared.spool import Spool
from shared.store.values import Batch

CLOSING = "closed.json"


class Closing(BaseModel):
    """The end of a batch: every record is out, or carried to a child. Written once, before anything is deleted."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    version: Literal[1] = 1
    batch_key: str
    state: Literal["published", "failed"]
    provider_batch_id: str | None = None
    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)
    carried: int = Field(ge=0)
    submitted_at: datetime | None = None
    ended_at: datetime | None = None
    published_at: datetime
    error: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_cost_usd: float | None = None
    cost_usd: float | None = None
    sync_cost_usd: float | None = None
    unknown_calls: int = 0
    sink_cluster: str | None = None
    shard: int | None = None

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """The end of a batch that is out."""
        return cls.model_validate(batch)


def keep_closing(spool: Spool, batch: Batch) -> None:
    """Write the end of a batch that is out, unless it is written."""
    address = f"{spool.batch(batch.pipeline, batch.statement, batch.batch_key)}/{CLOSING}"
    spool.files.create(address, Closing.of(batch).model_dump_json().encode())


def read_closing(spool: Spool, folder: str) -> Closing | None:
    """The end of the batch of a folder; None while its data are there. Raises SpoolError for a damaged one."""
    data = spool.files.read(f"{folder}/{CLOSING}")
    try:
        return None if data is None else Closing.model_validate_json(data)
    except ValidationError as error:
        raise SpoolError(f"{folder}/{CLOSING} can't be read: {error}") from error
