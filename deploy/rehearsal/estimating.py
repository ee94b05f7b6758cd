"""A statement's quote: the sample is planned as it would be, packed and not, and priced for each road."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from deploy.rehearsal.folder import rehearsal_folder, with_options
from deploy.rehearsal.quote import (
    Measured,
    Quote,
    Road,
    RoadQuote,
    Terms,
    batches_of,
    scaled,
    seconds_batched,
    seconds_called,
)
from deploy.rehearsal.sample import Sample
from shared.admission import UNCUT, Cut
from shared.clock import system_clock
from shared.definition import Definition
from shared.errors import BatchlineError, StoreUnavailable
from shared.estimate import all_answers, prompt_tokens
from shared.limits import Limits
from shared.packed import RESERVED
from shared.providers import provider_for
from shared.providers.prices import Cost, cost_of
from shared.providers.profiles import profile_for
from shared.store import Store
from submitter.planning.planner import Planner

WINDOW = 86_400.0
"""Seconds within which both providers promise a batch."""
_PACKABLE = frozenset({"chat", "responses", "messages", "embeddings"})


@dataclass(frozen=True)
class Prices:
    """What a user says of prices: US dollars for a million tokens, synchronously; None: as they are published."""

    input: float | None = None
    output: float | None = None

    def of(self, definition: Definition, used: int, made: int) -> Cost | None:
        """What tokens cost."""
        if self.input is None or self.output is None:
            return cost_of(definition.model, used, made)
        sync = (self.input * used + self.output * made) / 1_000_000
        return Cost(sync * profile_for(definition.model).price_factor, sync)


def estimate(
    definition: Definition,
    sample: Sample,
    environ: Mapping[str, str],
    state_store: str,
    prices: Prices,
    records: int | None = None,
) -> Quote:
    """What a statement takes for all that its input holds, or for so many records."""
    rate, terms = _learned(definition, state_store)
    known = records if records is not None else sample.records
    roads: list[RoadQuote] = []
    counted, without = None, _never_packed(definition)
    for is_packed, variant in _variants(definition, can_pack=without is None):
        try:
            measured = measure(variant, sample, environ, rate)
        except (BatchlineError, ValueError) as error:
            if not is_packed:
                raise
            without = str(error)
            continue
        counted = counted or measured
        roads += _roads(
            variant, measured, known if known is not None else measured.records, terms, prices, is_packed=is_packed
        )
    sampled = counted.records if counted else 0
    return Quote(
        statement=definition.statement,
        model=definition.model.model,
        sampled=sampled,
        refused=counted.refused if counted else 0,
        records=sampled if known is None else known,
        is_guess=known is None,
        roads=tuple(roads),
        without_packed=without,
    )


def measure(definition: Definition, sample: Sample, environ: Mapping[str, str], rate: float | None) -> Measured:
    """Plan a sample, as its sealed file would be. Raises what planning raises where it can't be planned so."""
    with rehearsal_folder() as folder:
        planner = Planner(folder.store, folder.spool, lambda model: provider_for(model, environ), system_clock)
        planner.plan(definition.pipeline, definition.statement, folder.seal(definition, sample.lines))
        batches = folder.store.batches.rows()
        refused = sum(
            len(folder.spool.manifest(each.pipeline, each.statement, each.batch_key).rejected) for each in batches
        )
    requests, size = sum(each.requests for each in batches), sum(each.bytes for each in batches)
    records = sum(each.records for each in batches)
    tokens = sum(each.estimated_tokens or 0 for each in batches) if rate is None else prompt_tokens(size, rate)
    answers = all_answers(definition, requests, records - refused - sum(each.deduplicated for each in batches))
    return Measured(records, refused, requests, size, tokens if requests else 0, answers)


def _variants(definition: Definition, *, can_pack: bool) -> list[tuple[bool, Definition]]:
    """Each record by itself, and packed: as the file says, else as many as fit."""
    single = with_options(definition, size=1, mode="batch")
    if definition.batch.is_packed:
        alone = {"prompt": _for_one(definition), "response_format": None, "response_path": None}
        return [(False, with_options(single, **alone)), (True, with_options(definition, mode="batch"))]
    return [(False, single), *([(True, with_options(definition, size="auto", mode="batch"))] if can_pack else ())]


def _never_packed(definition: Definition) -> str | None:
    """Why there are no packed roads; None where there are."""
    task, options = definition.model.task, definition.batch
    if options.is_packed:
        return None
    if task not in _PACKABLE:
        return f"{task} take one record a request"
    if options.media_columns is not None:
        return "images and documents go one record a request"
    if options.prompt is not None:
        return "'batch.prompt' is for one record: write it over `records`, with a 'batch.size' other than 1"
    return None


def _for_one(definition: Definition) -> str | None:
    """A packed definition's template, for a record alone: what asking each with the same words would cost."""
    if definition.batch.prompt is None:
        return None
    names = [column.name for column in definition.model.input if column.name.isidentifier()]
    record = ", ".join([f"'{RESERVED}': 1", *(f"'{name}': {name}" for name in names)])
    return f"{{% set records = [{{{record}}}] %}}{definition.batch.prompt}"


def _roads(
    definition: Definition,
    sample: Measured,
    records: int,
    known: Terms | None,
    prices: Prices,
    *,
    is_packed: bool,
) -> list[RoadQuote]:
    whole, terms = scaled(sample, records), known or _terms(definition)
    price = prices.of(definition, whole.input_tokens, whole.output_tokens)
    batches = batches_of(whole, terms)
    names: tuple[Road, Road] = ("packed synchronous", "packed batch") if is_packed else ("synchronous", "batch")
    common = {"requests": whole.requests, "input_tokens": whole.input_tokens, "output_tokens": whole.output_tokens}
    called, batched = seconds_called(whole, terms), seconds_batched(whole, batches, terms)
    return [
        RoadQuote(road=names[0], batches=None, cost_usd=price.sync_usd if price else None, seconds=called, **common),
        RoadQuote(
            road=names[1], batches=batches, cost_usd=price.batch_usd if price else None, seconds=batched, **common
        ),
    ]


def _learned(definition: Definition, state_store: str) -> tuple[float | None, Terms | None]:
    """What finished batches and refusals have taught, where there is a store."""
    model, options = definition.model, definition.batch
    with suppress(BatchlineError):
        store = Store.open(state_store, create=False)
        try:
            stated = profile_for(model).stated(options)
            cut = store.queues.cut(model, definition.pipeline, definition.statement, stated)
            rate = store.queues.rate(model.provider, model.model, definition.pipeline, definition.statement)
            return rate, _terms(definition, cut)
        except StoreUnavailable:
            return None, None
        finally:
            store.close()
    return None, None


def _terms(definition: Definition, queue: Cut = UNCUT) -> Terms:
    profile, options = profile_for(definition.model), definition.batch
    limits = Limits.of(profile, options, embeddings=definition.model.task == "embeddings")
    return Terms(
        max_requests=limits.max_requests,
        max_bytes=limits.max_bytes,
        queue=queue,
        creates_per_hour=profile.creates_per_hour,
        window=WINDOW,
        at_once=options.fallback_max_concurrency,
    )
