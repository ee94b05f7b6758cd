"""Writes the parts of README.md that are made from the code: a batch's life, and the options of a model."""

import re
from pathlib import Path

from shared.lifecycle import mermaid
from submitter.pipeline.option_table import markdown

README = Path(__file__).parents[1] / "README.md"
_DIAGRAM = re.compile(r"(?<=```mermaid\n).*?(?=\n```)", re.DOTALL)
_OPTIONS = re.compile(r"^\| option \|.*?\n\n[^\n]*", re.DOTALL | re.MULTILINE)


def written(text: str) -> str:
    """The README with these parts as the code has them now."""
    return _OPTIONS.sub(lambda _: markdown(), _DIAGRAM.sub(lambda _: mermaid(), text))


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
