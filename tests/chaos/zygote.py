"""`python -m tests.chaos.zygote`: imports everything once, has no thread and no client, and forks the lives of a slot.

It reads an order a line and answers with a line; it and every life end when their parent does.
"""

import ctypes
import gc
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import orjson

from tests.chaos import roles

_PR_SET_PDEATHSIG = 1


def main() -> None:
    _die_with_parent()
    roles.warm()
    gc.collect()
    gc.freeze()
    _answer({"ready": True})
    orders = os.fdopen(os.dup(0), "rb", buffering=0)
    while line := orders.readline():
        order = orjson.loads(line)
        _answer(_fork(order) if order["do"] == "fork" else _reap(order["pid"]))


def _fork(order: dict[str, Any]) -> dict[str, Any]:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _live(order, parent)
    return {"pid": pid}


def _reap(pid: int) -> dict[str, Any]:
    _, status, usage = os.wait4(pid, 0)
    return {"code": os.waitstatus_to_exitcode(status), "cpu": usage.ru_utime + usage.ru_stime}


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
