"""Writes the parts of README.md that are made from the code: a batch's life, settings, options."""

import re
from pathlib import Path

from shared.lifecycle import mermaid
from submitter.pipeline import option_table, settings

README = Path(__file__).parents[1] / "README.md"
_DIAGRAM = re.compile(r"(?<=```mermaid\n).*?(?=\n```)", re.DOTALL)
_SETTINGS = re.compile(r"^\| setting \| default \|.*?(?=\n\n)", re.DOTALL | re.MULTILINE)
_OPTIONS = re.compile(r"^\| option \|.*?\n\n[^\n]*", re.DOTALL | re.MULTILINE)


def written(text: str) -> str:
    """The README with these parts as the code has them now."""
    for part, made in ((_DIAGRAM, mermaid()), (_SETTINGS, settings.markdown()), (_OPTIONS, option_table.markdown())):
        text = part.sub(lambda _, made=made: made, text)  # type: ignore[misc]  # mypy infers no default argument
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
