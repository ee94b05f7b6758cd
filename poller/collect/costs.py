"""What a collected batch cost: its tokens, and their price on the road that it took. Pure."""

from poller.collect.decision import Decision
from shared.manifest import Manifest
from shared.providers.prices import cost_of
from shared.store.values import Changes


def costs(manifest: Manifest, decision: Decision) -> Changes:
    """What a decision says of a batch's results, as columns."""
    changes = Changes(
        input_tokens=decision.input_tokens,
        output_tokens=decision.output_tokens,
        duplicate_lines=decision.duplicate_lines,
        unknown_lines=decision.unknown_lines,
        malformed_lines=decision.malformed_lines,
        duplicate_entries=decision.odd.duplicates,
        unknown_entries=decision.odd.unknown,
        forgiven_answers=decision.odd.forgiven,
        unreadable_answers=decision.odd.unreadable,
        next_check_at=None,
    )
    price = cost_of(manifest.definition.model, decision.input_tokens, decision.output_tokens, decision.cached)
    if price is not None:
        spent = price.sync_usd if manifest.mode == "sync" else price.batch_usd
        changes |= Changes(cost_usd=spent, sync_cost_usd=price.sync_usd)
    return changes
