"""`python -m tests.rig.submitting FOLDER` submits what is due in a stage's folder, as a process, until it is killed."""

import sys
import threading
from pathlib import Path

from poller.accounts import Keyless
from poller.health import Watchdog
from poller.watch.rescuer import Rescuer
from shared.lease import this_process
from tests.rig.stage import Stage


def main(folder: str) -> None:
    stage = Stage(None, Path(folder))  # type: ignore[arg-type]  # the definitions in the store name its address
    keyless = Keyless(Watchdog(stage.store, this_process()), stage.clock)
    rescuer = Rescuer(stage.store, stage.submission().work, stage.clock, keyless)
    never = threading.Event()
    while not never.wait(0.02):
        rescuer.run_once()


if __name__ == "__main__":
    main(*sys.argv[1:])
