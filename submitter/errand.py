"""What a run's workers are told, within Flink's job graph: no secret, only the names of variables."""

from pydantic import BaseModel, ConfigDict


class Errand(BaseModel):
    """One run of one pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str
    epoch: int
    statements: tuple[str, ...]
    spool: str
    state_store: str
    """May hold ${NAME}, which the worker takes from its own environment."""
    quarantine: float
    """Seconds."""
    threads: int = 4
