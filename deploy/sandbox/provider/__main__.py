"""`python -m deploy.sandbox.provider`: the fake provider as a process of its own."""

from pathlib import Path

import click
import orjson


@click.command(help="Serve a fake OpenAI (under /v1) and Anthropic (under /v1/messages) on loopback.")
@click.option("--directory", type=click.Path(path_type=Path), required=True, help="Where its state and log are kept.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default=True, help="0 takes a free one.")
@click.option("--port-file", type=click.Path(path_type=Path), help="Where the port is written once it listens.")
@click.option("--limits", default="{}", help='JSON, e.g. {"openai_requests": 100}.')
@click.option("--faults", default="[]", help='JSON, e.g. [{"fault": "http_5xx", "probability": 0.1}].')
@click.option("--seed", default=0, show_default=True)
@click.option("--processing-seconds", default=1.0, show_default=True, help="From a batch's create to its end.")
@click.option("--stop-with-stdin", is_flag=True, help="End when stdin reaches its end.")
def main(  # noqa: PLR0913, PLR0917 - one argument for each option of the command
    directory: Path,
    host: str,
    port: int,
    port_file: Path | None,
    limits: str,
    faults: str,
    seed: int,
    processing_seconds: float,
    stop_with_stdin: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    # Imported late: a worker process imports this module again, and needs none of them.
    from deploy.sandbox.provider.clock import OffsetClock
    from deploy.sandbox.provider.engine import Engine
    from deploy.sandbox.provider.faults import Faults
    from deploy.sandbox.provider.limits import Limits
    from deploy.sandbox.provider.serving import serve

    try:
        table, rules = Limits.of(orjson.loads(limits)), Faults(seed, orjson.loads(faults))
    except (ValueError, TypeError) as error:
        raise click.UsageError(f"--limits or --faults: {error}") from None
    directory.mkdir(parents=True, exist_ok=True)
    clock = OffsetClock(directory / "clock")
    engine = Engine(directory.resolve(), table, rules, clock, seed, processing_seconds)
    serve(engine, host, port, port_file, stop_with_stdin=stop_with_stdin)


if __name__ == "__main__":
    main()
