"""Files fetched from a store: once, held while they are read, the oldest making room, gone with the process."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from shared.spool.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(most_bytes=10, parent=tmp_path)


def fetcher(fetched: list[str], name: str, size: int = 4) -> Callable[[Path], None]:
    def fetch(into: Path) -> None:
        fetched.append(name)
        into.write_bytes(b"x" * size)

    return fetch


def read(scratch: Scratch, fetched: list[str], name: str) -> None:
    with scratch.held(name, fetcher(fetched, name)) as path:
        assert path.read_bytes() == b"xxxx"


def test_a_file_is_fetched_once_by_however_many_readers(scratch: Scratch) -> None:
    fetched: list[str] = []
    barrier = Barrier(4)

    def reader(_: int) -> None:
        barrier.wait()
        read(scratch, fetched, "a/b")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(reader, range(4)))
    read(scratch, fetched, "a/b")
    assert fetched == ["a/b"]


def test_the_oldest_makes_room_but_never_one_that_is_read(scratch: Scratch) -> None:
    fetched: list[str] = []
    with scratch.held("held", fetcher(fetched, "held")) as held:
        for name in ("one", "two", "one"):
            read(scratch, fetched, name)
        assert held.exists()
    assert fetched == ["held", "one", "two", "one"], "two made room for none but one"
    read(scratch, fetched, "one")
    assert fetched[-1] == "one"
    assert len(fetched) == 4


def test_a_fetch_that_failed_is_begun_again(scratch: Scratch) -> None:
    def fail(into: Path) -> None:
        into.write_bytes(b"half")
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"), scratch.held("a", fail):
        pass
    fetched: list[str] = []
    read(scratch, fetched, "a")
    assert fetched == ["a"]


def test_what_was_written_here_need_not_be_fetched_also_from_its_new_place(scratch: Scratch) -> None:
    fetched: list[str] = []
    (scratch.work("attempt/batch") / "rows").write_bytes(b"xxxx")
    scratch.take("attempt/batch", "rows")
    scratch.move("attempt/batch/rows", "batch/rows")
    read(scratch, fetched, "batch/rows")
    assert fetched == []
    scratch.forget("batch")
    read(scratch, fetched, "batch/rows")
    assert fetched == ["batch/rows"]


def test_a_killed_process_s_folder_is_removed_and_a_living_one_s_is_not(scratch: Scratch, tmp_path: Path) -> None:
    code = (
        "import os, signal; from shared.spool.scratch import Scratch; s = Scratch(); (s.work('a') / 'f').touch();"
        "print(s.folder, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    left = Path(done.stdout.strip())
    assert left.parent == tmp_path, done.stderr
    assert (left / "work" / "a" / "f").exists()
    living = scratch.work("a")
    assert not left.exists()
    _ = Scratch(parent=tmp_path).folder
    assert living.exists()
    assert living.stat().st_mode & 0o077 == 0
    scratch.close()
    assert not living.exists()
