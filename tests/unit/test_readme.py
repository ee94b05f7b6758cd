"""The pages are maps that tell the truth: their tables are the code's, and every place they name is there."""

import re
from pathlib import Path

import pytest

from deploy.readme import PAGES, written
from shared.lifecycle import mermaid
from submitter.pipeline import option_table, settings

ROOT = Path(__file__).parents[2]


def test_the_parts_that_are_made_from_the_code_are_as_it_has_them() -> None:
    readme, reference = (page.read_text(encoding="utf-8") for page in PAGES)
    assert (written(readme), written(reference)) == (readme, reference), "write them anew: python -m deploy.readme"
    assert f"```mermaid\n{mermaid()}\n```" in readme
    for table in (settings.markdown(), option_table.markdown()):
        assert f"\n\n{table}\n\n" in reference


@pytest.mark.parametrize("page", ["README.md", "deploy/README.md", "deploy/REFERENCE.md"])
def test_every_place_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    sections = {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    places = re.findall(r"\]\((?!https:)([^)]+)\)", text)
    assert places
    for place in places:
        path, _, section = place.partition("#")
        assert (ROOT / page).parent.joinpath(path).exists(), f"{page} names {place}, which is not there"
        assert path or section in sections, f"{page} has no section for {place}"


def slug(heading: str) -> str:
    """A heading's name in a link, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
