"""`make bench`: every bench in a process of its own, one table, exit 1 when a target is missed."""

import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from tests.bench.apart import measured
from tests.bench.machine import machine
from tests.bench.rows import Row
from tests.bench.table import markdown, table

BENCHES = ("staging", "plan", "upload", "publish", "memory")
"""In flow order; each is a module `bench_<name>` with a `main()` that gives its rows."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(BENCHES))
@click.option("--markdown", "as_markdown", is_flag=True, help="print the table as the README shows it")
def main(names: tuple[str, ...], *, as_markdown: bool) -> None:
    """Measure speed and memory (all of it, or NAMES) against what they are held against, in one run.

    Ends with 1 when a target is missed, or a bench could not be run.
    """
    console = Console()
    rows: list[Row] = []
    failed: list[str] = []
    described, begin = machine(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="batchline-bench-") as folder:
        for name in names or BENCHES:
            log = Path(folder, f"{name}.log")
            with console.status(f"bench: {name}"):
                try:
                    rows += measured(name, log)
                except Exception as error:  # noqa: BLE001 one bench that can't be run must not hide the others
                    failed.append(name)
                    console.print(f"bench {name} failed: {error}\n{_tail(log)}", markup=False, highlight=False)
    seconds = time.monotonic() - begin
    if as_markdown:
        click.echo(markdown(rows, described))
    else:
        console.print(table(rows, f"{described}; measured in {seconds:.0f} s"))
    missed = [row.name for row in rows if not row.met]
    for name in missed:
        console.print(f"missed: {name}", highlight=False)
    sys.exit(1 if missed or failed else 0)


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


if __name__ == "__main__":
    main()
