"""The stated residual: a create that was accepted, whose response was lost, and that is hidden beyond the quarantine.

It can't be prevented. These schedules show that it is detected, cancelled where that helps, and still published once.
"""

from dataclasses import dataclass, replace

from tests.chaos.case import Case, Rule, Verdict
from tests.chaos.draft import QUARANTINE
from tests.chaos.slot import Slot
from tests.chaos.world import World
from tests.rig.waiting import wait_until

HIDDEN = QUARANTINE * 2.5
DEADLINE = 60.0
_STRAYS = """SELECT whose, cancelled_at IS NOT NULL, input_tokens, output_tokens FROM strays
    WHERE settled_at IS NOT NULL"""
_LEDGER = "SELECT sum(input_tokens), sum(output_tokens) FROM batches"
_EXPECTED = ("I2 accepted twice", "I2 billed twice", "I4 the provider billed")
"""What the residual is: the provider's log and bill hold a second batch."""


@dataclass(frozen=True)
class Residual:
    """A schedule whose first create shows after its quarantine, and what is to be seen of it."""

    case: Case
    is_cancelled: bool
    """Whether it shows in time for its end to be asked for."""
    is_paid: bool
    """Whether its answers are billed."""


def _lost(*more: Rule) -> tuple[Rule, ...]:
    return (
        Rule("create_accepted_response_lost", (("times", 1),)),
        Rule("list_lag", (("times", 1), ("seconds", HIDDEN))),
        *more,
    )


_STILL_RUNNING = (
    Rule("stuck_in_progress", (("times", 1), ("seconds", 60.0))),
    Rule("cancel_partially", (("times", 1), ("done", 0.0))),
)

RESIDUALS: dict[str, Residual] = {
    "openai-finished": Residual(Case("openai", records=3, rules=_lost()), is_cancelled=False, is_paid=True),
    "openai-running": Residual(
        Case("openai", records=3, rules=_lost(*_STILL_RUNNING)), is_cancelled=True, is_paid=False
    ),
    "anthropic-finished": Residual(Case("anthropic", records=3, rules=_lost()), is_cancelled=False, is_paid=True),
}
"""Anthropic's batches carry no name; only its results prove whose one is, so it is not cancelled before."""


@dataclass(frozen=True)
class Stray:
    """A second batch as it was detected."""

    whose: str
    is_cancelled: bool
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Seen:
    """What came of a residual's schedule."""

    verdict: Verdict
    """Without what the residual itself is."""
    strays: tuple[Stray, ...]
    unexplained: tuple[int, int]
    """Tokens (in, out) on the provider's bill that neither our batches nor our strays hold."""


def run_residual(residual: Residual, slot: Slot) -> Seen:
    """Run it until the hidden create has shown, has been followed to its end, and everything is out."""
    world = World(residual.case, slot)
    try:
        world.begin()
        verdict = world.run_until_quiet()
        wait_until(lambda: world.census.ask(_STRAYS), DEADLINE, "the hidden create to be detected")
        strays = tuple(Stray(whose, bool(ended), *tokens) for whose, ended, *tokens in world.census.ask(_STRAYS))
        ((used, told),) = world.census.ask(_LEDGER)
        billed = world.provider.witness().tokens()
    finally:
        world.close()
    rest = tuple(each for each in verdict.violations if not each.startswith(_EXPECTED))
    unexplained = (
        billed[0] - used - sum(stray.input_tokens for stray in strays),
        billed[1] - told - sum(stray.output_tokens for stray in strays),
    )
    return Seen(replace(verdict, violations=rest), strays, unexplained)
