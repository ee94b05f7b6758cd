"""requirements.lock: it satisfies pyproject.toml, every line is bound by a hash, and no host is named in it."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
ENTRIES = re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;]+)[^\n]*\\\n((?:    --hash=\S+(?: \\)?\n)+)", LOCK, re.MULTILINE)


def test_every_declared_requirement_is_locked_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    locked = {canonicalize_name(name): version for name, version, _ in ENTRIES}
    unmet = [
        line
        for line in map(Requirement, declared)
        if not line.specifier.contains(locked.get(canonicalize_name(line.name), "0"))
    ]
    assert declared
    assert not unmet, "run `make lock`"


def test_every_locked_version_has_its_hashes_and_no_host_is_named() -> None:
    assert len(ENTRIES) == len(re.findall(r"^\S+==", LOCK, re.MULTILINE)) > 50
    assert "://" not in LOCK
    assert "--index" not in LOCK
    assert "--find-links" not in LOCK
