"""SQLite's locks are the process's: opening the store a second time must not end those of the first."""

import subprocess
import sys
from pathlib import Path

from shared.store import Store

OTHER = (
    "import sys; from shared.store import Store\nwith Store.open(sys.argv[1]) as s: print(s.lineage.runs('p')[0].epoch)"
)


def epoch_seen_elsewhere(url: str) -> int:
    """What another process reads, which opens the store and closes it again."""
    done = subprocess.run([sys.executable, "-c", OTHER, url], check=True, timeout=60, capture_output=True, text=True)
    return int(done.stdout)


def test_two_stores_of_one_process_and_one_of_another_see_the_same(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    with Store.open(url) as first:
        first.lineage.claim_name("p", "file")
        with Store.open(url) as second:
            for count in (1, 3):
                first.lineage.begin("p", definition="d", spool="file:///s")
                assert epoch_seen_elsewhere(url) == count
                second.lineage.begin("p", definition="d", spool="file:///s")
                assert epoch_seen_elsewhere(url) == count + 1
