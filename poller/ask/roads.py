"""Which road a remainder takes: another batch; or record by record, while its deadline nears and money is left."""

from dataclasses import replace

from poller.ask.ceiling import Ceiling
from poller.ask.deadline import DeadlinePolicy
from poller.ask.pacing import Paces
from shared.clock import Clock
from shared.definition import Definition
from shared.estimate import all_answers
from shared.keys import generation
from shared.providers.prices import cost_of
from shared.store import Batch, Store


class Roads:
    """Knows the family of a batch: the batch of a sealed file, and all that was carried from it."""

    def __init__(self, store: Store, paces: Paces, clock: Clock, policy: DeadlinePolicy) -> None:
        self._store, self.paces, self._clock, self._policy = store, paces, clock, policy

    def may_ask(self, batch: Batch, definition: Definition) -> bool:
        """Whether what is left of a batch may be asked record by record.

        What was sent back from that road, because its money was spent, stays where it is.
        """
        if definition.batch.fallback != "sync" or batch.requests == 0:
            return False
        family = self._family(batch)
        was_asked = any(
            other.mode == "sync" and batch.batch_key.startswith(other.batch_key) and other.batch_key != batch.batch_key
            for other in family
        )
        return not was_asked and self._ceiling(batch, definition, family).reserve(0, batch.bytes // batch.requests)

    def asks_rest(self, batch: Batch, definition: Definition, requests: int) -> bool:
        """Whether so many requests, left of a batch that was batched, are asked record by record now."""
        if definition.batch.mode == "sync":
            return True
        left = replace(batch, requests=requests)
        if not requests or not self._policy.may_near(left, self._clock()) or not self.may_ask(batch, definition):
            return False
        nears_at = self._policy.nears_at(left, asks=True, rate=self.rate(batch))
        return batch.harvested_at is not None or (nears_at is not None and self._clock() >= nears_at)

    def ceiling(self, batch: Batch, definition: Definition) -> Ceiling:
        """The limit of a batch that is asked, without what it has spent itself."""
        return self._ceiling(batch, definition, self._family(batch))

    def shared_ceiling(self, batch: Batch, definition: Definition) -> str | None:
        """The name of the limit that a batch shares with its family; None without one."""
        return None if _limit(definition) is None else _root(batch.batch_key)

    def rate(self, batch: Batch) -> float | None:
        """The answers a second that the batch's model gave when it was last asked."""
        return self.paces.rate(batch.account, batch.model)

    def _ceiling(self, batch: Batch, definition: Definition, family: list[Batch]) -> Ceiling:
        model = definition.model
        others = (each.cost_usd or 0.0 for each in family if each.mode == "sync" and each.batch_key != batch.batch_key)

        def price(input_tokens: int, output_tokens: int) -> float | None:
            found = cost_of(model, input_tokens, output_tokens)
            return found.sync_usd if found else None

        answer = all_answers(definition, batch.requests, batch.records - batch.deduplicated) // max(batch.requests, 1)
        return Ceiling(_limit(definition), price, answer, sum(others))

    def _family(self, batch: Batch) -> list[Batch]:
        if batch.sealed_file is None:
            return [batch]
        same = self._store.batches.rows(
            pipeline=batch.pipeline, statement=batch.statement, sealed_file=batch.sealed_file
        )
        return [each for each in same if _root(each.batch_key) == _root(batch.batch_key)]


def _limit(definition: Definition) -> float | None:
    return definition.batch.fallback_max_cost if definition.batch.mode == "batch" else None


def _root(key: str) -> str:
    return key[: len(key) - generation(key)]
