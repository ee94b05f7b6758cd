"""Runs one way on a broker and a fake provider of its own, with the real commands, and asks both what became of it."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import orjson
from sqlalchemy import create_engine

from deploy.demo.progress import counts
from deploy.demo.report import Outputs, read_outputs
from deploy.demo.reviews import Review, produce
from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider.server import ProviderServer
from deploy.sandbox.topics import TopicSettings
from shared.providers.prices import cost
from tests.bench.packing.measured import Measured
from tests.bench.packing.ways import KEY, MODEL, REVIEWS, SENTIMENTS, Place, Way, script
from tests.rig.processes import console_script
from tests.rig.waiting import wait_until

CALL_SECONDS, PROCESSING_SECONDS = 0.2, 3.0
"""Of each synchronous call; of each batch, besides the work itself."""
_PATIENCE = 240.0
_ROOT = Path(__file__).parents[3]
_SLOW = {"fault": "slow_response", "endpoint": "openai.chat.completions", "seconds": CALL_SECONDS}


def run(way: Way, reviews: Sequence[Review], folder: Path, instructions: str) -> Measured:
    """Ask for all of `reviews`. Raises RuntimeError when not every one came out exactly once."""
    with (
        LocalBroker(folder / "kafka") as broker,
        ProviderServer(folder / "provider", faults=[_SLOW], processing_seconds=PROCESSING_SECONDS) as server,
    ):
        broker.create_topics({name: TopicSettings(partitions=2) for name in (REVIEWS, SENTIMENTS)})
        produce(broker.bootstrap, REVIEWS, reviews)
        place = Place(
            broker.bootstrap,
            f"{server.openai_base_url}/chat/completions",
            f"file://{folder / 'spool'}",
            f"sqlite:///{folder / 'state.db'}",
        )
        statements = script(way, place, instructions)
        seconds = _flink(statements, folder) if way.is_flinks_own else _road(statements, place, folder, len(reviews))
        outputs = read_outputs(broker.bootstrap, SENTIMENTS)
        if not outputs.messages == len(outputs.labels) == len(reviews):
            told = f"{outputs.messages:,} records came out, {len(outputs.labels):,} distinct"
            raise RuntimeError(f"{way.name}: of {len(reviews):,} reviews {told}")
        return _measured(way, server, outputs, seconds)


def _flink(statements: list[str], folder: Path) -> float:
    file = folder / "peer.json"
    file.write_bytes(orjson.dumps(statements))
    begin = time.monotonic()
    command = [sys.executable, "-m", "tests.bench.packing.peer", str(file), str(folder)]
    with Child(command, log=folder / "peer.log", cwd=_ROOT) as child:
        if child.wait(_PATIENCE) != 0:
            raise RuntimeError(f"Flink's own ML_PREDICT ended with {child.returncode}:\n{child.tail()}")
    return time.monotonic() - begin


def _road(statements: list[str], place: Place, folder: Path, records: int) -> float:
    file = folder / "packing.sql"
    file.write_text("".join(f"{statement};\n\n" for statement in statements))
    environ = {
        **os.environ,
        KEY: "bench",
        "BATCHLINE_STATE_STORE": place.state_store,
        "BATCHLINE_SPOOL": place.spool,
        "BATCHLINE_BOOTSTRAP_SERVERS": place.bootstrap,
        "BATCHLINE_POLL_INTERVAL": "0.5",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    engine = create_engine(place.state_store)
    with ExitStack() as stack:
        begin = time.monotonic()
        children = [
            stack.enter_context(Child([console_script(name), *arguments], log=folder / f"{name}.log", env=environ))
            for name, arguments in (("poller", ("run",)), ("submitter", ("run", file)))
        ]

        def published() -> bool:
            for child in children:
                if child.returncode not in (None, 0):
                    raise RuntimeError(f"{child.argv[0]} ended with {child.returncode}:\n{child.tail()}")
            return counts(engine)["published"] >= records

        wait_until(published, _PATIENCE, lambda: f"{records:,} records to be published, these are: {counts(engine)}")
        seconds = time.monotonic() - begin
        engine.dispose()
        if children[1].wait(_PATIENCE) != 0:
            raise RuntimeError(f"the submitter ended with {children[1].returncode}:\n{children[1].tail()}")
    return seconds


def _measured(way: Way, server: ProviderServer, outputs: Outputs, seconds: float) -> Measured:
    witness = server.witness()
    answered = [event["at"] for event in witness.events("sync")]
    used, told = witness.tokens()
    price = cost("openai", MODEL, used, told)
    if price is None:
        raise RuntimeError(f"no price of {MODEL} is known")
    return Measured(
        name=way.name,
        records=outputs.messages,
        # The rule of the slow calls has counted each of them, also one that was not answered.
        calls=sum(rule["seen"] for rule in server.faults()) + sum(1 for _ in witness.requests()),
        seconds=seconds,
        asking=max(answered, default=0.0) - min(answered, default=0.0),
        input_tokens=used,
        output_tokens=told,
        errors=sum(label is None for label in outputs.labels.values()),
        usd=price.batch_usd if way.is_batch else price.sync_usd,
    )
