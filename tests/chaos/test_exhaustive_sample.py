"""A sample of the exhaustive kills, other ones after each change of them; `make chaos` runs all."""

import re
from collections import Counter
from pathlib import Path

import pytest

from shared.failpoints import MOVED, Failpoint
from tests.chaos.exhaustive import ALL, COMBINATIONS, POINTS, WAYS, Way, drawn, pairs, singles
from tests.chaos.slot import Slot
from tests.chaos.world import run

ROOT = Path(__file__).parents[2]
SAMPLE = {**drawn(singles(), 10, len(POINTS)), **drawn(pairs(), 12, len(POINTS))}


@pytest.mark.parametrize("name", list(SAMPLE))
def test_every_record_comes_out_once_wherever_a_process_is_killed(slot: Slot, name: str) -> None:
    verdict = run(SAMPLE[name], slot)
    assert verdict.violations == (), verdict


def test_every_failpoint_is_passed_somewhere_in_the_product() -> None:
    sources = [path for part in ("shared", "poller", "submitter") for path in (ROOT / part).rglob("*.py")]
    passed = {name for path in sources for name in re.findall(r"\bFailpoint\.([A-Z_]+)", path.read_text())}
    assert passed | {point.name for point in MOVED.values()} == {point.name for point in Failpoint}


def test_all_failpoints_meet_both_providers_and_both_stores() -> None:
    where = {point: Counter[tuple[str, str]]() for point in ALL}
    for case in pairs().values():
        for kill in case.kills:
            where[Failpoint(kill.failpoint)][case.provider, case.store] += 1
    assert set(Failpoint) == where.keys()
    for point, counts in where.items():
        way = WAYS.get(point, Way())
        wanted = {
            (provider, store)
            for provider, store in COMBINATIONS
            if way.only in (None, provider) and way.store in (None, store)
        }
        assert counts.keys() == wanted, point
        assert max(counts.values()) < 4 * min(counts.values()), (point, counts)
