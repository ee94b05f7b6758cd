"""Failpoints: a name for each boundary between two durable effects, where a test may end the process with SIGKILL.

Off, which they are unless a test sets BATCHLINE_FAILPOINTS for the process, a pass does nothing.
"""

import fcntl
import os
import signal
from enum import StrEnum
from pathlib import Path

from shared.lifecycle import Event

VARIABLE = "BATCHLINE_FAILPOINTS"
"""The folder of a test's plan. Nobody but a test sets it."""
PLAN, STRUCK, PASSES = "plan", "struck", "passes"


class Failpoint(StrEnum):
    """Each says what is durable when it is passed, and what is not yet."""

    # Any file that is seen whole or not at all.
    FILE_WRITTEN = "file-written"
    """A file is on disk under a name of nobody's; it is not in its place."""
    FILE_LINKED = "file-linked"
    """A file that is written once is in its place; its other name is not gone."""
    FOLDER_MOVED = "folder-moved"
    """A batch's folder is in its place; its plan's folder is not gone."""

    # A sealed file becomes batches.
    PLAN_BEGUN = "plan-begun"
    """The folder of an attempt at a plan is there, and empty."""
    PLAN_REQUESTS = "plan-requests"
    """A batch's request lines are written; its manifest is not."""
    PLAN_WRITTEN = "plan-written"
    """All requests and manifests are written; the plan is not committed."""
    PLAN_COMMITTED = "plan-committed"
    """The plan is committed; its record is not in its place."""
    PLAN_RECORDED = "plan-recorded"
    """The plan's record is in its place; no batch is."""
    PLAN_SETTLED = "plan-settled"
    """Every batch is in its place; nothing is sent."""

    # A store that was restored from an older copy learns what it has forgotten.
    RECALLED = "recalled"
    """A forgotten batch is back in the store; its plan is not."""
    PLAN_RECALLED = "plan-recalled"
    """A forgotten plan is back in the store, with its positions; nothing was done about its batches."""

    # A batch is sent.
    BATCH_TAKEN = "batch-taken"
    """The batch's lease is taken; nothing is uploaded."""
    ADMITTED = "admitted"
    """The batch has its room in the provider's queue, or has none; nothing is uploaded."""
    UPLOADED = "uploaded"
    """The provider has the input; the account is not taken."""
    ACCOUNT_TAKEN = "account-taken"
    """The account's lease is taken; there is no intent."""
    INTENT_WRITTEN = "intent-written"
    """The spool knows the intent; the create is not sent."""
    CREATED = "created"
    """The provider has accepted; only this process knows."""
    RECEIPT_WRITTEN = "receipt-written"
    """The spool knows the provider's id; the store does not."""
    ACCOUNT_PAUSED = "account-paused"
    """The account rests; the batch does not wait yet."""

    # An unknown create is looked up.
    LOOKED = "looked"
    """A look-up is counted; the next one has no time."""
    LOOK_REFUSED = "look-refused"
    """The account rests, for it refused a look-up; the look-up is not counted."""
    LAST_LOOKED = "last-looked"
    """The quarantine's last look-up is counted; the batch does not wait for a person's word yet."""
    ADOPTION_WRITTEN = "adoption-written"
    """The spool knows the id that a look-up found; the store does not."""
    INPUT_DELETED = "input-deleted"
    """The input file of a create that did not show is deleted; the last look is not taken."""
    ANOTHER_ALLOWED = "another-allowed"
    """An operator allows another create; the look-up that has to come first is not due."""
    TOLD = "told"
    """The operator was told of a batch; it is not on the topic."""

    # A batch is registered and watched.
    EVENTS_TAKEN = "events-taken"
    """What was announced is in the store; its offsets are not committed."""
    OFFSETS_COMMITTED = "offsets-committed"
    """The offsets are committed."""
    SHARD_ASSIGNED = "shard-assigned"
    """The batch has its shard; its cost is not estimated."""
    LIMIT_LEARNED = "limit-learned"
    """The account's limit is learned; the batch that met it is not held."""
    ACCOUNT_RESTED = "account-rested"
    """The account rests, by what became of a batch that it had taken; the batch does not wait yet."""

    # Its results are collected.
    DOWNLOAD_CUT = "download-cut"
    """A part of a result file is on disk, under a name of nobody's."""
    DOWNLOADED = "downloaded"
    """All result files are on disk; nobody has read them."""
    ANSWERS_WRITTEN = "answers-written"
    """The answers are in their place; their index is not."""
    GUESS_PROVED = "guess-proved"
    """The spool knows that what a look-up took for ours is ours; the decision is not made."""
    RESULTS_SEALED = "results-sealed"
    """The answers and their index are written; the children are not."""
    CHILD_WRITTEN = "child-written"
    """A child is written; the decision is not."""
    DECIDED = "decided"
    """The decision stands; the children are not in their places."""
    MEASURED = "measured"
    """What its requests took is counted; its answers are not kept for those who ask the same."""
    ANSWERS_KEPT = "answers-kept"
    """Answers of it are kept for those who ask the same; the batch is not collected."""

    # A deadline nears; a batch is asked record by record.
    END_NOTED = "end-noted"
    """The store knows that a batch's end is asked for; the provider does not."""
    END_ASKED = "end-asked"
    """The provider is asked for a batch's end; its next look is not due."""
    CALLS_DOUBTED = "calls-doubted"
    """Calls that a crash left are known to be in doubt; no other is intended."""
    MONEY_GRANTED = "money-granted"
    """The day's money for some calls is reserved; none of them is intended."""
    WINDOW_INTENDED = "window-intended"
    """The intent of some calls is durable; none of them is made."""
    CALL_ANSWERED = "call-answered"
    """A call is answered, and paid for; its answer is not durable."""
    CALLS_KEPT = "calls-kept"
    """Answers are durable; what follows them is not intended."""
    CALLS_CLOSED = "calls-closed"
    """The spool knows that nothing more is asked; the store does not."""
    CALLS_COUNTED = "calls-counted"
    """The store knows what the calls so far have cost; the batch does not wait yet."""

    # They are published.
    PLACE_KEPT = "place-kept"
    """The spool knows the shard; no transaction has begun."""
    SHARD_FENCED = "shard-fenced"
    """Whoever had the shard before is fenced; its markers are not read."""
    TRANSACTION_BEGUN = "transaction-begun"
    """The marker of before is sent; no output is."""
    TRANSACTION_FILLED = "transaction-filled"
    """The outputs are sent; their marker is not."""
    TRANSACTION_FLUSHED = "transaction-flushed"
    """The broker has outputs and marker; the commit is not sent."""
    TRANSACTION_COMMITTED = "transaction-committed"
    """Outputs and marker are committed; the store does not know."""

    # A create shows that was counted as absent.
    STRAY_NOTED = "stray-noted"
    """The store knows a second create; nobody has looked at it."""
    STRAY_CANCELLED = "stray-cancelled"
    """The provider is asked for the end of a second create; the store does not know."""
    STRAY_CANCEL_KNOWN = "stray-cancel-known"
    """The store knows that the end of a second create is asked for; it has not come."""
    STRAY_SETTLED = "stray-settled"
    """Whose a second create is, and what it cost, is in the store; nobody was told."""

    # The store has moved a batch by an event, and whoever moved it has not gone on.
    HOLD = "hold"
    ASK = "ask"
    DIVERT = "divert"
    INTEND = "intend"
    NOTHING_TO_SEND = "nothing-to-send"
    ACCEPT = "accept"
    REJECT = "reject"
    DOUBT = "doubt"
    ADOPT = "adopt"
    CLEAR = "clear"
    GIVE_UP = "give-up"
    PROGRESS = "progress"
    END = "end"
    BOUNCE = "bounce"
    LOSE = "lose"
    DISOWN = "disown"
    COLLECT = "collect"
    PUBLISH = "publish"
    FAIL = "fail"

    # The data are deleted.
    CLOSING_WRITTEN = "closing-written"
    """What became of a batch stands beside its manifest for good; nothing is deleted."""
    INPUT_REMOVED = "input-removed"
    """A file or a batch at the provider is deleted; others are not."""
    REQUESTS_REMOVED = "requests-removed"
    """A batch's request lines are deleted; its results are not."""
    RESULTS_REMOVED = "results-removed"
    """A batch's results are deleted; the sealed file is not."""
    SEALED_REMOVED = "sealed-removed"
    """The sealed file is deleted."""
    MARKERS_REMOVED = "markers-removed"
    """Progress markers are tombstoned; the store counts them as there."""


MOVED = {event: Failpoint[event.name] for event in Event}
"""The failpoint after each event."""


class _Plan:
    """A test's plan: lines of `name nth`. The first one that is not in `struck` is armed, and counts from then on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        lines = (folder / PLAN).read_text(encoding="ascii").split("\n")
        self._kills = [(name, int(nth)) for name, _, nth in (line.partition(" ") for line in lines if line)]

    def reached(self, point: Failpoint) -> None:
        """Count a pass, in a file that all processes of the run share; end this process when its turn has come."""
        with (self._folder / STRUCK).open("ab") as struck:
            # One at a time: two processes may pass at the same moment, and only one is to die.
            fcntl.flock(struck, fcntl.LOCK_EX)
            done = struck.seek(0, os.SEEK_END) // 2
            with (self._folder / f"{PASSES}.{done}.{point}").open("ab") as passes:
                passes.write(b".")
                count = passes.tell()
            if done < len(self._kills) and self._kills[done] == (point, count):
                struck.write(b"x\n")
                struck.flush()
                os.kill(os.getpid(), signal.SIGKILL)


def _armed() -> _Plan | None:
    folder = os.environ.get(VARIABLE)
    return _Plan(Path(folder)) if folder else None


_plan = _armed()


def arm() -> None:
    """Look at the environment again: a forked process has another one than the module was imported with."""
    global _plan  # noqa: PLW0603 the one switch of the process
    _plan = _armed()


def reached(point: Failpoint) -> None:
    """Pass a failpoint."""
    if _plan is not None:
        _plan.reached(point)
