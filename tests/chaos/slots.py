"""Several slots at work at the same time, each a process of its own that makes its slot when it starts."""

import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
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
        self._count, self._keep = count, keep

    def __enter__(self) -> Self:
        if self._keep is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
        self._pool = ProcessPoolExecutor(max(self._count, 1), get_context("spawn"), _open)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, cases: Mapping[str, Case]) -> Iterator[tuple[str, Verdict]]:
        """Each case's name and verdict, as they are ready."""
        futures = {self._pool.submit(_run, case, self._keep): name for name, case in cases.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()


_slot: Slot | None = None


def _open() -> None:
    global _slot  # noqa: PLW0603 the one of this process
    _slot = Slot().__enter__()
    Finalize(None, _slot.__exit__, (None, None, None), exitpriority=10)


def _run(case: Case, keep: Path | None) -> Verdict:
    assert _slot is not None
    try:
        return run(case, _slot, strike, keep=keep)
    except Exception:  # noqa: BLE001 the other cases are to run all the same
        return Verdict(case, (f"the harness: {traceback.format_exc(limit=-3)}",))
