"""What an option's text may be: a kind turns a text into a typed value, or says in a ValueError why it can't. Pure."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from shared.units import duration, size

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_HUGE = 2**32
_WINDOW = re.compile(r"[1-9][0-9]{0,3}[hd]")
_OWN = ("model", "messages", "input", "stream")
"""What a request's body has from us."""


@dataclass(frozen=True)
class Kind:
    """A type of options."""

    type: str
    """What may be given, for the reference."""
    read: Callable[[str], Any]

    def __call__(self, value: str) -> Any:
        """The typed value. Raises ValueError."""
        return self.read(value)


def _named(type_: str) -> Callable[[Callable[[str], Any]], Kind]:
    return lambda read: Kind(type_, read)


@_named("text")
def free(value: str) -> str:
    return value


@_named("text")
def text(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty")
    return value


def integer(low: int, high: int | None = None) -> Kind:
    def read(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"'{value}' is no integer") from None
        return int(_within(number, low, high))

    bounds = "" if low <= -_HUGE else f" ≥ {low}" if high is None else f", {low} to {high}"
    return Kind(f"integer{bounds}", read)


def number(low: float, high: float) -> Kind:
    def read(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            raise ValueError(f"'{value}' is no number") from None
        if not math.isfinite(found):
            raise ValueError(f"'{value}' is no number")
        return _within(found, low, high)

    return Kind(f"number, {low:g} to {high:g}", read)


def choice(*allowed: str) -> Kind:
    def read(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError(f"'{value}' is not one of {', '.join(allowed)}")
        return value.lower()

    return Kind(" or ".join(f"`{each}`" for each in allowed), read)


@_named("list, as `END,STOP`")
def csv(value: str) -> list[str]:
    parts = [part for part in value.split(",") if part]
    if not parts:
        raise ValueError("it names nothing; write a list such as 'END,STOP'")
    return parts


@_named("names, as `photo, scan`")
def names(value: str) -> tuple[str, ...]:
    parts = tuple(part for part in (each.strip() for each in value.split(",")) if part)
    if not parts:
        raise ValueError("it names nothing; write a list such as 'photo, scan'")
    return parts


@_named("duration, as `6 h`")
def period(value: str) -> float:
    """Seconds, more than 0."""
    found = duration(value)
    if found <= 0:
        raise ValueError("it must be more than 0")
    return found


@_named("duration, or `none`")
def lifetime(value: str) -> float:
    """Seconds; 0 for `none`."""
    return 0.0 if value.strip().lower() == "none" else float(period(value))


@_named("`24h`, `7d` …")
def window(value: str) -> str:
    """What a create asks for, in the service's own words."""
    if not _WINDOW.fullmatch(value):
        raise ValueError(f"'{value}' is no window of time; write one such as '24h' or '7d'")
    return value


@_named("`adaptive`, `disabled`, or tokens ≥ 1024")
def thinking(value: str) -> int | str:
    """A way, or a budget of tokens."""
    if value.lower() in ("adaptive", "disabled"):
        return value.lower()
    if not value.strip().isdecimal():
        raise ValueError(f"'{value}' is neither adaptive nor disabled, nor a number of tokens")
    return int(_within(int(value), 1024, None))


@_named("`true` or `false`")
def boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"'{value}' is neither true nor false")
    return value.lower() == "true"


@_named("integer ≥ 1, or `auto`")
def records(value: str) -> int | str:
    """A number of records, or as many as fit."""
    if value.lower() == "auto":
        return "auto"
    if not value.strip().lstrip("+-").isdecimal():
        raise ValueError(f"'{value}' is neither auto nor a number of records")
    return int(integer(1)(value))


@_named("text, `\\t` for a tab")
def delimiter(value: str) -> str:
    found = value.replace("\\t", "\t")
    if not found or "\n" in found:
        raise ValueError("it must be a text that stands between the fields of one line")
    return found


@_named("US dollars")
def dollars(value: str) -> float:
    """US dollars, more than 0."""
    found = float(number(0, 1e9)(value))
    if found <= 0:
        raise ValueError("it must be more than 0")
    return found


@_named("US dollars a million tokens")
def price(value: str) -> float:
    """US dollars, 0 too."""
    return float(number(0, 1e6)(value))


@_named("size, as `64 mb`")
def volume(value: str) -> int:
    """Bytes, at least 1 kb."""
    found = size(value)
    if found < 1024:
        raise ValueError(f"'{value}' is less than 1 kb")
    return found


def is_topic(value: str) -> bool:
    """Whether a text can name a topic."""
    return _TOPIC.fullmatch(value) is not None and value not in (".", "..")


@_named("topic")
def topic(value: str) -> str:
    if not is_topic(value):
        raise ValueError(f"'{value}' can't name a topic")
    return value


@_named("JSON object")
def body(value: str) -> dict[str, Any]:
    """A JSON object to be merged into each request."""
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError('it is no JSON object; write one such as {"reasoning_effort": "low"}')  # noqa: TRY004 - a text's fault
    taken = [name for name in _OWN if name in found]
    if taken:
        raise ValueError(f"it may not set {', '.join(taken)}, which each request has already")
    return found


def _within(value: float, low: float, high: float | None) -> float:
    if value < low or (high is not None and value > high):
        raise ValueError(
            f"{value:g} is out of range: {f'at least {low:g}' if high is None else f'{low:g} to {high:g}'}"
        )
    return value
