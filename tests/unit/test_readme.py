"""The README is a map that tells the truth: its diagram is the table, and every place it names is there."""

import re
from pathlib import Path

from shared.lifecycle import mermaid

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_diagram_is_the_lifecycle_table() -> None:
    again = "python -c 'from shared.lifecycle import mermaid; print(mermaid())'"
    assert f"```mermaid\n{mermaid()}\n```" in README, f"generate it anew: {again}"


def test_every_place_on_the_map_exists() -> None:
    places = re.findall(r"\]\(([^)#]+)\)", README)
    assert places
    for place in places:
        assert (ROOT / place).exists(), f"README.md names {place}, which is not there"
