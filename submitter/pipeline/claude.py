"""What a Claude model refuses by its name, as Anthropic's migration guides tell it. Pure.

Versions are those of the guides; a later one is taken to refuse what they say of "later models". A name that tells no
version, as services of others have them, is warned about where it may be one that refuses.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from submitter.pipeline.road import Remark

_NAMED = re.compile(
    r"claude-(?:(?P<old>[123])(?:-(?P<old_minor>\d))?-(?P<old_family>[a-z]+)"
    r"|(?P<family>[a-z]+)-(?P<major>\d+)(?:-(?P<minor>\d{1,2}))?)(?=-|$)"
)
_PREVIEW = re.compile(r"claude-mythos-preview")
_ALWAYS_NEW = ("fable", "mythos")
"""Families that began after the changes below."""
_TOP_P = 0.99
"""Its default at these models."""


class Generation(NamedTuple):
    """A family, and its version."""

    family: str
    version: tuple[int, int]


def generation_of(model: str) -> Generation | None:
    """The generation that a model's name tells; None for a name that tells none."""
    if _PREVIEW.match(model):
        return Generation("mythos", (4, 7))
    found = _NAMED.match(model)
    if found is None:
        return None
    family = found["family"] or found["old_family"]
    return Generation(family, (int(found["major"] or found["old"]), int(found["minor"] or found["old_minor"] or 0)))


def claude_remarks(values: Mapping[str, Any], model: str, *, calls_tool: bool) -> Iterator[Remark]:
    """Remarks on the given options, typed, of a Claude model; `calls_tool` where it is made to call one."""
    temperature, known = values.get("temperature"), generation_of(model)
    if temperature is not None and temperature > 1:
        yield Remark("temperature", f"{temperature:g} is out of range: Anthropic takes 0 to 1")
    if known is None:
        if temperature is not None and values.get("top-p") is not None:
            message = "newer Claude models refuse it beside 'temperature': give one of the two"
            yield Remark("top-p", message, is_fault=False)
        return
    yield from _of_sampling(values, model, known)
    yield from _of_thinking(values, model, known)
    if calls_tool and _refuses_forced_tools(known):
        message = f"'{model}' can't be made to call a tool: leave it out, and columns are asked for by a schema"
        yield Remark("batch.structured-output", message)


def _of_sampling(values: Mapping[str, Any], model: str, known: Generation) -> Iterator[Remark]:
    temperature, top_p = values.get("temperature"), values.get("top-p")
    if _draws_itself(known):
        # What is out of range has been said.
        if temperature is not None and temperature < 1:
            yield Remark("temperature", f"'{model}' draws as it likes, and refuses any but 1: leave it out")
        if top_p not in (None, _TOP_P):
            message = f"'{model}' draws as it likes, and refuses any but {_TOP_P}: leave it out"
            yield Remark("top-p", message)
    if temperature is not None and top_p is not None and known.version >= (4, 1):
        yield Remark("top-p", f"'{model}' refuses it beside 'temperature': give one of the two")


def _of_thinking(values: Mapping[str, Any], model: str, known: Generation) -> Iterator[Remark]:
    thinking = values.get("batch.thinking")
    if isinstance(thinking, int) and _draws_itself(known):
        message = f"'{model}' takes no number of tokens to think with: say 'adaptive', and how much by 'batch.effort'"
        yield Remark("batch.thinking", message)
    if thinking == "adaptive" and known.version < (4, 6):
        message = f"'{model}' takes a number of tokens to think with, such as '2048', and not 'adaptive'"
        yield Remark("batch.thinking", message)
    if thinking == "disabled":
        if _always_thinks(known):
            message = f"'{model}' always thinks: leave it out, and say how much by 'batch.effort'"
            yield Remark("batch.thinking", message)
        elif known.family == "opus" and known.version >= (5, 0) and values.get("batch.effort") in ("xhigh", "max"):
            yield Remark("batch.thinking", f"'{model}' always thinks with such a 'batch.effort': leave one of them out")
    if thinking is None and values.get("max-tokens") is None and _thinks_by_itself(known):
        message = f"'{model}' thinks before it answers, with tokens of these, 4096 where none are given: give it room"
        yield Remark("max-tokens", message, is_fault=False)


def _draws_itself(known: Generation) -> bool:
    return known.version >= (4, 7) or known.family in _ALWAYS_NEW


def _thinks_by_itself(known: Generation) -> bool:
    return known.version >= (5, 0) or known.family in _ALWAYS_NEW


def _always_thinks(known: Generation) -> bool:
    return known.family in _ALWAYS_NEW or (known.family in ("opus", "sonnet") and known.version >= (5, 5))


def _refuses_forced_tools(known: Generation) -> bool:
    least = {"opus": (5, 5), "sonnet": (5, 5), "fable": (5, 1), "mythos": (5, 1)}.get(known.family)
    return least is not None and known.version >= least
