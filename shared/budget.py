"""What a day (UTC) may cost: a limit, what is spent or reserved of it, and who waits for it. Pure: no I/O.

First sealed, first served: of those that wait, whoever fits before a batch has its need kept for it. A batch is let in
only where its estimate fits, so that a day exceeds its limit at most by what batches cost beyond their estimates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.admission import UNCUT, Cut, Wait
from shared.definition import Model
from shared.estimate import estimated_cost

BUDGET = "budget"
"""How the reason begins for which a batch is held because it would cost more than a day may."""
_DUST = 1e-9
"""US dollars that sums of fractions may be off."""


@dataclass(frozen=True)
class Budget:
    """One limit on one day, in US dollars."""

    whose: str
    """For people: whose day it is."""
    limit: float
    used: float
    """Spent, reserved, or kept for those that are about to be sent."""
    line: Sequence[float] = ()
    """What those need that are held for its sake and were sealed before, in that order."""

    @property
    def left(self) -> float:
        """What whoever stands behind the line may take."""
        left = self.limit - self.used
        for need in self.line:
            if need <= left + _DUST:
                left -= need
        return max(left, 0.0)


def day_of(now: datetime) -> str:
    """The day on which money counts that is reserved now."""
    return f"{now:%Y-%m-%d}"


def next_day(now: datetime) -> datetime:
    """When the day turns."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def wait(budgets: Iterable[Budget], need: float | None, now: datetime) -> Wait | None:
    """Why a batch that needs so much must wait, and until when; None where it fits. `need` is None without a price."""
    for budget in budgets:
        if need is None or need > budget.left + _DUST:
            return Wait(f"{BUDGET}: {_why(budget, need)}", next_day(now))
    return None


def granted(budgets: Iterable[Budget], want: float, least: float) -> float | None:
    """How much of `want` may be reserved; None where not even `least` fits."""
    left = min((budget.left for budget in budgets), default=want)
    return None if least > left + _DUST else min(want, left)


def cut_for(model: Model, limit: float | None, rate: float, answer: int | None = None) -> Cut:
    """Where batches are cut so that none needs more than a day's limit by itself; `rate` is tokens for a byte.

    Half of it is for the prompts, half for the answers. `answer`: the tokens of one request's, where it is known
    better, as where several records share it.
    """
    if limit is None:
        return UNCUT
    million = 1_000_000
    for_bytes = estimated_cost(model, 0, million)
    for_answers = estimated_cost(model, million, 0, answers=None if answer is None else million * answer)
    if for_bytes is None or for_answers is None:
        return UNCUT
    return Cut(
        max_bytes=max(int(limit / 2 / for_bytes * million / rate), 1) if for_bytes else None,
        max_requests=max(int(limit / 2 / for_answers * million), 1) if for_answers else None,
    )


def _why(budget: Budget, need: float | None) -> str:
    if need is None:
        return f"what {budget.whose} may cost a day is limited, and no price is known for its model"
    rest = "it waits until the day turns (UTC), or the limit is raised"
    if need > budget.limit + _DUST:
        advice = "raise the limit, or let later batches be smaller with 'batch.max-requests'"
        return f"it needs about ${need:,.4f}, and {budget.whose} may cost ${budget.limit:,.4f} a day; {advice}"
    used = f"${budget.limit - budget.left:,.4f} of the ${budget.limit:,.4f} that {budget.whose} may cost a day"
    return f"{used} are spent or reserved, and it needs about ${need:,.4f}; {rest}"
