"""The desk on a real store: what can't be submitted does not stand in the way of what can."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.clock import system_clock
from shared.errors import SpoolError
from shared.spool import SealedFile, Spool
from shared.store import Store
from submitter.desk.desk import Desk
from submitter.desk.errand import Errand
from tests.rig.stores import NOON, planned, put
from tests.rig.waiting import wait_until

DAMAGED = ["a-0", "b-0", "c-0", "d-0", "e-0"]
GOOD = ["f-0", "g-0"]


class Submitters:
    """Hands that find some request files damaged."""

    def __init__(self) -> None:
        self.submitted: list[str] = []

    def plan(self, pipeline: str, statement: str, file: SealedFile) -> list[str]:  # noqa: ARG002 - nothing is sealed
        return []

    def submit(self, key: str) -> None:
        if key in DAMAGED:
            raise SpoolError(f"the request file of {key} is damaged")
        self.submitted.append(key)


@pytest.fixture
def errand(tmp_path: Path) -> Iterator[Errand]:
    """Of a run that has batches to submit, the oldest of them damaged."""
    address = f"sqlite:///{tmp_path / 'state.db'}"
    with Store.open(address) as store:
        store.lineage.claim_name("pipe", "/somewhere/file.sql")
        epoch = store.lineage.begin("pipe", definition="0" * 16, spool="file:///spool")
        for age, key in enumerate([*DAMAGED, *GOOD]):
            put(store, planned(key, sealed_at=NOON + timedelta(seconds=age)))
        yield Errand(
            pipeline="pipe",
            epoch=epoch,
            statements=("sentiments",),
            spool=f"file://{tmp_path / 'spool'}",
            state_store=address,
            quarantine=1.0,
            threads=1,
        )


def test_a_desk_that_a_newer_run_has_overtaken_begins_nothing_more(
    errand: Errand, caplog: pytest.LogCaptureFixture
) -> None:
    """A twin that was started by mistake, where neither knows of the other: the older one stops by itself."""
    older, newer = Submitters(), Submitters()
    with Store.open(errand.state_store) as store:
        first = Desk(errand, lambda *_: older, system_clock)
        try:
            wait_until(lambda: set(older.submitted) == set(GOOD), 20, lambda: f"only {older.submitted} was submitted")
            epoch = store.lineage.begin("pipe", definition="0" * 16, spool="file:///spool")
            wait_until(lambda: "no longer the newest" in caplog.text, 20, "the older desk to stop")
            put(store, planned("h-0", sealed_at=NOON - timedelta(days=1)))
            second = Desk(errand.model_copy(update={"epoch": epoch}), lambda *_: newer, system_clock)
            try:
                wait_until(lambda: "h-0" in newer.submitted, 20, lambda: f"only {newer.submitted} was submitted")
            finally:
                second.close()
        finally:
            first.close()
    assert "h-0" not in older.submitted


def test_damaged_batches_do_not_keep_the_others_waiting(errand: Errand) -> None:
    hands = Submitters()

    def hire(_errand: Errand, _store: Store, _spool: Spool) -> Submitters:
        return hands

    desk = Desk(errand, hire, system_clock)
    try:
        wait_until(lambda: set(hands.submitted) == set(GOOD), 20, lambda: f"only {hands.submitted} was submitted")
    finally:
        desk.close()
