"""A parser's line and column, counted from 1 in UTF-16 units, as an offset into a text. Pure."""

import re
from bisect import bisect_right

_LINE_END = re.compile(r"\r\n|\r|\n")


class Positions:
    """The places of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def offset(self, line: int, column: int) -> int:
        """The offset of the character at a line's column."""
        start = self._starts[line - 1]
        end = self._starts[line] if line < len(self._starts) else len(self._text)
        content = self._text[start:end]
        if content.isascii():
            return start + column - 1
        units = 0
        for index, character in enumerate(content):
            if units >= column - 1:
                return start + index
            units += 2 if ord(character) > 0xFFFF else 1
        return end

    def line(self, offset: int) -> int:
        """The line of an offset, from 1."""
        return bisect_right(self._starts, offset)
