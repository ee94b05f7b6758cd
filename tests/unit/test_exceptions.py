"""Each exception from the linter and the type checker says why it is one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXCEPTION = re.compile(r"#\s*(?:noqa|type: ignore)(?P<codes>:? ?\[?[A-Za-z0-9, -]*?\]?)(?P<reason>\s+(?:#|-)? ?\S.*)?$")


def unexplained(text: str) -> list[int]:
    """The lines, from 1, with an exception that has no code or no reason."""
    found = ((number, EXCEPTION.search(line)) for number, line in enumerate(text.splitlines(), 1))
    return [number for number, match in found if match and not (match["codes"].strip(" :[]") and match["reason"])]


def test_an_exception_without_a_reason_is_noticed() -> None:
    hidden = "#"
    lines = [
        f"x = 1  {hidden} noqa: F841",
        f"x = 1  {hidden} noqa: F841 - an example",
        f"x = 1  {hidden} noqa",
        f"x = 1  {hidden} type: ignore[misc]",
        f"x = 1  {hidden} type: ignore[misc]  # an example",
        f"x = 1  {hidden} noqa: SLF001 lxml has no other name for it",
    ]
    assert unexplained("\n".join(lines)) == [1, 3, 4]


def test_every_exception_has_its_reason() -> None:
    files = [
        file
        for package in ("submitter", "poller", "shared", "deploy", "tests")
        for file in (ROOT / package).rglob("*.py")
    ]
    assert len(files) > 500
    assert {str(file.relative_to(ROOT)): lines for file in files if (lines := unexplained(file.read_text()))} == {}
