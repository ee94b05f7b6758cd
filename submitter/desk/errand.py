"""What a run's workers are told, within Flink's job graph: no secret, only the names of variables."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Told(BaseModel):
    """Frozen, and handed on as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Watched(Told):
    """The topics of one input."""

    kafka: dict[str, str]
    """librdkafka properties, with bootstrap.servers; ${NAME} is taken from the worker's own environment."""
    topics: dict[str, str]
    """Name to id."""


class Opening(Told):
    """What a job needs to know of a run that it begins itself."""

    job: str
    """32 hexadecimal digits that name the job in the lineage; Flink has an id of its own for it."""
    definition: str
    restored_from: str | None = None
    started_from: dict[str, Any] | None = None


class Errand(Told):
    """One run of one pipeline."""

    pipeline: str
    epoch: int = 0
    """0 where the job begins its run itself."""
    statements: tuple[str, ...]
    spool: str
    state_store: str
    """May hold ${NAME}, which the worker takes from its own environment."""
    quarantine: float
    """Seconds."""
    threads: int = 4
    watched: tuple[Watched, ...] = ()
    kafka_config: str | None = None
    """The file of librdkafka properties; else the worker's own environment names it."""
    opening: Opening | None = None
    """Of a run that no command watches."""
