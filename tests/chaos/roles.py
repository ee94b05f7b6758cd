"""What a life does: the product's own desk and poller, put together as their commands do, and the sandbox's provider.

Only the paces and the clock differ; nothing is patched.
"""

import importlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from deploy.sandbox.provider.clock import OffsetClock
from deploy.sandbox.provider.engine import Engine
from deploy.sandbox.provider.faults import Faults
from deploy.sandbox.provider.limits import Limits
from deploy.sandbox.provider.serving import serve
from poller.ask.deadline import DeadlinePolicy
from poller.collect.collector import Collecting
from poller.daemon import Daemon
from poller.operate.resolving import Resolving
from poller.publish.outbox import Bounds
from poller.schedule import Backoff
from poller.settings import PollerSettings
from poller.signals import Signals
from poller.tempo import Tempo
from poller.watch.watcher import Watching
from poller.wiring import assembled
from shared import failpoints
from shared.clock import Clock
from shared.errors import KafkaUnavailable, LeaseLost, MustRestart, SettingsError, StoreUnavailable
from shared.lease import Keeper, is_dead, this_process
from shared.lifecycle import State
from shared.providers.prices import cost
from shared.recovery import DECIDE
from shared.refusals import Backoff as Holding
from shared.refusals import Waits
from shared.store import Batch, Store
from shared.store.creates import ALLOWED
from shared.telemetry import start_logging
from submitter.desk.desk import Desk
from submitter.desk.errand import Errand
from submitter.desk.main import tell
from tests.chaos.controls import weakness

Spec = dict[str, Any]

LATE = (
    "anthropic.resources.messages.batches",
    "anyio._backends._asyncio",
    "encodings.ascii",
    "encodings.idna",
    "httpcore2",
    "openai.resources.batches",
    "openai.resources.files",
    "opentelemetry.propagate",
    "psycopg",
    "psycopg_binary",
    "shared.providers.anthropic",
    "shared.providers.openai",
    "shared.providers.session",
    "shared.providers.transfer",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "sqlite3",
    "truststore",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.loops.auto",
)
"""What the product imports when it is first needed."""
QUICK = Backoff(timedelta(milliseconds=50), timedelta(milliseconds=400))
SOON = timedelta(milliseconds=100)
PATIENCE = timedelta(seconds=2.2)
"""With missing results: longer than a fault keeps them back, and the whole second by which an end's time is early."""
PROMPT = timedelta(seconds=10)
"""An operator waits so long for what goes on by itself."""
WAITS = Waits(Holding(SOON, SOON * 4), account=SOON * 5, busy=SOON, upload=SOON / 2)
TEMPO = Tempo(
    rescue=0.3,
    harvest=0.5,
    collect=0.3,
    publish=0.3,
    audit=1.0,
    janitor=1.0,
    listen=0.2,
    waits=WAITS,
    collecting=Collecting(patience=PATIENCE, backoff=QUICK),
    watching=Watching(backoff=QUICK),
    publishing=QUICK,
    bounce=Backoff(SOON, SOON * 4),
    bounds=Bounds(records=2),
    deadline=DeadlinePolicy(again=timedelta(seconds=2)),
)


def warm() -> None:
    """Import what is imported late, and load what is loaded once: each life would do it anew."""
    for name in LATE:
        importlib.import_module(name)
    for priced in (("openai", "gpt-5-mini"), ("anthropic", "claude-haiku-4-5")):
        assert cost(*priced, 1, 1)


def desk(spec: Spec) -> int:
    """The desk of a run, as `submitter.desk.main` has it; what it tells the operator goes to a file."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-5s %(name)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    failpoints.arm()
    clock, errand = _clock(spec), Errand(**spec["errand"])
    hire = partial(weakness(spec["weakness"]).hire, clock=clock, waits=WAITS)
    at_work = Desk(errand, hire, clock, pace=0.1)
    with Path(spec["told"]).open("ab", buffering=0) as out:
        tell(at_work, errand.statements, out, threading.Event(), pause=0.05)
    return 0


def poller(spec: Spec) -> int:
    """The daemon, as `poller run` has it."""
    start_logging(logging.INFO)
    failpoints.arm()
    weak = weakness(spec["weakness"])
    settings, clock, signals = PollerSettings(**{**spec["settings"], **weak.settings}), _clock(spec), Signals()
    try:
        with Store.open(settings.state_store, clock) as store, assembled(settings, store, clock, tempo=TEMPO) as made:
            duties = weak.duties(made, settings, clock, TEMPO)
            Daemon(duties, made.watchdog, made.clock, made.stop).run(signals.is_asked_to_stop)
    except MustRestart as error:
        logging.getLogger("batchline").warning("%s", error)
        return 1
    except (StoreUnavailable, KafkaUnavailable) as error:
        logging.getLogger("batchline").warning("%s", error)
        return 4
    return 0


def provider(spec: Spec) -> int:
    """The fake provider. Its batches are small: threads execute them."""
    directory = Path(spec["directory"])
    engine = Engine(
        directory,
        Limits.of({}),
        Faults(spec["seed"], spec["rules"]),
        OffsetClock(Path(spec["clock"])),
        spec["seed"],
        spec["processing"],
        pool=ThreadPoolExecutor(2),
    )
    serve(engine, "127.0.0.1", spec["port"], Path(spec["port_file"]), stop_with_stdin=False)
    return 0


def operator(spec: Spec) -> int:
    """Whoever looks at held batches, and decides as `poller resolve` does."""
    clock = _clock(spec)
    failpoints.arm()
    try:
        with Store.open(spec["state_store"], clock, create=False) as store:
            store.leases.bury(is_dead)
            resolving = Resolving(store, Keeper(store, this_process()), clock)
            never = threading.Event()
            while not never.wait(0.1):
                for batch in store.batches.rows((State.HELD,)):
                    with suppress(SettingsError, LeaseLost):
                        _resolve(batch, clock() + PROMPT, store, resolving)
    except StoreUnavailable as error:
        logging.getLogger("batchline").warning("%s", error)
    return 4


def _resolve(batch: Batch, soon: datetime, store: Store, resolving: Resolving) -> None:
    """What is throttled for long is given up; what waits for a person's word is allowed another create, once."""
    said = batch.held_reason or ""
    if said.startswith("throttled") and batch.held_until is not None and batch.held_until > soon:
        resolving.fail(batch.batch_key)
    elif said.startswith(DECIDE) and store.attempts.of(batch.batch_key)[0].note != ALLOWED:
        resolving.retry(batch.batch_key)


ROLES: dict[str, Callable[[Spec], int]] = {"desk": desk, "poller": poller, "provider": provider, "operator": operator}


def _clock(spec: Spec) -> Clock:
    """The machine's time and the run's offset, read each time: it may have been moved while this process was frozen."""
    path = Path(spec["clock"])
    return lambda: datetime.fromtimestamp(OffsetClock(path).now(), UTC)
