"""A campaign that is killed leaves nothing behind: no slot, no broker, no database, no life, no folder."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.chaos.exhaustive import singles
from tests.chaos.slot import ROOT
from tests.rig.processes import line_of, lives
from tests.rig.waiting import wait_until

WANTED = {"java", "postgres"}


def test_whatever_a_killed_campaign_has_started_ends_with_it() -> None:
    names = [name for name, case in singles().items() if case.store == "postgresql"]
    only = [option for name in names for option in ("--only", name)]
    campaign = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", "--slots", "1", *only],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        started = wait_until(lambda: _at_work(campaign.pid), 120, "a run to be under way", interval=0.5)
        folders = {_folder(process) for process in started} - {None}
        assert len(folders) > len(WANTED)
    finally:
        campaign.kill()
        campaign.wait()
    wait_until(lambda: not any(map(lives, started)), 30, lambda: f"{list(filter(lives, started))} to end")

    def left() -> list[Path]:
        return [folder for folder in folders if folder and folder.exists()]

    wait_until(lambda: not left(), 120, lambda: f"{left()} to be removed")


def _at_work(campaign: int) -> list[psutil.Process]:
    """All processes below a campaign, once everything that a run needs is there, and lives are at work."""
    found = psutil.Process(campaign).children(recursive=True)
    zygotes = [process for process in found if "tests.chaos.zygote" in line_of(process)]
    try:
        lives = [life for zygote in zygotes for life in zygote.children()]
        return found if lives and {process.name() for process in found} >= WANTED else []
    except psutil.NoSuchProcess:
        # A life that has ended meanwhile: the next look finds others.
        return []


def _folder(process: psutil.Process) -> Path | None:
    """The slot's, the broker's or the database's; None of any other process."""
    line = line_of(process)
    if "tests.chaos.zygote" in line:
        return Path(line[-1])
    try:
        return Path(process.cwd()) if process.name() in WANTED else None
    except psutil.NoSuchProcess:
        return None
