"""The commands run, once, status, resolve, doctor, rebuild. Their options and exit codes are a contract."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, wait_exponential_jitter

from poller.daemon import Daemon, once
from poller.flags import load, options
from poller.operate.doctor import Doctor
from poller.operate.doctor_table import draw_diagnosis
from poller.operate.rebuild import Rebuild
from poller.operate.resolving import Resolving
from poller.operate.status import Report, report
from poller.operate.table import WIDTH, draw
from poller.settings import PollerSettings, StatusSettings, StoreSettings
from poller.signals import Signals
from poller.wiring import Poller, assembled, limits
from shared.clock import system_clock
from shared.errors import BatchlineError, KafkaUnavailable, MustRestart, SettingsError, SpoolAway, StoreUnavailable
from shared.lease import Keeper, is_dead, this_process
from shared.store import Store
from shared.telemetry import SECRETS, Action, log, start_logging
from shared.terminal import printable, printable_json, printable_lines

HEALTHY, MUST_RESTART, WRONG, ATTENTION, AWAY = 0, 1, 2, 3, 4


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.pass_context
def main(context: click.Context) -> None:
    """Collect what LLM batch APIs have done, and publish it to Kafka, each record exactly once.

    Settings are flags, else environment variables.
    """
    if isinstance(context.obj, Signals) and context.invoked_subcommand not in ("run", "once"):
        context.obj.release()


@main.command("run")
@options(PollerSettings)
@click.pass_obj
def run_command(signals: Signals, /, **flags: Any) -> None:
    """Work until SIGTERM or SIGINT; what is away is waited for.

    Ends with 0 when it was stopped, 2 when a setting can't be used, 1 when it has to be started again.
    """
    with _told():
        settings = load(PollerSettings, flags)
        start_logging(logging.getLevelName(settings.log_level.upper()))
        store = None if signals.is_asked_to_stop() else _patient_open(settings.state_store, signals)
        if store is None:
            click.echo("stopped before anything was started", err=True)
            return
        with store, assembled(settings, store) as poller:
            _verify(poller)
            Daemon(poller.duties, poller.watchdog, poller.clock, poller.stop).run(signals.is_asked_to_stop)


@main.command("once")
@options(PollerSettings)
@click.pass_obj
def once_command(signals: Signals, /, **flags: Any) -> None:
    """Do everything that is due now, and end: for cron. Runs may overlap.

    Ends with 0 when all is healthy, 3 when something needs attention (see `poller status`), 4 when a dependency is
    away, 2 when a setting can't be used, 1 when it has to be started again.
    """
    with _told():
        settings = load(PollerSettings, flags)
        start_logging(logging.getLevelName(settings.log_level.upper()))
        if signals.is_asked_to_stop():
            click.echo("stopped before anything was started", err=True)
            return
        with Store.open(settings.state_store) as store, assembled(settings, store, is_single_pass=True) as poller:
            once([paced.duty for paced in poller.duties], poller.watchdog, poller.clock, signals.is_asked_to_stop)
            poller.watchdog.settle()
            state = report(store, poller.clock, limits(settings))
            code = _exit_code(state, has_seen_away=poller.watchdog.has_seen_away)
    sys.exit(code)


@main.command("status")
@options(StatusSettings)
@click.option("--json", "as_json", is_flag=True, help="print JSON with a schema version, for scripts")
def status_command(*, as_json: bool, **flags: Any) -> None:
    """Show the batches, what needs attention, and what it cost.

    Ends with 0, 2 when a setting can't be used or there is no such store, 4 when it is away.
    """
    with _told():
        settings = load(StatusSettings, flags)
        with Store.open(settings.state_store, create=False) as store:
            state = report(store, system_clock, limits(settings))
        if as_json:
            click.echo(printable_json(state.model_dump_json(indent=2)))
        else:
            # A narrow terminal breaks the lines; broken columns could not be read at all.
            draw(state, Console(width=max(Console().width, WIDTH)))


@main.command("resolve")
@options(StoreSettings)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--retry", "how", flag_value="retry", help="send it again; it may then be paid for twice")
@click.option("--fail", "how", flag_value="fail", help="send it no more: its records come out as errors")
@click.option("--adopt", "provider_batch_id", metavar="ID", help="this is what its create made, at the provider")
def resolve_command(keys: tuple[str, ...], how: str | None, provider_batch_id: str | None, **flags: Any) -> None:
    """Decide on held batches: `poller status` names those that wait for a person's word.

    Ends with 0, 2 when there is nothing to decide on a batch, 4 when the store is away.
    """
    with _told():
        if (how is None) == (provider_batch_id is None) or (provider_batch_id and len(keys) > 1):
            raise SettingsError("give --retry, --fail, or, for one batch, --adopt ID")
        with Store.open(load(StoreSettings, flags).state_store, create=False) as store:
            # What one that was killed held back would else wait for its lease to lapse.
            store.leases.bury(is_dead)
            resolving = Resolving(store, Keeper(store, this_process()), system_clock)
            for key in keys:
                if provider_batch_id is not None:
                    told = resolving.adopt(key, provider_batch_id)
                else:
                    told = resolving.retry(key) if how == "retry" else resolving.fail(key)
                _say(f"{key}: {told}")


@main.command("doctor")
@options(PollerSettings)
@click.option("--json", "as_json", is_flag=True, help="print JSON with a schema version, for scripts")
@click.option("--fix", is_flag=True, help="mend what can be mended safely, and say what was done")
def doctor_command(*, as_json: bool, fix: bool, **flags: Any) -> None:
    """Say what is stuck and why: in the store, in the spool, at the providers.

    Ends with 0 when all is healthy, 3 when something needs attention, 4 when a dependency is away, 2 when a setting
    can't be used.
    """
    with _told():
        settings = load(PollerSettings, flags)
        with Store.open(settings.state_store, create=False) as store:
            diagnosis = Doctor(settings, store).examine(fix=fix)
        if as_json:
            click.echo(printable_json(diagnosis.model_dump_json(indent=2)))
        else:
            draw_diagnosis(diagnosis, Console(width=max(Console().width, WIDTH)))
    sys.exit(AWAY if diagnosis.away else HEALTHY if diagnosis.healthy else ATTENTION)


@main.command("rebuild")
@options(PollerSettings)
@click.option("--installation", metavar="ID", help="the lost store's, where the spool has data of several")
@click.option("--without", multiple=True, metavar="KEY", help="a damaged batch that is given up")
def rebuild_command(*, installation: str | None, without: tuple[str, ...], **flags: Any) -> None:
    """Restore a lost state store into an empty one, from the spool, the batches topic and the providers.

    Stop every submitter and poller before. Ends with 0, 2 when the store is not empty or a setting can't be used, 4
    when a dependency is away; then nothing is written.
    """
    with _told():
        settings = load(PollerSettings, flags)
        with Store.open(settings.state_store) as store:
            Rebuild(settings, store, _say, without=without).run(installation)


def _say(text: str) -> None:
    click.echo(SECRETS.redact(printable(text)))


def _verify(poller: Poller) -> None:
    """Find a wrong topic before anything is done; a cluster that is away is found out again by the duty itself."""
    try:
        poller.registrar.connect()
    except KafkaUnavailable as error:
        poller.watchdog.away(f"kafka ({poller.registrar.name})", str(error))


def _exit_code(state: Report, *, has_seen_away: bool) -> int:
    if has_seen_away:
        return AWAY
    return HEALTHY if state.healthy else ATTENTION


def _patient_open(address: str, signals: Signals) -> Store | None:
    """The store, waited for; None when a stop came first."""

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log(Action.DEPENDENCY_AWAY, logging.WARNING, dependency="store", message=str(error))

    patience = Retrying(
        retry=retry_if_exception_type(StoreUnavailable),
        wait=wait_exponential_jitter(initial=0.5, max=30),
        stop=lambda _: signals.is_asked_to_stop(),
        sleep=signals.rest,
        before_sleep=say,
    )
    try:
        return patience(Store.open, address)
    except RetryError:
        return None


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong, as one message on stderr and an exit code."""
    try:
        yield
    except MustRestart as error:
        _end(error, MUST_RESTART)
    except (StoreUnavailable, KafkaUnavailable, SpoolAway) as error:
        _end(error, AWAY)
    except BatchlineError as error:
        _end(error, WRONG)


def _end(error: BatchlineError, code: int) -> None:
    click.echo(f"poller: {SECRETS.redact(printable_lines(str(error)))}", err=True)
    sys.exit(code)
