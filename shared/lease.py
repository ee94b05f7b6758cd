"""Holding a lease: take it, renew it in the background while the work lasts, give it back; and the holder's name."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from uuid import uuid4

from shared.errors import LeaseLost, StoreUnavailable
from shared.store import Lease, Store

TTL = timedelta(seconds=15)
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@cache
def this_process() -> str:
    """The holder's name of this process: where it is, pid and the moment of its start: a reused pid is another."""
    return f"{_where()}:{os.getpid()}:{_started(os.getpid())}"


def is_dead(holder: str) -> bool:
    """Whether a holder was a process that this one would see, and is certainly gone."""
    where, pid, started = (*holder.partition("/")[0].rsplit(":", 2), "", "")[:3]
    return where == _where() and pid.isdigit() and _started(int(pid)) != started


@cache
def _where() -> str:
    """The host, its boot, and the pid namespace: who shares them all sees each other's processes.

    Machines may share a name, and a machine's own namespace has the same number everywhere: only the boot is its own.
    """
    try:
        boot = _BOOT.read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        boot, namespace = "", uuid4().hex
    return f"{socket.gethostname()}.{boot}.{namespace}"


def _started(pid: int) -> str:
    """The process's start, in the kernel's ticks since boot; "" when there is no such process, or it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The second field, in parentheses, may itself hold blanks. The third is the state, the 22nd the start. proc(5).
    state, *more = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else more[18]


class Keeper:
    """Takes leases for one holder and keeps them alive; a hold excludes every other, of this process's threads too.

    `stop`, once set, ends every wait for one.
    """

    def __init__(self, store: Store, holder: str, stop: threading.Event | None = None) -> None:
        self._store, self._holder, self._stop = store, holder, stop or threading.Event()

    @contextmanager
    def hold(self, name: str, ttl: timedelta = TTL, *, wait: timedelta = timedelta()) -> Iterator[Lease | None]:
        """The lease, renewed until the block ends; None when another has it for longer than `wait`."""
        lease = self._acquire(name, ttl, wait)
        if lease is None:
            yield None
            return
        done = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(lease, ttl, done), name=f"renew {name}", daemon=True)
        renewal.start()
        try:
            yield lease
        finally:
            done.set()
            renewal.join()
            with suppress(LeaseLost, StoreUnavailable):
                self._store.leases.release(lease)

    def _acquire(self, name: str, ttl: timedelta, wait: timedelta) -> Lease | None:
        end = time.monotonic() + wait.total_seconds()
        while True:
            lease = self._store.leases.acquire(name, f"{self._holder}/{uuid4().hex[:8]}", ttl, presumed_dead=is_dead)
            if lease is not None or time.monotonic() >= end or self._stop.wait(0.05):
                return lease

    def _renew(self, lease: Lease, ttl: timedelta, done: threading.Event) -> None:
        while not done.wait(ttl.total_seconds() / 3):
            try:
                self._store.leases.renew(lease, ttl)
            except StoreUnavailable:
                continue
            except LeaseLost:
                return
