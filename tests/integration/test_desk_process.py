"""The desk's process: begun again when it dies, gone when the operator is, however that ended."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.sandbox.broker import LocalBroker
from shared.definition import BatchOptions
from shared.spool import Spool
from shared.store import Store
from shared.telemetry import REDACTED
from submitter.desk.errand import Errand, Opening, Watched
from submitter.desk.process import DeskProcess, RunOver
from tests.rig import samples
from tests.rig.fixtures import MakeTopic
from tests.rig.processes import line_of, lives
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
    running = (child for child in psutil.Process(parent).children() if lives(child))
    return [child for child in running if "submitter.desk.main" in line_of(child)]


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


def test_what_the_desk_logs_is_logged_here_by_its_action_and_fields_and_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = "key-of-openai-0451"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    told = errand(tmp_path).model_copy(update={"statements": ("sentiments",)})
    stated = samples.definition(batch=BatchOptions(size=3, context_window=10))
    rows = [samples.sealed_line(number, "a review", [0, 0, number]) for number in range(3)]
    file = samples.seal(Spool(told.spool).files, stated, rows, f"part-{key}-0")
    with Store.open(told.state_store) as store:
        store.lineage.put_definition(stated)
    with caplog.at_level(logging.INFO):
        desk = DeskProcess(told)
        wait_until(lambda: "batch.planned batch=" in caplog.text, 30, lambda: f"the plan: {caplog.text}")
        wait_until(lambda: desk.announcements("sentiments") == {}, 30, "a word that is no log's")
        desk.close()
    (lowered,) = [record for record in caplog.records if "packs.lowered" in record.getMessage()]
    assert lowered.levelno == logging.WARNING
    address = file.address.replace(key, REDACTED)
    assert f" warning packs.lowered file={address} requests=3 size=3 " in lowered.getMessage()
    assert key not in caplog.text


def test_what_a_site_s_own_hook_prints_is_no_word_of_the_desk_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text("print('tracing is on')\n")
    monkeypatch.syspath_prepend(hooks)
    desk = DeskProcess(errand(tmp_path))
    wait_until(lambda: desk.announcements("s") == {}, 30, "the desk's first word")
    desk.close()


def test_a_desk_ends_with_an_operator_that_is_killed(tmp_path: Path) -> None:
    operator = subprocess.Popen([sys.executable, "-c", OPERATOR, errand(tmp_path).model_dump_json()])
    (desk,) = wait_until(lambda: desks(operator.pid) or None, 30, "the desk")
    os.kill(operator.pid, signal.SIGKILL)
    operator.wait()
    wait_until(lambda: not lives(desk), 30, "the desk's end")


OPERATOR = """
import sys, threading
from submitter.desk.process import DeskProcess
from submitter.desk.errand import Errand
desk = DeskProcess(Errand.model_validate_json(sys.argv[1]))
threading.Event().wait(60)
"""


def test_a_run_that_its_job_begins_is_one_however_often_the_job_starts(tmp_path: Path) -> None:
    told, other = opened(tmp_path, "a"), opened(tmp_path, "b")
    for _ in range(2):
        spoken(told).close()
    another = spoken(other)
    with Store.open(told.state_store) as store:
        assert [(run.epoch, run.job_id) for run in store.lineage.runs("pipe")] == [(2, "b" * 32), (1, "a" * 32)]
    late = DeskProcess(told)
    assert "run 1 of pipe is over" in wait_until(lambda: said(late), 30, "the end of the former job's run")
    assert said(another) is None
    for desk in (another, late):
        desk.close()


def test_a_topic_that_is_another_one_now_ends_a_run_that_its_job_began(
    tmp_path: Path, broker: LocalBroker, make_topic: MakeTopic
) -> None:
    topic = make_topic("reviews")
    known = Watched(kafka={"bootstrap.servers": broker.bootstrap}, topics={topic: "of-the-former-one"})
    desk = DeskProcess(opened(tmp_path, "a", known))
    assert f"topic {topic} was deleted and created again" in wait_until(lambda: said(desk), 30, "the run's end")
    desk.close()


def opened(folder: Path, job: str, *watched: Watched) -> Errand:
    url = f"sqlite:///{folder / 'state.db'}"
    with Store.open(url) as store:
        store.lineage.claim_name("pipe", "file")
    return Errand(
        pipeline="pipe",
        statements=("s",),
        spool=f"file://{folder}",
        state_store=url,
        quarantine=1,
        watched=watched,
        opening=Opening(job=job * 32, definition="0" * 16),
    )


def spoken(told: Errand) -> DeskProcess:
    desk = DeskProcess(told)
    wait_until(lambda: desk.announcements("s") == {}, 30, "the desk's first word")
    return desk


def said(desk: DeskProcess) -> str | None:
    """Why the run is over."""
    try:
        desk.announcements("s")
    except RunOver as error:
        return str(error)
    return None
