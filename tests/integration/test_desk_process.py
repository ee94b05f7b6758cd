"""The desk's process: begun again when it dies, gone when the operator is, however that ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from shared.store import Store
from submitter.desk_process import DeskProcess
from submitter.errand import Errand
from tests.rig.waiting import wait_until


def errand(folder: Path) -> Errand:
    url = f"sqlite:///{folder / 'state.db'}"
    with Store.open(url) as store:
        store.lineage.claim_name("pipe", "file")
        epoch = store.lineage.begin("pipe", definition="0" * 16, spool=f"file://{folder}")
    return Errand(
        pipeline="pipe", epoch=epoch, statements=("s",), spool=f"file://{folder}", state_store=url, quarantine=1
    )


def desks(parent: int) -> list[psutil.Process]:
    running = (child for child in psutil.Process(parent).children() if child.status() != psutil.STATUS_ZOMBIE)
    return [child for child in running if "submitter.desk_main" in child.cmdline()]


def test_a_desk_that_dies_is_begun_again_and_a_closed_one_is_gone(tmp_path: Path) -> None:
    desk = DeskProcess(errand(tmp_path))
    wait_until(lambda: desk.announcements("s") == {}, 30, "the desk's first word")
    (first,) = desks(os.getpid())
    first.kill()

    def another() -> psutil.Process | None:
        return next((child for child in desks(os.getpid()) if child.pid != first.pid), None)

    second = wait_until(another, 30, "another desk")
    desk.close()
    assert not second.is_running()


def test_a_desk_ends_with_an_operator_that_is_killed(tmp_path: Path) -> None:
    operator = subprocess.Popen([sys.executable, "-c", OPERATOR, errand(tmp_path).model_dump_json()])
    (desk,) = wait_until(lambda: desks(operator.pid) or None, 30, "the desk")
    os.kill(operator.pid, signal.SIGKILL)
    operator.wait()
    wait_until(lambda: not desk.is_running() or desk.status() == psutil.STATUS_ZOMBIE, 30, "the desk's end")


OPERATOR = """
import sys, threading
from submitter.desk_process import DeskProcess
from submitter.errand import Errand
desk = DeskProcess(Errand.model_validate_json(sys.argv[1]))
threading.Event().wait(60)
"""
