"""Writes what is made from the code in README.md (a batch's life) and in REFERENCE.md (settings, options)."""

import re
from pathlib import Path

from shared.lifecycle import mermaid
from submitter.pipeline import option_table, settings

PAGES = (Path(__file__).parents[1] / "README.md", Path(__file__).with_name("REFERENCE.md"))
_DIAGRAM = re.compile(r"(?<=```mermaid\n).*?(?=\n```)", re.DOTALL)
_SETTINGS = re.compile(r"^\| setting \| default \|.*?(?=\n\n)", re.DOTALL | re.MULTILINE)
_OPTIONS = re.compile(r"^\| option \|.*?\n\n[^\n]*", re.DOTALL | re.MULTILINE)


def written(text: str) -> str:
    """A page with these parts as the code has them now."""
    for part, made in ((_DIAGRAM, mermaid()), (_SETTINGS, settings.markdown()), (_OPTIONS, option_table.markdown())):
        text = part.sub(lambda _, made=made: made, text)  # type: ignore[misc]  # mypy infers no default argument
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
