"""`make clean` in a copy of this checkout: all that the targets make is gone, and nothing else is."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
THEIRS = ("notes.txt", "mine.sql", "deploy/demo/mine.sql", "spool/mine/part-0", "tests/unit/mine.json")
"""What a user may have put beside it."""


def run(folder: Path, *command: str) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.split("\0" if "-z" in command else "\n") if line]


def made() -> set[str]:
    """What this checkout has of the targets' making by now, and whatever else they may make: git ignores it all."""
    found = run(ROOT, "git", "ls-files", "-z", "-o", "-i", "--directory", "--exclude-per-directory=.gitignore")
    patterns = (ROOT / ".gitignore").read_text().split()
    plain = {pattern.strip("/").replace("*", "batchline") for pattern in patterns}
    caches = {f"{package}/__pycache__" for package in ("poller/publish", "submitter", "deploy/sandbox", "tests/unit")}
    return {each.strip("/") for each in found} | plain | caches


def test_it_removes_all_that_the_targets_make_and_nothing_else(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in run(ROOT, "git", "ls-files", "-z"):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    run(copy, "git", "init", "--quiet")
    run(copy, "git", "add", "--all")
    run(copy, "git", "-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "--quiet", "--message", "all")
    for name in [*(f"{each}/made" for each in made()), *THEIRS]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("something")

    run(copy, "make", "clean")
    left = run(copy, "git", "status", "-z", "--porcelain", "--ignored", "--untracked-files=all")
    assert sorted(left) == sorted(f"?? {name}" for name in THEIRS)
    for name in made():
        assert not (copy / name).exists()
