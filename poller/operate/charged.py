"""What a batch of a lost store has reserved and spent, by day: without it a rebuilt store would spend a day twice.

The costs of answers that are there, and the estimate of what may still come.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from poller.ask.journal import used
from poller.collect.costs import costs
from poller.collect.decision import read_decision
from shared.budget import day_of
from shared.estimate import estimate
from shared.intents import newest_intent
from shared.lifecycle import TERMINAL, State
from shared.manifest import Manifest
from shared.providers.prices import cost_of
from shared.spool import Spool
from shared.store.rebuilds import Known
from shared.store.values import Changes, Charge


def charged(spool: Spool, manifest: Manifest, known: Known) -> Known:
    """A batch with its estimate, and with its part of each day's money. Raises SpoolError for a damaged file."""
    if known.state in TERMINAL:
        return replace(known, charges=_closed(spool, manifest, known))
    guess = estimate(manifest.definition, known.batch)
    planned = replace(known.batch, estimated_tokens=guess.tokens, estimated_cost_usd=guess.usd)
    if manifest.mode == "sync":
        changes, charges = _asked(spool, manifest)
        return replace(known, batch=planned, columns={**known.columns, **changes}, charges=charges)
    return replace(known, batch=planned, charges=list(_open(spool, manifest, replace(known, batch=planned))))


def _closed(spool: Spool, manifest: Manifest, known: Known) -> list[Charge]:
    """Of a batch that is out: what it cost, on the day on which it was sent."""
    intent = newest_intent(spool, _folder(spool, manifest))
    at = intent.started_at if intent else known.columns["ended_at"] or known.columns["published_at"]
    return [Charge(day_of(at), spent_usd=known.columns["cost_usd"] or 0.0)]


def _open(spool: Spool, manifest: Manifest, known: Known) -> Iterator[Charge]:
    """Of a batch that was, or may have been, sent: its cost where it is known by now, else its estimate.

    It is reserved until the batch is collected, as if the store had never been lost.
    """
    if known.state is State.SEALED or not known.attempts:
        return
    decision = read_decision(spool.files, _folder(spool, manifest))
    known_cost = costs(manifest, decision).get("cost_usd") if decision else known.batch.estimated_cost_usd
    yield Charge(day_of(known.attempts[-1].started_at), reserved_usd=known_cost or 0.0)


def _asked(spool: Spool, manifest: Manifest) -> tuple[Changes, list[Charge]]:
    """Of a batch that is asked record by record: what its answers have cost so far, by the days of their parts."""
    days: dict[str, float] = defaultdict(float)
    asked = answered = 0
    for at, input_tokens, output_tokens in used(spool.files, _folder(spool, manifest)):
        asked, answered = asked + input_tokens, answered + output_tokens
        price = cost_of(manifest.definition.model, input_tokens, output_tokens)
        if price is not None:
            days[day_of(at or manifest.sealed_at)] += price.sync_usd
    if not asked + answered:
        return Changes(), []
    changes, total = Changes(input_tokens=asked, output_tokens=answered), sum(days.values())
    if days:
        changes |= Changes(cost_usd=total, sync_cost_usd=total)
    return changes, [Charge(day, spent_usd=usd) for day, usd in days.items()]


def _folder(spool: Spool, manifest: Manifest) -> str:
    return spool.batch(manifest.pipeline, manifest.statement, manifest.batch_key)
