"""Every row of the providers' faults has its tests, by name, and every switch of the sandbox is used by one of them."""

import re
from collections import defaultdict
from pathlib import Path

from deploy.sandbox.provider.vocabulary import VOCABULARY

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"^def test_row_(\d\d)_", re.MULTILINE)
ROWS = range(1, 24)
OURS = range(24, 28)
"""Rows that stand in deploy/README.md."""


def rows() -> dict[int, list[Path]]:
    """The files that hold a row's tests."""
    found: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for row in {int(number) for number in NAMED.findall(path.read_text(encoding="utf-8"))}:
            found[row].append(path)
    return found


def test_every_row_has_a_test_of_its_name() -> None:
    assert sorted(rows()) == [*ROWS, *OURS]


def test_every_switch_is_used_by_a_test_of_its_row() -> None:
    texts = {path: path.read_text(encoding="utf-8") for paths in rows().values() for path in paths}
    unused = [
        fault.name
        for fault in VOCABULARY.values()
        if not any(f'"{fault.name}"' in texts[path] for path in rows().get(fault.row, []))
    ]
    assert unused == []


def test_our_own_rows_are_told_with_their_source() -> None:
    readme = (TESTS.parent / "deploy" / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (\d\d) \|(.*)\|$", readme, re.MULTILINE))
    assert [int(row) for row in told] == [*OURS]
    assert all("https://github.com/" in text for text in told.values())
