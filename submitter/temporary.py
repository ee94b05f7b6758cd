"""The folder in which a command, its JVM and what they start keep what they need only for a while.

It goes with them. What killed ones left is removed by the next start, and by the next end.
"""

import fcntl
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.spool.homes import local_state

PREFIX = "batchline-run-"
_OURS, _JVMS = "command.lock", "jvm.lock"
_DEATH_SECONDS = 15.0


@contextmanager
def temporary(system: Path | None = None) -> Iterator[Path]:
    """A new folder for the temporary files of this process and of all that it starts; gives what its JVM is to lock.

    `system` is where it lies if this user's state can't be kept: the system's own folder, unless told otherwise.
    """
    parent = _parent() or system or Path(tempfile.gettempdir())
    with _alone(parent):
        _remove_orphans(parent)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        held = _held(folder / _OURS)
    try:
        with _told(folder):
            yield folder / _JVMS
    finally:
        _await_death(folder / _JVMS)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
        with _alone(parent):
            _remove_orphans(parent)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """This process, and what it starts, uses the folder."""
    before, default = {name: os.environ.get(name) for name in ("TMPDIR", "JVM_ARGS")}, tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    # HotSpot's own statistics lie in the system's folder, whatever else it is told.
    ours = f"-Djava.io.tmpdir={folder} -XX:-UsePerfData"
    os.environ["JVM_ARGS"] = f"{os.environ.get('JVM_ARGS', '')} {ours}".strip()
    try:
        yield
    finally:
        tempfile.tempdir = default
        os.environ.update({name: value for name, value in before.items() if value is not None})
        for name in (name for name, value in before.items() if value is None):
            os.environ.pop(name, None)


def _parent() -> Path | None:
    """Of this user's state; None where there is no place for that."""
    with suppress(OSError, RuntimeError):
        parent = local_state() / "tmp"
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Java is told its options in one text, parted by spaces.
        if os.access(parent, os.W_OK | os.X_OK) and " " not in str(parent):
            return parent
    return None


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """Nobody else makes or removes folders here meanwhile."""
    handle = os.open(parent / f"{PREFIX}{os.getuid()}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _held(file: Path) -> int:
    """An open file that is locked until this process ends, however it does."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def _remove_orphans(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*/"):
        if not is_held(folder / _OURS) and not is_held(folder / _JVMS):
            shutil.rmtree(folder, ignore_errors=True)


def is_held(file: Path) -> bool:
    """Whether a command or a JVM that lives holds it; each has its own kind of lock, and they don't see each other."""
    try:
        handle = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _await_death(lock: Path) -> None:
    """Until the JVM is gone, which removes files of its own at its end; or not much longer."""
    end, pause = time.monotonic() + _DEATH_SECONDS, threading.Event()
    while is_held(lock) and time.monotonic() < end:
        pause.wait(0.02)
