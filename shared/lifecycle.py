"""The life of a batch: states, events and the one table of transitions. Everything else asks this file."""

from dataclasses import dataclass
from enum import StrEnum

from shared.errors import IllegalTransition


class State(StrEnum):
    """Where a batch stands; `MEANING` says who puts it there, who takes it out, and what a crash leaves."""

    SEALED = "sealed"
    HELD = "held"
    SUBMITTING = "submitting"
    AMBIGUOUS = "ambiguous"
    SUBMITTED = "submitted"
    RUNNING = "running"
    ENDED = "ended"
    COLLECTED = "collected"
    PUBLISHED = "published"
    FAILED = "failed"
    LOST = "lost"


class Event(StrEnum):
    """What can happen to a batch."""

    HOLD = "hold"
    ASK = "ask"
    """Record by record, at the synchronous endpoint."""
    DIVERT = "divert"
    """Its deadline nears and nothing of it was sent: all of it is carried to a child that is asked."""
    INTEND = "intend"
    NOTHING_TO_SEND = "nothing to send"
    ACCEPT = "accept"
    REJECT = "reject"
    DOUBT = "doubt"
    ADOPT = "adopt"
    CLEAR = "clear"
    GIVE_UP = "give up"
    """An operator decides that nothing more is tried; its records come out as errors."""
    PROGRESS = "progress"
    END = "end"
    BOUNCE = "bounce"
    LOSE = "lose"
    DISOWN = "disown"
    COLLECT = "collect"
    PUBLISH = "publish"
    FAIL = "fail"


@dataclass(frozen=True)
class Meaning:
    """Who puts a batch into a state, who takes it out, and what happens after a crash."""

    says: str
    enters: str
    leaves: str
    crash: str


MEANING: dict[State, Meaning] = {
    State.SEALED: Meaning(
        "planned, nothing sent",
        "the planner, or a parent's collection",
        "submission, or the asker; the harvester when its deadline nears",
        "any worker submits it",
    ),
    State.HELD: Meaning(
        "admission says not yet, with reason and time",
        "submission, a quarantine that is over; the watcher, the collector and the asker for the account's sake",
        "submission or the asker, when due; the harvester when its deadline nears",
        "stays",
    ),
    State.SUBMITTING: Meaning(
        "intent committed, a create may be in flight",
        "submission",
        "submission",
        "becomes ambiguous when its lease is taken over",
    ),
    State.AMBIGUOUS: Meaning(
        "the outcome of its create is unknown, being looked up",
        "submission, or whoever finds that an adopted batch is another's, or gone",
        "the look-up: adopted; cleared by the quarantine, or lost, where what it had adopted may have been ours",
        "the look-up goes on",
    ),
    State.SUBMITTED: Meaning("provider id known", "submission or a look-up", "the watcher", "watched again"),
    State.RUNNING: Meaning(
        "the provider works on it, or it is asked record by record",
        "the watcher, or the asker",
        "the watcher, or the asker",
        "watched again; or what has no answer yet is asked again",
    ),
    State.ENDED: Meaning(
        "the provider says terminal, or nothing more is asked of it here",
        "the watcher, the asker, the harvester, or a create that was refused",
        "the collector",
        "collected again",
    ),
    State.COLLECTED: Meaning(
        "results on disk and verified",
        "the collector, or submission where there is nothing to send",
        "the publisher",
        "goes on from the progress marker",
    ),
    State.PUBLISHED: Meaning("every record is out, or carried to a child batch", "the publisher", "nobody", "stays"),
    State.FAILED: Meaning("terminal, its records out as errors", "the publisher", "nobody", "stays"),
    State.LOST: Meaning(
        "the provider no longer knows it, or shows no result by which it could be known",
        "the watcher, or a look-up",
        "the collector, which carries its requests",
        "carried again",
    ),
}

TRANSITIONS: dict[State, dict[Event, State]] = {
    State.SEALED: {
        Event.INTEND: State.SUBMITTING,
        Event.ASK: State.RUNNING,
        Event.HOLD: State.HELD,
        Event.DIVERT: State.ENDED,
        Event.NOTHING_TO_SEND: State.COLLECTED,
    },
    State.HELD: {
        Event.INTEND: State.SUBMITTING,
        Event.ASK: State.RUNNING,
        Event.HOLD: State.HELD,
        Event.DIVERT: State.ENDED,
        Event.ADOPT: State.SUBMITTED,
        Event.CLEAR: State.HELD,
        Event.LOSE: State.LOST,
        Event.GIVE_UP: State.ENDED,
    },
    State.SUBMITTING: {
        Event.ACCEPT: State.SUBMITTED,
        Event.REJECT: State.ENDED,
        Event.HOLD: State.HELD,
        Event.DOUBT: State.AMBIGUOUS,
    },
    State.AMBIGUOUS: {
        Event.ADOPT: State.SUBMITTED,
        Event.CLEAR: State.HELD,
        Event.LOSE: State.LOST,
        Event.HOLD: State.HELD,
        Event.DOUBT: State.AMBIGUOUS,
    },
    State.SUBMITTED: {
        Event.PROGRESS: State.RUNNING,
        Event.END: State.ENDED,
        Event.BOUNCE: State.HELD,
        Event.LOSE: State.LOST,
        Event.DISOWN: State.AMBIGUOUS,
    },
    State.RUNNING: {
        Event.PROGRESS: State.RUNNING,
        Event.END: State.ENDED,
        Event.BOUNCE: State.HELD,
        Event.LOSE: State.LOST,
        Event.DISOWN: State.AMBIGUOUS,
    },
    State.ENDED: {
        Event.COLLECT: State.COLLECTED,
        Event.BOUNCE: State.HELD,
        Event.LOSE: State.LOST,
        Event.DISOWN: State.AMBIGUOUS,
    },
    State.LOST: {Event.COLLECT: State.COLLECTED},
    State.COLLECTED: {Event.PUBLISH: State.PUBLISHED, Event.FAIL: State.FAILED},
    State.PUBLISHED: {},
    State.FAILED: {},
}

SUBMITTABLE = (State.SEALED, State.HELD, State.SUBMITTING, State.AMBIGUOUS)
WATCHED = (State.SUBMITTED, State.RUNNING)
COLLECTABLE = (State.ENDED, State.LOST)
TERMINAL = tuple(state for state, exits in TRANSITIONS.items() if not exits)


def after(state: State, event: Event) -> State:
    """The state that `event` leads to.

    Raises IllegalTransition, which names both, when the table has no such entry.
    """
    following = TRANSITIONS[state].get(event)
    if following is None:
        allowed = ", ".join(TRANSITIONS[state]) or "nothing: it is terminal"
        raise IllegalTransition(f"a batch in state '{state}' can't take '{event}'; it allows {allowed}")
    return following


def mermaid() -> str:
    """The table as a Mermaid state diagram, for the README."""
    arrows = [
        f"    {state} --> {following}: {event}"
        for state, exits in TRANSITIONS.items()
        for event, following in exits.items()
        if following is not state
    ]
    ends = [f"    {state} --> [*]" for state in TERMINAL]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.SEALED}", *arrows, *ends])
