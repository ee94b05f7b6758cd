"""The commands run and check. Their options and exit codes are a contract."""

import logging
import os
import threading
from contextlib import ExitStack
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shared.telemetry import start_logging
from shared.terminal import printable_lines
from submitter.invocation import FILE, OVERRIDES, checked_file, flink, told
from submitter.job.configuration import parse_overrides
from submitter.stopping import Stopped, stoppable

if TYPE_CHECKING:
    from submitter.pipeline.check import Checked
    from submitter.run.run import Runner

ELSEWHERE = {"estimate": "estimate_command", "try": "try_command"}


class Commands(click.Group):
    """With the commands that stand above both stages, in a package of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *ELSEWHERE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        found: click.Command = getattr(import_module("deploy.rehearsal.command"), ELSEWHERE[cmd_name])
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.pass_context
def main(context: click.Context) -> None:
    """Stage Kafka records with Flink, plan batches of requests, and submit them to an LLM provider's batch API."""
    # Of a rehearsal only what went wrong is told beside what it prints.
    start_logging(logging.INFO if context.invoked_subcommand == "run" else logging.WARNING)


@main.command("run")
@FILE
@OVERRIDES
@click.pass_obj
@click.option("--fresh", is_flag=True, help="start without Flink state, from the positions that are not yet paid for")
@click.option(
    "--resubmit",
    is_flag=True,
    help="allow a start without Flink state for input without positions: all of it is sent, and paid for, again",
)
@click.option(
    "--replication",
    type=click.IntRange(1),
    default=1,
    envvar="BATCHLINE_REPLICATION",
    show_default=True,
    show_envvar=True,
    help="replication factor of the batches topic, if it has to be created",
)
@click.option("--take-over", is_flag=True, help="the pipeline's file has moved: make its name this file's")
def run_command(
    stop: threading.Event, /, file: Path, overrides: tuple[str, ...], *, take_over: bool, **wishes: Any
) -> None:
    """Validate FILE.sql, then run its Flink job until it is stopped, or, if all its sources end, submitted.

    It continues its own lineage. SIGTERM and SIGINT stop it cleanly.

    \b
    Ends with
      0  stopped, or all of a bounded input is submitted
      1  the job failed, or its state can't be restored; the message says what to do
      2  the file or an option is wrong; each fault is named
      4  the state store, the spool or Kafka is away
      5  the pipeline is already being run
    """  # noqa: D301 - the backspace is how click is told to keep the lines as they are
    try:
        with told(), ExitStack() as opened:
            with stoppable(stop):
                given = parse_overrides(overrides)
                opened.enter_context(flink(stop))
                checked = checked_file(stop, file, given, take_over=take_over)
                runner = _runner(opened, stop, checked, given, take_over=take_over, **wishes)
            runner.run()
    except Stopped:
        _say("stopped before anything was started")


@main.command("check")
@FILE
@OVERRIDES
@click.pass_obj
def check_command(stop: threading.Event, /, file: Path, overrides: tuple[str, ...]) -> None:
    """Validate FILE.sql and explain it; start and send nothing.

    Ends with 0 when nothing is wrong, with 2 and a message for each fault when something is.
    """
    try:
        with told(judges=True), stoppable(stop), flink(stop):
            checked = checked_file(stop, file, parse_overrides(overrides))
            from submitter.pipeline.explain import explain

            click.echo(printable_lines(explain(checked.pipeline)))
    except Stopped:
        raise click.Abort from None


def _runner(
    opened: ExitStack,
    stop: threading.Event,
    checked: "Checked",
    overrides: dict[str, str],
    *,
    take_over: bool,
    **wishes: Any,
) -> "Runner":
    """All that a run needs; the store stays open as long as `opened`."""
    from shared.kafka import load_clusters
    from shared.spool import Spool
    from shared.store import Store
    from submitter.lineage.chronicle import Chronicle
    from submitter.run.run import Runner, Wishes

    pipeline, settings = checked.pipeline, checked.pipeline.settings
    configured = settings.kafka_config or os.environ.get("BATCHLINE_KAFKA_CONFIG")
    clusters = load_clusters(Path(configured) if configured else None, os.environ)
    store = opened.enter_context(Store.open(settings.state_store))
    spool = Spool(settings.spool)
    Chronicle(store, spool, pipeline.name).claim(str(pipeline.file), take_over=take_over)
    return Runner(
        pipeline=pipeline,
        tables=checked.tables,
        store=store,
        spool=spool,
        clusters=clusters,
        wishes=Wishes(overrides, **wishes),
        say=_say,
        stop=stop,
    )


def _say(text: str) -> None:
    click.echo(f"{datetime.now().astimezone():%H:%M:%S} {printable_lines(text)}")
