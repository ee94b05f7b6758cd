"""The real provider is asked, once the price is said: for rows, or for as many as fill so many requests."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from deploy.rehearsal.estimating import Prices, measure
from deploy.rehearsal.folder import rehearsal_folder, with_options
from deploy.rehearsal.printing import dollars
from deploy.rehearsal.sample import Sample
from deploy.rehearsal.trial import Tried, attempt
from shared.clock import system_clock
from shared.definition import Definition
from shared.manifest import Manifest
from shared.providers import provider_for
from submitter.planning.planner import Planner


def ask(stated: Definition, lines: Sequence[bytes], environ: Mapping[str, str], say: Callable[[str], None]) -> Tried:
    """Send rows through a definition's road, at their full price."""
    definition = with_options(stated)
    measured = measure(definition, Sample(tuple(lines), None), environ, None)
    price = Prices().of(definition, measured.input_tokens, measured.output_tokens)
    asked = f"{measured.records:,} records in {measured.requests:,} requests"
    say(f"asking {definition.model.base_url} for {asked}: about {dollars(price and price.sync_usd)}")
    with rehearsal_folder() as folder:
        return attempt(folder, definition, lines, environ)


def filling(definition: Definition, lines: Sequence[bytes], requests: int, environ: Mapping[str, str]) -> list[bytes]:
    """The first rows, until so many requests are full; all of them where they don't suffice."""
    asked = with_options(definition)
    with rehearsal_folder() as folder:
        planner = Planner(folder.store, folder.spool, lambda model: provider_for(model, environ), system_clock)
        keys = planner.plan(asked.pipeline, asked.statement, folder.seal(asked, lines))
        manifests = [folder.spool.manifest(asked.pipeline, asked.statement, key) for key in keys]
    numbers = {start: number for number, start in enumerate(accumulate(map(len, lines), initial=0))}
    for manifest in sorted(manifests, key=lambda each: each.start):
        if manifest.requests >= requests:
            return list(lines[: numbers[manifest.start] + _rows(manifest, requests)])
        requests -= manifest.requests
    return list(lines)


def _rows(manifest: Manifest, requests: int) -> int:
    """Rows of a batch's range until so many of its requests are full, with those that are not asked among them."""
    wanted, records = manifest.packing.of(requests - 1).stop, 0
    for number, fate in enumerate(manifest.fates(), 1):
        records += fate == "request"
        if records == wanted:
            return number
    return sum(count for count, _ in manifest.runs)
