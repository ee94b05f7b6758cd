"""The commands `submitter estimate` and `submitter try`. What they need is loaded when they run."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from shared.errors import SettingsError
from submitter.invocation import FILE, OVERRIDES, checked_file, flink, told
from submitter.job.configuration import parse_overrides
from submitter.stopping import Stopped

if TYPE_CHECKING:
    from deploy.rehearsal.estimating import Prices
    from deploy.rehearsal.quote import Quote
    from deploy.rehearsal.sample import Sample
    from deploy.rehearsal.trial import Tried
    from submitter.pipeline.check import Checked
    from submitter.pipeline.values import Statement

JSON = click.option("--json", "as_json", is_flag=True, help="print JSON with a schema version, for scripts")
STATEMENT = click.option("--statement", metavar="NAME", help="this statement (its sink's name) alone")


@click.command("estimate")
@FILE
@OVERRIDES
@click.option("--rows", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="read so many, at most")
@click.option("--wait", type=click.FloatRange(1), default=30.0, show_default=True, help="read for so many seconds")
@click.option("--records", type=click.IntRange(1), help="estimate for so many; else for all that the input holds")
@click.option(
    "--canary",
    type=click.IntRange(1, 100),
    metavar="N",
    help="really send N requests first, synchronously, each with as many records as it holds",
)
@click.option("--input-price", type=click.FloatRange(0), help="US dollars for a million tokens, synchronously")
@click.option("--output-price", type=click.FloatRange(0), help="as --input-price, of answers")
@STATEMENT
@JSON
@click.pass_obj
def estimate_command(
    stop: threading.Event,
    /,
    file: Path,
    overrides: tuple[str, ...],
    *,
    rows: int,
    wait: float,
    canary: int | None,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Say what FILE.sql takes, by a sample of its input: requests, tokens, batches, money, time, on each road.

    Only a canary is sent to the provider, and paid for; its price is said before. Nothing is stored.

    Ends with 0, 2 when the file or an option is wrong, 4 when the state store, the spool or Kafka is away, 1 when Flink
    or the provider fails.
    """
    try:
        with told(), flink(stop):
            prices = _prices(wishes.pop("input_price"), wishes.pop("output_price"))
            checked = checked_file(stop, file, parse_overrides(overrides))
            from deploy.rehearsal.reading import chosen

            asked = chosen(checked.pipeline, wishes["statement"])
            samples = {each.name: _sample(checked, each, rows, wait) for each in asked}
            quotes = [_quote(checked, each, samples[each.name], prices, wishes["records"]) for each in asked]
            _show_quotes(quotes, as_json=as_json and canary is None)
            tried = [] if canary is None else [_canary(each, samples[each.name], canary, as_json) for each in asked]
            if as_json and canary is not None:
                _print_json(quotes, tried)
    except Stopped:
        raise click.Abort from None


@click.command("try")
@FILE
@click.option(
    "--rows", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, metavar="rows.jsonl"
)
@click.option("--live", type=click.IntRange(1, 100), metavar="N", help="ask the real provider for the first N rows")
@STATEMENT
@JSON
@click.pass_obj
def try_command(
    stop: threading.Event, /, file: Path, *, rows: Path, live: int | None, statement: str | None, as_json: bool
) -> None:
    """Send rows through FILE.sql without Kafka and without an account: requests, rows, bytes, cost.

    ROWS.JSONL holds a JSON object for each row that ML_PREDICT reads, a line each. The sandbox's provider answers,
    or, for the first N of them with --live, the real one, once its price is said.

    Ends with 0, 2 when the file, a row or an option is wrong, 1 when the provider does not answer, or the sandbox can't
    play the answer's format.
    """
    try:
        with told(), flink(stop):
            from deploy.rehearsal.reading import chosen, read_file
            from deploy.rehearsal.rows import sealed_lines

            pipeline = read_file(file, strict=live is not None)
            asked = chosen(pipeline, statement)
            if len(asked) != 1:
                names = ", ".join(each.name for each in asked)
                raise SettingsError(f"the file has several statements: give --statement, one of {names}")
            definition = asked[0].definition
            lines = list(sealed_lines(definition, rows.read_bytes().splitlines(), str(rows)))
            if live is not None:
                _print_tried(_live(asked[0], lines[:live], as_json), as_json=as_json)
            else:
                _print_tried(_in_sandbox(asked[0], lines), as_json=as_json)
    except Stopped:
        raise click.Abort from None


def _prices(input_price: float | None, output_price: float | None) -> "Prices":
    from deploy.rehearsal.estimating import Prices

    if (input_price is None) != (output_price is None):
        raise SettingsError("give both, --input-price and --output-price, or none")
    return Prices(input_price, output_price)


def _sample(checked: "Checked", statement: "Statement", rows: int, wait: float) -> "Sample":
    from tempfile import TemporaryDirectory

    from deploy.rehearsal.sample import take
    from shared.kafka import load_clusters

    configured = checked.pipeline.settings.kafka_config or os.environ.get("BATCHLINE_KAFKA_CONFIG")
    clusters = load_clusters(Path(configured) if configured else None, os.environ)
    with TemporaryDirectory(prefix="batchline-sample-") as folder:
        return take(checked.tables, statement, clusters, Path(folder), rows, wait)


def _quote(
    checked: "Checked", statement: "Statement", sample: "Sample", prices: "Prices", records: int | None
) -> "Quote":
    from deploy.rehearsal.estimating import estimate

    store = checked.pipeline.settings.state_store
    return estimate(statement.definition, sample, os.environ, store, prices, records)


def _canary(statement: "Statement", sample: "Sample", count: int, quiet: bool) -> "Tried":  # noqa: FBT001 - as --json
    from deploy.rehearsal.live import filling

    tried = _live(statement, filling(statement.definition, sample.lines, count, os.environ), quiet)
    if not quiet:
        _print_tried(tried, as_json=False)
    return tried


def _live(statement: "Statement", lines: list[bytes], quiet: bool) -> "Tried":  # noqa: FBT001 - as --json
    from deploy.rehearsal.live import ask

    return ask(statement.definition, lines, os.environ, lambda said: click.echo(said, err=quiet))


def _in_sandbox(statement: "Statement", lines: list[bytes]) -> "Tried":
    from deploy.rehearsal.folder import rehearsal_folder
    from deploy.rehearsal.sandbox import sandbox
    from deploy.rehearsal.trial import attempt

    with rehearsal_folder() as folder, sandbox(folder.path / "provider") as running:
        definition = statement.definition
        return attempt(folder, running.instead(definition), lines, running.environ(definition), running.dictate)


def _show_quotes(quotes: "list[Quote]", *, as_json: bool) -> None:
    from rich.console import Console

    from deploy.rehearsal.printing import quote_text

    if as_json:
        _print_json(quotes, [])
    else:
        quote_text(quotes, Console(width=max(Console().width, 110)))


def _print_tried(tried: "Tried", *, as_json: bool) -> None:
    from deploy.rehearsal.printing import SCHEMA_VERSION, tried_json, tried_text

    if as_json:
        _echo({"schema_version": SCHEMA_VERSION, **tried_json(tried)})
    else:
        for line in tried_text(tried):
            click.echo(line)


def _print_json(quotes: "list[Quote]", tried: "list[Tried]") -> None:
    from deploy.rehearsal.printing import SCHEMA_VERSION, tried_json

    shown: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "statements": [each.model_dump() for each in quotes]}
    if tried:
        shown["canary"] = [tried_json(each) for each in tried]
    _echo(shown)


def _echo(shown: Mapping[str, Any]) -> None:
    click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
