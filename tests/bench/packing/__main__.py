"""`make bench-packing`: the same reviews asked four ways, beside the figures of the proposal for packed prompts."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from deploy.demo.reviews import Review, read_reviews
from tests.bench.machine import machine
from tests.bench.packing.measured import Measured, extrapolated
from tests.bench.packing.runs import CALL_SECONDS, PROCESSING_SECONDS, run
from tests.bench.packing.table import markdown
from tests.bench.packing.ways import GUIDE, MODEL, SHORT, WAYS, Way


@click.command()
@click.option("--records", type=click.IntRange(1), default=10_000, show_default=True, help="of the demo's reviews")
@click.option("--slice", "slice_", type=click.IntRange(1), default=1_000, show_default=True, help="asked one by one")
@click.option("--short", is_flag=True, help="one line of instructions, the demo's, in place of a labelling guide")
@click.option("--only", type=click.IntRange(1, len(WAYS)), help="one way, by its number in the table")
def main(*, records: int, slice_: int, short: bool, only: int | None) -> None:
    """Measure calls, time, tokens, cost and errors of four ways, with the real commands; print a Markdown table."""
    reviews, instructions = read_reviews(records), SHORT if short else GUIDE
    described, begin = machine(), time.monotonic()
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="batchline-bench-") as folder:
        for number, way in enumerate(WAYS, 1):
            if only in (None, number):
                measured.append(_one(way, reviews, slice_, Path(folder, str(number)), instructions))
                click.echo(f"{way.name}: {measured[-1].seconds:,.1f} s", err=True)
    click.echo(
        markdown(
            measured,
            f"{len(reviews):,} reviews of {sum(len(each.text) for each in reviews) // len(reviews)} characters, "
            f"instructions of {len(instructions):,}, {MODEL}; {CALL_SECONDS:g} s for each synchronous call, "
            f"{PROCESSING_SECONDS:g} s for a batch; {described}; measured in {time.monotonic() - begin:.0f} s.",
        )
    )


def _one(way: Way, reviews: Sequence[Review], slice_: int, folder: Path, instructions: str) -> Measured:
    """One way; one call a record only for reviews spread over all of them."""
    folder.mkdir()
    step = max(len(reviews) // slice_, 1) if way.is_flinks_own else 1
    taken = run(way, reviews[::step], folder, instructions)
    return taken if step == 1 else extrapolated(taken, len(reviews))


if __name__ == "__main__":
    main()
