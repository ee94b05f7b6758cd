"""Several slots at work at the same time, each a process of its own that makes its slot when it starts.

However this process ends, SIGKILL included, its slots end with it, and leave nothing behind.
"""

import os
import threading
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Self

from tests.chaos.case import Case, Verdict
from tests.chaos.faults import strike
from tests.chaos.slot import Slot
from tests.chaos.world import run


class Slots:
    """A pool of them."""

    def __init__(self, count: int, keep: Path | None = None) -> None:
        """`keep` is a folder for the files of failed runs."""
        self._count, self._keep = max(count, 1), keep

    def __enter__(self) -> Self:
        if self._keep is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
        self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _open)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, cases: Iterable[tuple[str, Case]]) -> Iterator[tuple[str, Verdict]]:
        """Each case's name and verdict, as they are ready. No more are under way than keep every slot at work."""
        left, under_way = iter(cases), dict[Future[Verdict], str]()
        while True:
            for name, case in islice(left, 2 * self._count - len(under_way)):
                under_way[self._pool.submit(_run, case, self._keep)] = name
            if not under_way:
                return
            for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield under_way.pop(done), done.result()


_slot: Slot | None = None


def _open() -> None:
    global _slot  # noqa: PLW0603 the one of this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _slot = Slot().__enter__()
    Finalize(None, _slot.__exit__, (None, None, None), exitpriority=10)


def _end_with_parent() -> None:
    """The pool's processes would wait for work for ever. What stands beside this one ends by itself when it is gone."""
    parent = parent_process()
    assert parent
    parent.join()
    os._exit(1)


def _run(case: Case, keep: Path | None) -> Verdict:
    assert _slot is not None
    try:
        return run(case, _slot, strike, keep=keep)
    except Exception:  # noqa: BLE001 the other cases are to run all the same
        return Verdict(case, (f"the harness: {traceback.format_exc(limit=-3)}",))
