"""Durations and sizes as Flink writes them: `15 min`, `64 mb`. Pure."""

import re

_QUANTITY = re.compile(r"\s*(\d+)\s*([a-zµ]*)\s*", re.IGNORECASE)

# The labels of Flink's TimeUtils; the factor in seconds.
_DURATIONS = {
    86400.0: ("d", "day", "days"),
    3600.0: ("h", "hour", "hours"),
    60.0: ("m", "min", "minute", "minutes"),
    1.0: ("s", "sec", "secs", "second", "seconds"),
    1e-3: ("ms", "milli", "millis", "millisecond", "milliseconds"),
    1e-6: ("µs", "micro", "micros", "microsecond", "microseconds"),
    1e-9: ("ns", "nano", "nanos", "nanosecond", "nanoseconds"),
}
# The labels of Flink's MemorySize; the factor in bytes.
_SIZES = {
    1: ("", "b", "bytes"),
    2**10: ("k", "kb", "kibibytes"),
    2**20: ("m", "mb", "mebibytes"),
    2**30: ("g", "gb", "gibibytes"),
    2**40: ("t", "tb", "tebibytes"),
}


def duration(text: str) -> float:
    """Seconds. Raises ValueError for what is no duration, and for a bare number, which Flink takes as milliseconds."""
    number, unit = _split(text, "a duration such as '15 min'")
    if not unit:
        raise ValueError(f"'{text}' has no unit; write '{number} s' or '{number} ms'")
    for factor, labels in _DURATIONS.items():
        if unit in labels:
            return number * factor
    raise ValueError(f"'{text}' is no duration; write one such as '15 min', '30 s' or '500 ms'")


def seconds(text: str) -> float:
    """As `duration`, but a bare number is seconds, as in the poller's settings."""
    try:
        return float(text)
    except ValueError:
        return duration(text)


def size(text: str) -> int:
    """Bytes. Raises ValueError for what is no size."""
    number, unit = _split(text, "a size such as '64 mb'")
    for factor, labels in _SIZES.items():
        if unit in labels:
            return number * factor
    raise ValueError(f"'{text}' is no size; write one such as '64 mb' or '900 kb'")


def _split(text: str, wanted: str) -> tuple[int, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is not {wanted}")
    return int(match[1]), match[2].lower()
