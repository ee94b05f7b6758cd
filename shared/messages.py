"""The wire contract: the event on the batches topic, the progress marker, the result headers, the error record.

All are frozen and versioned; what a reader does not know in them is ignored, what it needs and misses is an error.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

BATCHES_TOPIC = "batchline.batches"
PROGRESS_TOPIC = "batchline.progress"


class Message(BaseModel):
    """A versioned JSON message; unknown fields are a later version's and are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    def encode(self) -> bytes:
        """The message as compact JSON."""
        return self.model_dump_json().encode()


class BatchEvent(Message):
    """A batch was submitted. Keyed by batch key, at least once; it carries no secret, and nobody trusts it blindly."""

    version: Literal[1] = 1
    batch_key: str
    pipeline: str
    statement: str
    provider: str
    account: str
    model: str
    provider_batch_id: str
    generation: int = Field(ge=0)
    requests: int = Field(ge=0)
    records: int = Field(ge=0)
    bytes: int = Field(ge=0)
    spool: str
    """The address of the batch's folder below the spool's root: <pipeline>/<statement>/batches/<batch_key>."""
    sealed_at: datetime
    submitted_at: datetime


class ProgressMarker(Message):
    """How far a batch's publication has come; committed in the same transaction as the outputs that it counts."""

    version: Literal[1] = 1
    next: int = Field(ge=0)
    """The ordinal, within the batch's range of rows, of the first row that is not yet decided."""
    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)
    done: bool = False


class ErrorRecord(Message):
    """A record without an answer, on the error topic."""

    version: Literal[1] = 1
    batch_key: str
    provider_batch_id: str | None
    request_id: str | None
    position: list[int] | None
    row: dict[str, JsonValue]
    cause: str
    message: str
    raw_answer: str | None = None


class Header:
    """The headers of every output: names, all with the prefix `batchline-`; values are UTF-8."""

    BATCH = "batchline-batch"
    PROVIDER_BATCH = "batchline-provider-batch"
    REQUEST = "batchline-request"
    INDEX = "batchline-index"
    """A record's number within a request that holds several, from 1."""
    MODEL = "batchline-model"
    STATUS = "batchline-status"
    """`succeeded`, or `failed`."""
    GENERATION = "batchline-generation"
    POSITION = "batchline-position"
    """topic/partition/offset of the source record; absent where the input has no positions."""
    TRANSACTION = "batchline-transaction"
    """The shard that sent it, a dot, and the row of the batch that its Kafka transaction begins with."""
    ERROR = "batchline-error"
    """On a failed record: the cause, a word of `Cause`, and after a colon and a space what the provider said."""
