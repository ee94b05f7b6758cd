"""Kinds of faults of our own machine: processes die and freeze, what they stand on goes away. Pure: they draw steps."""

from tests.chaos.case import Kill
from tests.chaos.draft import HIDDEN, HORIZON, HOUR, Draft

KILLS = (
    "file-written",
    "file-linked",
    "folder-moved",
    "plan-begun",
    "plan-requests",
    "plan-written",
    "plan-committed",
    "plan-settled",
    "batch-taken",
    "uploaded",
    "account-taken",
    "intend",
    "intent-written",
    "created",
    "receipt-written",
    "accept",
    "told",
    "events-taken",
    "offsets-committed",
    "shard-assigned",
    "end",
    "downloaded",
    "answers-written",
    "results-sealed",
    "decided",
    "collect",
    "place-kept",
    "shard-fenced",
    "transaction-begun",
    "transaction-filled",
    "transaction-flushed",
    "transaction-committed",
    "publish",
)
"""Failpoints that every batch passes, whatever else happens; waiting for others could be in vain."""


def kill(draft: Draft) -> None:
    lives = ("desk", "desk", "poller", "poller", "poller", "provider")
    away = draft.random.choice((0.0, 0.0, 0.3, 1.0))
    draft.add("kill", life=draft.random.choice(lives), away=away)


def failpoint(draft: Draft) -> None:
    # A full disk would stop the failpoints' own files.
    if "disk" not in draft.spent and len(draft.kills) < 3:
        draft.spent.add("failpoint")
        points = [point for point in KILLS if point != "uploaded" or draft.provider == "openai"]
        draft.kills.append(Kill(draft.random.choice(points), draft.random.randint(1, 2)))


def freeze(draft: Draft) -> None:
    life = draft.random.choice(("desk", "poller", "poller", "provider"))
    at = draft.moment()
    draft.add("freeze", at, life=life)
    draft.add("thaw", at + draft.random.uniform(0.1, 1.2), life=life)


def zombie(draft: Draft) -> None:
    """It sleeps beyond its leases, wakes up beside those who took them over, and wants to go on."""
    if not draft.once("zombie") or not draft.hide(0.4):
        return
    life, at = draft.random.choice(("desk", "poller", "poller")), draft.moment(HORIZON * 0.6)
    draft.add("freeze", at, life=life)
    draft.add("overtake", at + 0.05, life=life)
    draft.add("thaw", at + HIDDEN + draft.random.uniform(0.2, 0.8), life=life)


def second_poller(draft: Draft) -> None:
    if draft.once("second poller"):
        draft.add("second_poller")


def broker(draft: Draft) -> None:
    if draft.once("broker"):
        draft.add("restart_broker", draft.random.uniform(0.8, HORIZON))


def database(draft: Draft) -> None:
    """PostgreSQL is restarted; SQLite is locked for long."""
    if not draft.once("database"):
        return
    if draft.store == "postgresql":
        draft.add("restart_store")
    else:
        at = draft.moment()
        draft.add("lock_store", at)
        draft.add("unlock_store", at + draft.random.uniform(0.2, 1.5))


def older_store(draft: Draft) -> None:
    if draft.store == "sqlite" and draft.once("older store"):
        taken = draft.moment(HORIZON * 0.7)
        draft.add("copy_store", taken)
        draft.add("put_back_store", draft.random.uniform(taken + 0.3, HORIZON + 0.5))


def disk_full(draft: Draft) -> None:
    if "failpoint" in draft.spent:
        return
    draft.spent.add("disk")
    life, at = draft.random.choice(("desk", "poller")), draft.moment()
    draft.add("disk_full", at, life=life)
    draft.add("disk_free", at + draft.random.uniform(0.1, 1.0), life=life)


def jump(draft: Draft) -> None:
    if draft.once("jump"):
        draft.add("jump", seconds=draft.random.choice((600, HOUR, 5 * HOUR, 11 * HOUR)))


def foreign_events(draft: Draft) -> None:
    draft.add("foreign_events", count=draft.random.randint(1, 5))
