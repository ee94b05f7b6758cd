"""What the demo runs on: a folder, a local Kafka, the fake provider or the real one, and the two commands."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.reviews import Review, produce
from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider.server import ProviderServer
from deploy.sandbox.topics import TopicSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "demo"
REVIEWS, SENTIMENTS = "reviews", "sentiments"
SQL = Path(__file__).with_name("reviews.sql")
KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
MODELS = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5"}
PATHS = {"openai": "/chat/completions", "anthropic": "/v1/messages"}
REAL = {
    "openai": ("OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "anthropic": ("ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
}
"""The variable that the provider's own SDK takes an address from, and where it goes without one."""


@dataclass(frozen=True)
class World:
    """Everything that runs."""

    provider: str
    bootstrap: str
    state_store: str
    environ: dict[str, str]
    submitter: Child
    poller: Child


@contextmanager
def world(provider: str, reviews: list[Review], *, live: bool) -> Iterator[World]:
    """Start all of it with the reviews in their topic; stop all of it at the end. What it wrote stays in FOLDER."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with ExitStack() as stack:
        broker = stack.enter_context(LocalBroker(FOLDER / "kafka"))
        broker.create_topics({REVIEWS: TopicSettings(partitions=2), SENTIMENTS: TopicSettings(partitions=2)})
        produce(broker.bootstrap, REVIEWS, reviews)
        address = real_address(provider)
        if not live:
            sandbox = stack.enter_context(ProviderServer(FOLDER / "provider", processing_seconds=3))
            address = sandbox.openai_base_url if provider == "openai" else sandbox.anthropic_base_url
        store = f"sqlite:///{FOLDER / 'state.db'}"
        environ = {
            **os.environ,
            "DEMO_PROVIDER": provider,
            "DEMO_ENDPOINT": address + PATHS[provider],
            "DEMO_MODEL": MODELS[provider],
            "DEMO_API_KEY": os.environ[KEYS[provider]] if live else "sandbox",
            "DEMO_BOOTSTRAP_SERVERS": broker.bootstrap,
            "DEMO_SPOOL": f"file://{FOLDER / 'spool'}",
            "DEMO_STATE_STORE": store,
            "BATCHLINE_STATE_STORE": store,
            "XDG_STATE_HOME": str(FOLDER / "state"),
            "BATCHLINE_BOOTSTRAP_SERVERS": broker.bootstrap,
            "BATCHLINE_SPOOL": f"file://{FOLDER / 'spool'}",
            **({} if live else {"BATCHLINE_POLL_INTERVAL": "0.5"}),
        }
        poller = _start(stack, "poller", ["run"], environ)
        submitter = _start(stack, "submitter", ["run", str(SQL)], environ)
        yield World(provider, broker.bootstrap, store, environ, submitter, poller)


def real_address(provider: str) -> str:
    """Where LIVE=1 sends the reviews."""
    variable, usual = REAL[provider]
    return (os.environ.get(variable) or usual).rstrip("/")


def _start(stack: ExitStack, name: str, arguments: list[str], environ: dict[str, str]) -> Child:
    command = [str(ROOT / ".venv" / "bin" / name), *arguments]
    child = Child(command, log=FOLDER / f"{name}.log", env=environ)
    stack.callback(child.terminate)
    return child
