"""A file that a person wrote, read as text: small, UTF-8, without control characters; what it is not is said."""

import re
from pathlib import Path

from shared.errors import BatchlineError

_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


class NoText(BatchlineError):
    """A file can't be read as text; the message says why, `line` where."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def read_text(path: Path, most: int) -> str:
    """The text of a file of at most so many bytes, without a byte order mark. Raises NoText, OSError."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise NoText(f"it has more than {most:,} bytes: is it the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NoText(f"byte {error.start} is no UTF-8 ({error.reason}): save it as UTF-8", line) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise NoText(f"the control character U+{ord(found[0]):04X} stands in it: remove it", line)
    return text
