"""`python -m tests.chaos.zygote FOLDER`: imports everything once, has no thread and no client, and forks lives.

It reads an order a line and answers with a line. When the orders end, its slot was killed: it ends every life then, and
removes the slot's folder, as nobody else will.
"""

import ctypes
import gc
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import orjson

from deploy.sandbox.waiting import wait_until
from tests.chaos import roles

_PR_SET_PDEATHSIG = 1


def main() -> None:
    lives: set[int] = set()
    roles.warm()
    gc.collect()
    gc.freeze()
    _answer({"ready": True})
    orders = os.fdopen(os.dup(0), "rb", buffering=0)
    while line := orders.readline():
        order = orjson.loads(line)
        answer = _fork(order) if order["do"] == "fork" else _reap(order["pid"])
        (lives.add if order["do"] == "fork" else lives.discard)(answer["pid"])
        _answer(answer)
    for life in lives:
        os.kill(life, signal.SIGKILL)
        os.waitpid(life, 0)
    _remove(Path(sys.argv[1]))


def _remove(folder: Path) -> None:
    """The broker, which ends at the same moment, may still write there."""

    def is_gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    wait_until(is_gone, 20, f"{folder} to be gone")


def _fork(order: dict[str, Any]) -> dict[str, Any]:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _live(order, parent)
    return {"pid": pid}


def _reap(pid: int) -> dict[str, Any]:
    _, status, usage = os.wait4(pid, 0)
    return {"pid": pid, "code": os.waitstatus_to_exitcode(status), "cpu": usage.ru_utime + usage.ru_stime}


def _live(order: dict[str, Any], parent: int) -> NoReturn:
    """Be a life from here on."""
    code = 1
    try:
        _die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.update(order["environ"])
        code = roles.ROLES[order["role"]](order["spec"])
    except BaseException:  # noqa: BLE001 the last word of a life
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _answer(answer: dict[str, Any]) -> None:
    os.write(1, orjson.dumps(answer) + b"\n")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
