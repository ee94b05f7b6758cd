"""The Flink configuration of a run: our defaults, the file's SETs, -D, and what only we may say. No I/O."""

import sys
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from shared.errors import SettingsError

JOB_ID = "$internal.pipeline.job-id"
RESTORE, CLAIM_MODE = "execution.state-recovery.path", "execution.state-recovery.claim-mode"
TARGET = "execution.target"
CHECKPOINTS = ("execution.checkpointing.dir", "state.checkpoints.dir")
_OLD_RESTORE = "execution.savepoint.path"
STATES = (RESTORE, _OLD_RESTORE)
"""The options that name a state to restore."""


class Start(BaseModel):
    """How a run begins; handed as a file to the process that submits to a cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    job_id: str
    """32 hexadecimal digits, chosen by us so that the store knows it before Flink does."""
    restore: str | None = None
    claim_mode: Literal["CLAIM", "NO_CLAIM"] | None = None
    """None: as the configuration says, or Flink's default."""
    starts: dict[str, dict[str, dict[int, int]]] = {}
    """Statement to topic to partition to offset."""


def defaults(name: str, checkpoints: str) -> dict[str, str]:
    """What holds unless the user says otherwise.

    One slot stages far more than a provider takes, and each slot more means smaller files, and so smaller batches.
    """
    return {
        "pipeline.name": name,
        "parallelism.default": "1",
        "execution.checkpointing.interval": "30 s",
        "execution.checkpointing.dir": checkpoints,
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "1 min",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "metrics.fetcher.update-interval": "1 s",
        "web.refresh-interval": "500 ms",
    }


def embedded(port: int) -> dict[str, str]:
    """What keeps the embedded cluster on loopback, and others from submitting to it."""
    return {
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": str(port),
        "jobmanager.bind-host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.host": "127.0.0.1",
        "web.submit.enable": "false",
    }


def whole(ours: Mapping[str, str], theirs: Mapping[str, str], start: Start) -> dict[str, str]:
    """The run's whole configuration; the user wins over our defaults, and the lineage over the user's silence."""
    made = {**ours, **theirs}
    if any(name in theirs for name in CHECKPOINTS[1:]):
        made.pop(CHECKPOINTS[0], None)
    for name in STATES:
        made.pop(name, None)
    if start.restore:
        made[RESTORE] = start.restore
        if start.claim_mode:
            made[CLAIM_MODE] = start.claim_mode
    # A bounded pipeline too is a stream that we end ourselves, after its last file is committed.
    return {**made, "execution.runtime-mode": "STREAMING", JOB_ID: start.job_id}


def recovery_path(configuration: Mapping[str, str]) -> str | None:
    """The state that the user, or a Kubernetes operator, names."""
    return configuration.get(RESTORE) or configuration.get(_OLD_RESTORE)


def is_local(configuration: Mapping[str, str]) -> bool:
    """Whether the job runs in this process's own embedded cluster."""
    return configuration.get(TARGET, "local") in ("local", "embedded", "")


def parse_overrides(pairs: Iterable[str]) -> dict[str, str]:
    """-D key=value. Raises SettingsError for one without `=`, and for what SET alone may say."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise SettingsError(f"-D {pair}: write -D key=value")
        if name.startswith("batchline."):
            raise SettingsError(f"-D {name}: -D passes Flink configuration; put SET '{name}' = '…' into the file")
        if name.strip() == JOB_ID:
            raise SettingsError(f"-D {name}: the job's id is chosen by the lineage; leave it out")
        found[name.strip()] = value
    return found
