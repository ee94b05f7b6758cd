"""The README is a map that tells the truth: its diagram is the table, and every place it names is there."""

import re
from pathlib import Path

from deploy.readme import written
from shared.lifecycle import mermaid
from submitter.pipeline import option_table, settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_parts_that_are_made_from_the_code_are_as_it_has_them() -> None:
    assert written(README) == README, "write them anew: python -m deploy.readme"
    assert f"```mermaid\n{mermaid()}\n```" in README
    for table in (settings.markdown(), option_table.markdown()):
        assert f"\n\n{table}\n\n" in README


def test_every_place_on_the_map_exists() -> None:
    places = re.findall(r"\]\(([^)#]+)\)", README)
    assert places
    for place in places:
        assert (ROOT / place).exists(), f"README.md names {place}, which is not there"
