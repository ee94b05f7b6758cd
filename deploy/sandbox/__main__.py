"""`python -m deploy.sandbox`: a broker and a fake provider for one's own experiments, until Ctrl-C or SIGTERM."""

import signal
import sys
import tempfile
import threading
from pathlib import Path

import click

from deploy.sandbox.broker import BrokerError, LocalBroker
from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.topics import TopicSettings


@click.command(
    help="Run Apache Kafka and a fake OpenAI and Anthropic on loopback; prints the environment that leads there."
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where data and logs are kept; a temporary folder, removed at the end, unless given.",
)
@click.option("--processing-seconds", default=5.0, show_default=True, help="From a batch's create to its end.")
@click.option(
    "--topic", "topics", multiple=True, metavar="NAME", help="A topic that the broker is to have; may be repeated."
)
def main(directory: Path | None, processing_seconds: float, topics: tuple[str, ...]) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="batchline-sandbox-") as temporary:
        kept = directory.resolve() if directory else Path(temporary)
        try:
            _run(kept, processing_seconds, topics, stop)
        except BrokerError as failed:
            click.echo(f"sandbox: {failed}", err=True)
            sys.exit(1)


def _run(directory: Path, processing_seconds: float, topics: tuple[str, ...], stop: threading.Event) -> None:
    click.echo("sandbox: starting Kafka and the provider …", err=True)
    provider = ProviderServer(directory / "provider", processing_seconds=processing_seconds)
    with LocalBroker(directory / "kafka") as broker, provider:
        broker.create_topics(dict.fromkeys(topics, TopicSettings(partitions=2)))
        for name, value in environment(broker, provider).items():
            click.echo(f"export {name}={value}")
        click.echo(f"sandbox: ready, data and logs in {directory}; Ctrl-C stops it", err=True)
        while not stop.wait(1):
            if not broker.running:
                raise BrokerError(f"Kafka ended by itself; its log is in {directory / 'kafka'}")
        click.echo("sandbox: stopping …", err=True)


def environment(broker: LocalBroker, provider: ProviderServer) -> dict[str, str]:
    """The variables that lead both commands and both SDKs to the sandbox; the keys are dummies."""
    return {
        "BATCHLINE_BOOTSTRAP_SERVERS": broker.bootstrap,
        "OPENAI_BASE_URL": provider.openai_base_url,
        "OPENAI_API_KEY": "sandbox",
        "ANTHROPIC_BASE_URL": provider.anthropic_base_url,
        "ANTHROPIC_API_KEY": "sandbox",
    }


if __name__ == "__main__":
    main()
