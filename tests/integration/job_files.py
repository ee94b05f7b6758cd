"""What a job leaves on disk, read without its code: finished files, complete checkpoints; and a free port."""

import json
import socket
from pathlib import Path
from typing import Any


def finished_files(folder: Path) -> list[Path]:
    """The finished files anywhere below a folder called `sealed`."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name[0] not in "._"]


def sealed_rows(folder: Path) -> list[dict[str, Any]]:
    """Every line of every finished file, parsed."""
    return [json.loads(line) for path in finished_files(folder) for line in path.read_bytes().split(b"\n") if line]


def complete_checkpoints(folder: Path) -> list[Path]:
    """The folders of the complete checkpoints of any job below a folder."""
    return [path.parent for path in folder.glob("*/chk-*/_metadata")]


def newest_checkpoint(folder: Path) -> str:
    """The address of the newest of them."""
    complete = complete_checkpoints(folder)
    assert complete, f"no checkpoint in {folder} is complete"
    return max(complete, key=lambda path: (path / "_metadata").stat().st_mtime).as_uri()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
