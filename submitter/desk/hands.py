"""Who plans and submits for the desk: the planner and the submission, with one client for each model."""

import os
import threading
from datetime import timedelta

from shared.clock import Clock, system_clock
from shared.definition import Model
from shared.lease import this_process
from shared.providers import provider_for
from shared.providers.port import Provider
from shared.refusals import WAITS, Waits
from shared.spool import SealedFile, Spool
from shared.store import Store
from shared.submission import Submission
from shared.telemetry import SECRETS
from submitter.desk.errand import Errand
from submitter.planning.planner import Planner


class Workers:
    """The real hands. API keys come from this process's environment when a client is first needed."""

    def __init__(
        self, errand: Errand, store: Store, spool: Spool, clock: Clock = system_clock, *, waits: Waits = WAITS
    ) -> None:
        self._clock = clock
        self._providers: dict[str, Provider] = {}
        self._lock = threading.Lock()
        self._planner = Planner(store, spool, self._provider, clock)
        self._submission = Submission(
            store,
            spool,
            self._provider,
            clock,
            this_process(),
            quarantine=timedelta(seconds=errand.quarantine),
            waits=waits,
        )

    def plan(self, pipeline: str, statement: str, file: SealedFile) -> list[str]:
        return self._planner.plan(pipeline, statement, file)

    def submit(self, key: str) -> None:
        self._submission.work(key)

    def _provider(self, model: Model) -> Provider:
        with self._lock:
            name = model.model_dump_json()
            if name not in self._providers:
                SECRETS.name(model.api_key)
                self._providers[name] = provider_for(model, os.environ, clock=self._clock)
            return self._providers[name]
