"""SQL values as text: how Flink writes a number, a date or a timestamp as a STRING, and how it reads one. Pure."""

import math
import re
import struct
from calendar import monthrange
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext

_DATE = re.compile(r"(\d{1,4})-(\d{1,2})-(\d{1,2})(?: .*)?")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9})\d*)?)?")
_TIMESTAMP = re.compile(r"(\d{1,4})-(\d{1,2})-(\d{1,2})(?: (\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?))?")
_INTEGER = re.compile(r"([+-]?\d+)(?:\.\d*)?|[+-]?\.\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TRUE, _FALSE = frozenset({"t", "true", "y", "yes", "1"}), frozenset({"f", "false", "n", "no", "0"})
LARGEST_FLOAT = 3.4028234663852886e38


def as_float32(value: float) -> float:
    """The nearest number that a FLOAT can hold."""
    if not math.isfinite(value):
        return value
    if abs(value) > LARGEST_FLOAT:
        return math.copysign(math.inf, value)
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def text_of_float(value: float, *, single: bool = False) -> str:
    """A DOUBLE, or a FLOAT where `single`, as Java's toString writes it: the fewest digits that tell it apart."""
    value = as_float32(value) if single else value
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    shortest = Decimal(_shortest_single(value) if single else repr(value))
    if shortest == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    sign, digits, exponent = shortest.normalize().as_tuple()
    text, magnitude = "".join(map(str, digits)), len(digits) + int(exponent) - 1
    minus = "-" if sign else ""
    if -3 <= magnitude < 7:
        plain = format(shortest.normalize(), "f")
        return plain if "." in plain else plain + ".0"
    return f"{minus}{text[0]}.{text[1:] or '0'}E{magnitude}"


def _shortest_single(value: float) -> str:
    for digits in range(1, 9):
        text = f"{value:.{digits}g}"
        if as_float32(float(text)) == value:
            return text
    return f"{value:.9g}"


def float_of(text: str) -> float:
    """A STRING as DOUBLE. Raises ValueError."""
    text = text.strip()
    if text.lstrip("+-") in ("NaN", "Infinity"):
        return float(text.replace("Infinity", "inf"))
    if not _FLOAT.fullmatch(text):
        raise ValueError(f"'{text}' is no number")
    return float(text)


def integer_of(text: str) -> int:
    """A STRING as an integer; digits after a point are dropped. Raises ValueError."""
    match = _INTEGER.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is no integer")
    return int(match[1] or 0)


def boolean_of(text: str) -> bool:
    """A STRING as BOOLEAN. Raises ValueError."""
    word = text.lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"'{text}' is no boolean")


def decimal_of(value: str | float | Decimal, precision: int, scale: int) -> Decimal | None:
    """A number as DECIMAL(precision, scale), rounded half up; None when its integral digits don't fit.

    Raises ValueError for a text that is no number.
    """
    try:
        exact = value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise ValueError(f"'{value}' is no decimal") from None
    if not exact.is_finite():
        raise ValueError(f"'{value}' is no decimal")
    if exact and exact.adjusted() >= precision - scale + 1:
        return None
    with localcontext(prec=precision + 2) as context:
        context.rounding = ROUND_HALF_UP
        rounded = exact.quantize(Decimal(1).scaleb(-scale))
    return rounded if not rounded or rounded.adjusted() < precision - scale else None


def date_of(text: str) -> str:
    """A STRING as DATE, `yyyy-MM-dd`. Raises ValueError."""
    match = _DATE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is no date")
    year, month, day = (int(part) for part in match.groups())
    return date(year, month, day).isoformat()


def time_of(text: str, precision: int) -> str:
    """A STRING as TIME, `HH:mm:ss` and a fraction that ends with a digit other than 0. Raises ValueError."""
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is no time")
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"'{text}' is no time of a day")
    return f"{hour:02}:{minute:02}:{second:02}{fraction(match[4] or '', precision)}"


def timestamp_of(text: str, precision: int) -> str:
    """A STRING as TIMESTAMP, `yyyy-MM-dd HH:mm:ss` and a fraction as that of `time_of`. Raises ValueError.

    The 31st of a shorter month is its last day, as in Java's lenient resolution.
    """
    match = _TIMESTAMP.fullmatch(text.strip())
    if not match or not 1 <= int(match[2]) <= 12 or not 1 <= int(match[3]) <= 31 or int(match[1]) == 0:
        raise ValueError(f"'{text}' is no timestamp")
    year, month = int(match[1]), int(match[2])
    day = min(int(match[3]), monthrange(year, month)[1])
    return f"{date(year, month, day).isoformat()} {time_of(match[4] or '00:00:00', precision)}"


def utc_of(text: str) -> str:
    """A moment as ISO 8601 writes it, with or without an offset, as text of a TIMESTAMP in UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip())
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat(" ", "microseconds")


def fraction(digits: str, precision: int) -> str:
    """The digits after a second's point, cut to a precision, as JSON carries them: no zeros at the end."""
    kept = digits[:precision].rstrip("0")
    return f".{kept}" if kept else ""


def padded(text: str, precision: int) -> str:
    """A TIME or TIMESTAMP with exactly as many digits of a second as its type has, as a CAST to STRING writes it."""
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits[:precision]:0<{precision}}" if precision else whole
