"""One provider's road without Flink: plan, submit, watch, collect, publish; what came out, held against the witness.

Every record of a road has a text of its own, by which the provider's log knows it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from deploy.sandbox.provider.answers import prompt_hash
from deploy.sandbox.provider.server import ProviderServer
from poller.operate.status import Report, report
from shared.lifecycle import State
from shared.messages import Header
from shared.store import Batch
from tests.rig.kafka import Record
from tests.rig.results import Back
from tests.rig.stage import Stage

RECORDS = 6
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass
class Road:
    """A road's batches and outputs."""

    back: Back
    tag: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        self.stage.review = self.text

    @property
    def stage(self) -> Stage:
        return self.back.stage

    @property
    def server(self) -> ProviderServer:
        return self.stage.server

    def text(self, number: int) -> str:
        """What the n-th record says."""
        return f"review {number} of {self.tag}"

    def fault(self, name: str, *, times: int | None = 1, **options: Any) -> None:
        """Switch a fault on, for the next batch or call alone unless told otherwise."""
        self.server.set_fault(name, **({} if times is None else {"times": times}), **options)

    def bring(self, records: int = RECORDS) -> list[Batch]:
        """Send one more file's batch all the way; it and all that came of it."""
        return self.back.finish(self.stage.plan(records))

    def status(self) -> Report:
        return report(self.stage.store, self.stage.clock)

    def outputs(self, at_least: int = RECORDS) -> list[Record]:
        return self.back.outputs(at_least=at_least)

    def billed(self, records: int = RECORDS) -> Counter[int]:
        """How often each record's answer was paid for."""
        paid = self.server.witness().billed_prompts()
        return Counter({number: paid[prompt_hash(self.text(number))] for number in range(records)})

    def check(
        self,
        family: list[Batch],
        *,
        records: int = RECORDS,
        causes: dict[str, int] | None = None,
        unpaid: int = 0,
        paid_twice: int = 0,
        retries: int = 0,
    ) -> None:
        """Every record is out once, with its own answer or its cause, and was paid once, unless told otherwise.

        `retries` is what the youngest batch has used.
        """
        expected = causes or {}
        outputs = self.outputs(records)
        assert Counter(record.headers[Header.POSITION] for record in outputs) == {
            b"reviews/0/%d" % number: 1 for number in range(records)
        }
        errors = [error.decode() for record in outputs if (error := record.headers.get(Header.ERROR))]
        assert Counter(error.partition(":")[0] for error in errors) == expected
        billed = Counter(self.billed(records).values())
        once = records - unpaid - paid_twice
        assert billed == Counter({number: n for number, n in ((0, unpaid), (1, once), (2, paid_twice)) if n})
        self._balanced(family, records, sum(expected.values()))
        assert max(batch.retries for batch in family) == retries

    @staticmethod
    def _balanced(family: list[Batch], records: int, failed: int) -> None:
        """Conservation, for each batch and for all of them."""
        for batch in family:
            assert batch.records == batch.succeeded + batch.failed + batch.carried, batch
            children = [child for child in family if child.parent == batch.batch_key]
            assert batch.carried == sum(child.records for child in children)
        assert sum(batch.failed for batch in family) == failed
        assert sum(batch.succeeded for batch in family) == records - failed
        assert family[0].state in (State.PUBLISHED, State.FAILED)


MakeRoad = Callable[..., Road]
