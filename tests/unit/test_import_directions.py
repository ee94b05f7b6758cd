"""The import directions of pyproject.toml hold, and the check of them would notice if they did not."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check(tree: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        Path(sys.executable).parent / "lint-imports",
        "--no-cache",
        "--config",
        ROOT / "pyproject.toml",
    ]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=False)


def layers() -> list[str]:
    """The floors of both stages."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = [floor for contract in contracts for floor in contract.get("layers", ())]
    return [module for floor in floors for module in floor.split(" | ")]


def test_the_import_directions_hold() -> None:
    result = check(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("shared", "submitter"),
        ("shared", "poller"),
        ("shared", "pyflink"),
        ("poller", "submitter"),
        ("poller", "pyflink"),
        ("submitter", "poller"),
        ("submitter", "deploy"),
        ("poller", "tests"),
        ("deploy", "tests"),
        ("poller.collect", "poller.publish"),
        ("poller.watch", "poller.register"),
        ("submitter.desk", "submitter.job"),
        ("submitter.planning", "submitter.pipeline"),
    ],
)
def test_a_wrong_import_is_noticed(tmp_path: Path, importer: str, imported: str) -> None:
    for package in ("shared", "submitter", "poller", "deploy", "tests", *layers()):
        folder = tmp_path.joinpath(*package.split("."))
        folder.mkdir()
        (folder / "__init__.py").touch()
    tmp_path.joinpath(*importer.split("."), "wrong.py").write_text(f"import {imported}\n")
    result = check(tmp_path)
    assert result.returncode == 1
    assert f"{importer}.wrong" in result.stdout
