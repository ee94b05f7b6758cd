"""Every failpoint, on its first and on a later pass, and ordered pairs: one, then another during the recovery.

What leads to a failpoint is part of its case. A kill that did not strike is a violation. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import permutations, product
from random import Random

from poller.upkeep.auditor import SINCE
from shared.failpoints import Failpoint
from tests.chaos.case import Case, Kill, ProviderName, Rule, StoreKind
from tests.chaos.draft import QUARANTINE
from tests.chaos.steps import Excuse

BASE = Case(records=6, files=2)
COMBINATIONS: tuple[tuple[ProviderName, StoreKind], ...] = (
    ("openai", "sqlite"),
    ("anthropic", "postgresql"),
    ("openai", "postgresql"),
    ("anthropic", "sqlite"),
)
_CREATE = ("endpoint", "*.batches.create")
_LOST_RESPONSE, _GONE = "create_accepted_response_lost", "retrieve_404_after_create"
_LAG, _PARTLY = "list_lag", "cancel_partially"
_MANY = 99
OURS = "key-of-*"
"""The API keys of the runs; a stranger has another."""


@dataclass(frozen=True)
class Way:
    """What a case needs so that a failpoint is reached in each wave of files."""

    rules: tuple[Rule, ...] = ()
    only: ProviderName | None = None
    store: StoreKind | None = None
    records: int | None = None
    options: tuple[tuple[str, object], ...] = ()
    empty: int = 0
    is_shared: bool = False
    """A stranger in the same workspace has a batch of the same size."""
    operator: bool = False
    is_hidden: bool = False
    forgets: bool = False
    forgetful: bool = False
    retention: float | None = None
    limit: float | None = None
    delay: float = 0.0
    """Seconds that may pass until a batch is at work: before that, no deadline may near."""
    excuses: tuple[Excuse, ...] = ()


def _rule(fault: str, *options: tuple[str, object], times: int = 2) -> Rule:
    return Rule(fault, (("times", times), *options))


# However many of these meet the same record, it is carried on.
_CARRIED = Way((_rule("line_errored", ("status", 500)),), options=(("max_retries", _MANY),))
# Of the two batches of a wave one is as it should be: what only such a one passes may be the other half of a pair.
_LOST = Way((_rule(_LOST_RESPONSE, times=1),))
_NOT_DONE = _rule("http_5xx", ("status", 500), _CREATE, ("account", OURS))
_CLEARED = Way((_NOT_DONE,))
_REFUSED = Way((_rule("http_5xx", ("status", 400), _CREATE, times=1),), excuses=(Excuse("rejected", _MANY),))
_BOUNCED = Way((_rule("token_limit_exceeded"),), only="openai", delay=5.0)
# Long enough to be seen at work, by a poller that was killed before.
_AT_WORK = _rule("stuck_in_progress", ("seconds", 1.0))
_SWEPT = Way(retention=0.0)
_SHOWS_LATE = (_rule(_LOST_RESPONSE), _rule(_LAG, ("seconds", 2.5 * QUARANTINE)))
_DEADLINE = (("deadline", 2.0), ("fallback", "sync"))
# Not for good: what was adopted by its size alone is never cancelled, and its end has to come by itself.
_STUCK = _rule("stuck_in_progress", ("seconds", 30.0))
_CUT_SHORT = Way((_STUCK, _rule(_PARTLY)), options=_DEADLINE)
_UNBILLED = _rule(_PARTLY, ("done", 0.0))
_THROTTLED = _rule("http_429_retry_after", ("retry_after", 60), _CREATE, times=1)
# For less long than what an operator gives up.
_NEVER_SENT = Way((_rule("http_429_retry_after", ("retry_after", 9), _CREATE, times=1),), options=_DEADLINE)
_LOOK_REFUSED = _rule("spend_cap_429", ("endpoint", "*.batches.list"), ("account", OURS), times=8)
_RECALLED = Way(store="sqlite", forgetful=True)
_ASKED_LATELY = (("deduplicate", True), ("deduplicate_ttl", 3600.0))
_DECIDED = Way((_NOT_DONE,), options=(("on_ambiguous", "hold"),), operator=True)
_STRAY_ENDS = Way(
    (*_SHOWS_LATE, _rule("stuck_in_progress", ("seconds", 60.0)), _UNBILLED),
    only="openai",
    is_hidden=True,
)
_CALLS_THROTTLED = tuple(
    _rule("http_429_retry_after", ("retry_after", 60), ("endpoint", name))
    for name in ("openai.chat.completions", "anthropic.messages")
)

WAYS: dict[Failpoint, Way] = {
    Failpoint.HOLD: Way((_rule("http_429_retry_after", ("retry_after", 0), _CREATE),)),
    Failpoint.ACCOUNT_PAUSED: Way((_rule("spend_cap_429", _CREATE),)),
    Failpoint.DOUBT: _LOST,
    Failpoint.LOOKED: _CLEARED,
    # More often than an audit can take for itself, which lists as soon as an earlier wave has left it a doubt.
    Failpoint.LOOK_REFUSED: Way((_NOT_DONE, _LOOK_REFUSED)),
    Failpoint.LAST_LOOKED: _DECIDED,
    Failpoint.ADOPTION_WRITTEN: replace(_LOST, only="openai"),
    Failpoint.GUESS_PROVED: replace(_LOST, only="anthropic"),
    Failpoint.ADOPT: _LOST,
    Failpoint.CLEAR: _CLEARED,
    Failpoint.INPUT_DELETED: replace(_CLEARED, only="openai"),
    Failpoint.REJECT: _REFUSED,
    # A batch of one request that is refused has nothing else to carry.
    Failpoint.FAIL: replace(_REFUSED, records=BASE.files),
    Failpoint.NOTHING_TO_SEND: Way(empty=2),
    Failpoint.PROGRESS: Way((_AT_WORK,)),
    Failpoint.BOUNCE: _BOUNCED,
    Failpoint.LIMIT_LEARNED: _BOUNCED,
    Failpoint.ACCOUNT_RESTED: Way((_rule("credit_exhausted_mid_batch"),)),
    Failpoint.LOSE: Way((_rule("stuck_in_progress"), _rule(_GONE, ("seconds", 10**6)))),
    Failpoint.DISOWN: Way((_NOT_DONE,), only="anthropic", is_shared=True),
    Failpoint.CHILD_WRITTEN: _CARRIED,
    Failpoint.ANSWERS_KEPT: Way(options=_ASKED_LATELY),
    Failpoint.END_NOTED: _CUT_SHORT,
    Failpoint.ASK: _CUT_SHORT,
    Failpoint.CALLS_DOUBTED: _CUT_SHORT,
    Failpoint.MONEY_GRANTED: replace(_CUT_SHORT, limit=1000.0),
    Failpoint.WINDOW_INTENDED: _CUT_SHORT,
    Failpoint.CALL_ANSWERED: _CUT_SHORT,
    Failpoint.CALLS_KEPT: _CUT_SHORT,
    Failpoint.CALLS_CLOSED: _CUT_SHORT,
    Failpoint.CALLS_COUNTED: replace(_CUT_SHORT, rules=(*_CUT_SHORT.rules, *_CALLS_THROTTLED)),
    Failpoint.END_ASKED: _CUT_SHORT,
    Failpoint.DIVERT: _NEVER_SENT,
    Failpoint.CLOSING_WRITTEN: _SWEPT,
    Failpoint.INPUT_REMOVED: _SWEPT,
    Failpoint.REQUESTS_REMOVED: _SWEPT,
    Failpoint.RESULTS_REMOVED: _SWEPT,
    Failpoint.SEALED_REMOVED: _SWEPT,
    Failpoint.MARKERS_REMOVED: Way(retention=0.0, forgets=True),
    Failpoint.GIVE_UP: Way((_THROTTLED,), operator=True, excuses=(Excuse("given-up", _MANY),)),
    Failpoint.ANOTHER_ALLOWED: _DECIDED,
    Failpoint.RECALLED: _RECALLED,
    Failpoint.PLAN_RECALLED: _RECALLED,
    Failpoint.STRAY_NOTED: Way(_SHOWS_LATE, is_hidden=True),
    Failpoint.STRAY_SETTLED: Way(_SHOWS_LATE, is_hidden=True),
    Failpoint.STRAY_CANCELLED: _STRAY_ENDS,
    Failpoint.STRAY_CANCEL_KNOWN: _STRAY_ENDS,
}
"""Of those that not every batch passes."""
_LATE = {"token_limit_exceeded": 1, "credit_exhausted_mid_batch": 2, "line_errored": 2}
"""Faults at a batch's validation, and at its lines."""
CALLS = tuple(point for point, way in WAYS.items() if way.options == _DEADLINE)
STRAYS = tuple(point for point, way in WAYS.items() if way.is_hidden)
OLDER = tuple(point for point, way in WAYS.items() if way.forgetful)
"""Of single calls, of creates that show late, and of a store that forgot."""
POINTS = tuple(point for point in Failpoint if point not in (*CALLS, *STRAYS, *OLDER))
ALL = (*POINTS, *CALLS, *STRAYS, *OLDER)
BESIDE = tuple(point for point in POINTS if point not in WAYS or point is Failpoint.DOUBT)
"""What every batch passes, and the doubt that a lost response leaves."""
OTHERS = tuple(point for point in POINTS if point not in BESIDE)
RARE = (CALLS, STRAYS, OLDER)


def singles() -> dict[str, Case]:
    """Each failpoint on its first and on a second pass, by the name that repeats the case."""
    cases = enumerate(product(ALL, (1, 2)))
    return {f"{point}:{nth}": _case(number // 2 + nth, Kill(point, nth)) for number, (point, nth) in cases}


def pairs() -> dict[str, Case]:
    """Each failpoint, and then each on the first pass after that kill: all that one provider can lead to."""
    # In these parts provider and store take turns.
    roads = [(POINTS, POINTS), (CALLS, CALLS), (STRAYS, STRAYS), (OLDER, OLDER)]
    roads += [way for rare in RARE for points in (BESIDE, OTHERS) for way in ((rare, points), (points, rare))]
    roads += permutations(RARE, 2)
    return {
        f"{first},{second}": _case(one + two, Kill(first), Kill(second))
        for firsts, seconds in roads
        for (one, first), (two, second) in product(enumerate(firsts), enumerate(seconds))
        if {WAYS.get(first, Way()).only, WAYS.get(second, Way()).only} != {"openai", "anthropic"}
    }


def drawn(cases: dict[str, Case], count: int, seed: int) -> dict[str, Case]:
    """So many of them, drawn by a seed; all of them for 0."""
    names = Random(seed).sample(sorted(cases), min(count, len(cases))) if count else list(cases)
    return {name: cases[name] for name in names}


def _case(number: int, *kills: Kill) -> Case:
    """The combinations of provider and store take turns, as far as the failpoints leave a choice."""
    ways = [WAYS.get(Failpoint(kill.failpoint), Way()) for kill in kills]
    needed = next((way.only for way in ways if way.only), None)
    stored = next((way.store for way in ways if way.store), None)
    provider, store = COMBINATIONS[number % len(COMBINATIONS)]
    records = min(way.records or BASE.records for way in ways)
    options = _later(dict(option for way in ways for option in way.options), max(way.delay for way in ways))
    is_looked_for_again = any(way.is_hidden for way in ways) and any(way.forgetful for way in ways)
    rules = _one_after_another(dict.fromkeys(rule for way in ways for rule in way.rules))
    return replace(
        BASE,
        provider=needed or provider,
        store=stored or store,
        seed=number,
        kills=kills,
        records=records,
        rules=_unbilled(rules) if "deadline" in dict(options) else rules,
        options=options,
        empty=max(way.empty for way in ways),
        strangers=records // BASE.files if any(way.is_shared for way in ways) else 0,
        operator=any(way.operator for way in ways),
        is_hidden=any(way.is_hidden for way in ways),
        forgets=any(way.forgets for way in ways),
        forgetful=any(way.forgetful for way in ways),
        limit=max((way.limit for way in ways if way.limit is not None), default=None),
        # What is closed has no creates any more, and by default that is long after they were looked for.
        retention=2 * SINCE.total_seconds()
        if is_looked_for_again
        else min([BASE.retention, *(way.retention for way in ways if way.retention is not None)]),
        excuses=tuple(dict.fromkeys(excuse for way in ways for excuse in way.excuses)),
    )


def _later(options: dict[str, object], delay: float) -> tuple[tuple[str, object], ...]:
    """A deadline nears halfway from the seal at the earliest."""
    deadline = options.get("deadline")
    return tuple((options | {"deadline": deadline + 2 * delay} if isinstance(deadline, float) else options).items())


def _one_after_another(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules in the order of a batch's life, the later as much more often: what one ends never gets to the next.

    What holds a batch for good goes before what holds it for a while; a lost create is one that the provider keeps, and
    what shows late is neither seen at work nor sent back.
    """
    ranked = sorted(rules, key=lambda rule: (_LATE.get(rule.fault, 0), "seconds" in dict(rule.options)))
    gone, hidden = (sum(dict(each.options)["times"] for each in ranked if each.fault == name) for name in (_GONE, _LAG))
    is_bounced = any(rule in _BOUNCED.rules for rule in ranked)
    found: list[Rule] = []
    for place, rule in enumerate(ranked, 1):
        seen = _with(rule, after=hidden) if hidden and rule in (*_BOUNCED.rules, _AT_WORK) else rule
        if rule.fault in _LATE:
            found.append(_with(seen, times=dict(rule.options)["times"] * place))
        elif gone and rule.fault in (_LOST_RESPONSE, _LAG):
            found.append(_with(rule, after=gone))
        elif rule in _SHOWS_LATE and _STUCK in ranked:
            # Nothing but a batch that is known is ended at its deadline.
            found.append(_with(rule, times=1, after=1))
        elif rule == _NOT_DONE and {_LOOK_REFUSED, _STUCK} <= set(ranked):
            # An account rests for longer than until a deadline: the batch before is at work by then.
            found.append(_with(rule, times=1, after=1))
        elif is_bounced and rule in _CUT_SHORT.rules:
            # Also what comes after those that are sent back.
            found.append(_with(rule, times=_MANY))
        else:
            found.append(seen)
    return tuple(found)


def _unbilled(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """At a deadline all is cancelled. What is denied for good is not billed then, or it would have to be paid twice."""
    if not any(rule.fault == _GONE for rule in rules):
        return rules
    return (*(rule for rule in rules if rule.fault != _PARTLY), _UNBILLED)


def _with(rule: Rule, **options: float) -> Rule:
    return replace(rule, options=tuple({**dict(rule.options), **options}.items()))
