"""The templates of prompts: Jinja's, whose time and memory are bounded by what they are given to render."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared.templates.costs import REFUSED
from shared.templates.meter import TooMuch
from shared.templates.plain import is_plain
from shared.templates.sandbox import Templates

__all__ = ["REFUSED", "Templates", "TooMuch", "renderer"]


def renderer(text: str) -> Callable[[Mapping[str, Any]], str]:
    """The function that renders a template; one thread's alone. It raises whatever a template can, and TooMuch."""
    plain = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, finalize=lambda value: "" if value is None else value
    )
    tree = plain.parse(text)
    if is_plain(tree):
        return plain.from_string(tree).render
    templates = Templates()
    template, meter = templates.from_string(text), templates.meter

    def render(values: Mapping[str, Any]) -> str:
        try:
            meter.open(values.values())
            rendered: str = template.render(values)
            return rendered
        finally:
            meter.close()

    return render
