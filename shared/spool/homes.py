"""Where a pipeline's local things lie when its spool is in a store: locks and logs, which belong to one machine."""

import hashlib
import os
from pathlib import Path

from shared.errors import SpoolError
from shared.spool.disk import make_folder


def local_home(url: str, folder: str) -> Path:
    """A folder of this user's state, apart from every other spool's. Raises SpoolError where there can't be one."""
    path = local_state() / hashlib.sha256(url.encode()).hexdigest()[:16] / folder
    try:
        make_folder(path)
    except OSError as error:
        raise SpoolError(
            f"{path} can't be made ({error.strerror}): let XDG_STATE_HOME name a folder of yours"
        ) from error
    return path


def local_state() -> Path:
    """Where this user's state lies on this machine."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "batchline"
