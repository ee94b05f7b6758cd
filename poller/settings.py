"""What an operator can set for the poller: each field is a flag, its BATCHLINE_ variable and its help."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from poller.flags import Settings
from shared.messages import BATCHES_TOPIC, PROGRESS_TOPIC

Shown = Annotated[str, Field(min_length=1)]


class StoreSettings(Settings):
    """What a command needs that only looks into the store."""

    state_store: Shown = Field(
        description="SQL address of the state store, such as sqlite:////var/lib/batchline/state.db"
    )


class StatusSettings(StoreSettings):
    """What `poller status` needs."""

    lost_after: PositiveFloat = Field(
        default=21600.0, description="seconds that a provider may answer 404 before a batch counts as lost"
    )
    stuck_after: PositiveFloat = Field(
        default=10800.0,
        description="seconds that a batch may stand in one short state at the provider before the alarm",
    )


class PollerSettings(StatusSettings):
    """What `poller run` and `poller once` need."""

    bootstrap_servers: Shown = Field(description="Kafka cluster of the batches topic, as host:port,…")
    spool: Shown = Field(
        description="address of the spool, such as file:///var/lib/batchline/spool or s3://bucket/prefix"
    )
    batches_topic: Shown = Field(default=BATCHES_TOPIC, description="topic of the batch events")
    progress_topic: Shown = Field(
        default=PROGRESS_TOPIC, description="topic of the progress markers, on each sink's cluster"
    )
    kafka_config: Path | None = Field(
        default=None, description="file of librdkafka properties, with a section for each cluster"
    )
    poll_interval: PositiveFloat = Field(default=15.0, description="seconds between two looks at a young batch")
    poll_max_interval: PositiveFloat = Field(
        default=300.0, description="seconds between two looks at an old batch, at most"
    )
    create_quarantine: PositiveFloat = Field(
        default=900.0,
        description="seconds of clean look-ups before an unanswered create may be tried again; a pipeline that states "
        "longer has that",
    )
    exclusive_workspaces: str = Field(
        default="",
        pattern=r"^\s*([A-Za-z_][A-Za-z0-9_]*\s*(,\s*[A-Za-z_][A-Za-z0-9_]*\s*)*)?$",
        description="names of keys, as in '${NAME}', whose provider workspaces nothing but this state store uses: a "
        "create that shows late is cancelled there before its results can prove it",
    )
    retention: float = Field(
        default=604800.0,
        ge=0,
        description="seconds that data is kept after its publication, of pipelines that don't state it",
    )
    shards: PositiveInt = Field(default=8, description="transactional producers for each sink cluster; may only grow")
    replication: PositiveInt = Field(default=1, description="replication factor of topics that the poller creates")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning, error"
    )

    @property
    def exclusive_keys(self) -> frozenset[str]:
        """The names in `exclusive_workspaces`."""
        return frozenset(name.strip() for name in self.exclusive_workspaces.split(",") if name.strip())

    @model_validator(mode="after")
    def _intervals(self) -> "PollerSettings":
        if self.poll_max_interval < self.poll_interval:
            raise ValueError(
                "--poll-max-interval (BATCHLINE_POLL_MAX_INTERVAL) is smaller than "
                "--poll-interval (BATCHLINE_POLL_INTERVAL); make it at least as large"
            )
        return self
