"""`python -m tests.rig.classes`: the classes that a Flink job loads, as the JVM keeps them (class data sharing).

With it each of the tests' many short-lived JVMs starts in a fifth less time.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONS = "-XX:-UsePerfData -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:disable"
"""Most of a short job's processor goes into compiling what soon ends. A log would tell of each class left out."""
ARCHIVE = Path(__file__).parents[2] / ".venv/.classes.jsa"
"""The Makefile's name for it, too."""


def options() -> str:
    """What a short-lived JVM is started with. An archive of other jars than these is left aside by the JVM itself."""
    return f"{OPTIONS} -XX:SharedArchiveFile={ARCHIVE}" if ARCHIVE.exists() else OPTIONS


def main() -> None:
    """Run a small job to its end, and keep what it has loaded."""
    with tempfile.TemporaryDirectory(dir=ARCHIVE.parent) as folder:
        kept = Path(folder) / "classes.jsa"
        subprocess.run(
            [sys.executable, "-m", "tests.integration.job_sealing", f"{folder}/job", "endless", "10"],
            env={**os.environ, "JVM_ARGS": f"{OPTIONS} -Djava.io.tmpdir={folder} -XX:ArchiveClassesAtExit={kept}"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        kept.replace(ARCHIVE)


if __name__ == "__main__":
    main()
