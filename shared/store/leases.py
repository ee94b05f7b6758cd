"""Leases: who may work on a batch, an account, a shard or a pipeline, and the fence that a zombie's writes run into.

Expiry goes by each machine's own clock. A skewed one can take over early, but the epoch keeps every write safe.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, select, update

from shared.errors import LeaseLost
from shared.store.database import Database, insert_absent
from shared.store.tables import leases
from shared.store.values import Fence, Lease

_NOBODY = ""


class Leases:
    """Take, keep and give up leases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(
        self, name: str, holder: str, ttl: timedelta, *, presumed_dead: Callable[[str], bool] | None = None
    ) -> Lease | None:
        """The lease, when it is free or lapsed, or this holder's already (which prolongs it); else None.

        A holder that is certainly gone, by `presumed_dead`, holds nothing.
        """
        with self._database.write() as connection:
            return take(connection, name, holder, self._database.clock(), ttl, presumed_dead)

    def renew(self, lease: Lease, ttl: timedelta) -> None:
        """Prolong a lease. Raises LeaseLost when it has changed hands."""
        with self._database.write() as connection:
            expires = self._database.clock() + ttl
            if connection.execute(update(leases).where(_held(lease)).values(expires_at=expires)).rowcount != 1:
                raise _lost(lease)

    def release(self, lease: Lease) -> None:
        """Give a lease up; nothing happens when it is another's by now. Its epoch stays, so that no zombie revives."""
        with self._database.write() as connection:
            free = {"holder": _NOBODY, "expires_at": self._database.clock()}
            connection.execute(update(leases).where(_held(lease)).values(**free))

    def bury(self, presumed_dead: Callable[[str], bool]) -> int:
        """Give up the leases of holders that are certainly gone; how many. What they held back is due again."""
        now = self._database.clock()
        with self._database.write() as connection:
            live = select(leases.c.name, leases.c.holder).where(leases.c.expires_at > now, leases.c.holder != _NOBODY)
            dead = [row for row in connection.execute(live) if presumed_dead(row.holder)]
            for name, holder in dead:
                this = (leases.c.name == name) & (leases.c.holder == holder)
                connection.execute(update(leases).where(this).values(holder=_NOBODY, expires_at=now))
            return len(dead)

    def sweep(self, lapsed_before: datetime) -> int:
        """Forget leases that lapsed before a moment long past (days: no process from then may live); how many."""
        with self._database.write() as connection:
            return connection.execute(delete(leases).where(leases.c.expires_at < lapsed_before)).rowcount


def take(
    connection: Connection,
    name: str,
    holder: str,
    now: datetime,
    ttl: timedelta,
    presumed_dead: Callable[[str], bool] | None = None,
) -> Lease | None:
    """`acquire` within a transaction."""
    if insert_absent(connection, leases, {"name": name, "holder": holder, "epoch": 1, "expires_at": now + ttl}):
        return Lease(name, holder, 1)
    row = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).one_or_none()
    if row is None:
        return None
    # What was given up is free, however far ahead the clock of whoever gave it up was.
    live = (
        row.holder != _NOBODY
        and row.expires_at > now
        and not (presumed_dead and row.holder != holder and presumed_dead(row.holder))
    )
    if live and row.holder != holder:
        return None
    epoch = row.epoch if live else row.epoch + 1
    values = {"holder": holder, "epoch": epoch, "expires_at": now + ttl}
    connection.execute(update(leases).where(leases.c.name == name).values(**values))
    return Lease(name, holder, epoch)


def hold(connection: Connection, fence: Fence) -> None:
    """Raise LeaseLost unless every lease of the fence is still held, and let nobody take one over until the commit.

    A lapsed lease that nobody took is still its holder's.
    """
    for lease in (fence,) if isinstance(fence, Lease) else fence or ():
        # FOR SHARE: two writes under one lease don't wait for each other, a takeover waits for both.
        if connection.execute(select(leases.c.name).where(_held(lease)).with_for_update(read=True)).first() is None:
            raise _lost(lease)


def _held(lease: Lease) -> ColumnElement[bool]:
    return (leases.c.name == lease.name) & (leases.c.holder == lease.holder) & (leases.c.epoch == lease.epoch)


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"the lease '{lease.name}' (epoch {lease.epoch}) is no longer held by {lease.holder}")
