"""A script that Flink's parser refuses, piece by piece: up to each `;`, and on where the parser wants more.

So Flink's own SQL client reads one. The ends are its lexer's, and whether a piece is whole is its parser's word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from submitter.pipeline.flink import Reflection, position, reason
from submitter.pipeline.lexer import Token, is_blank

_REST = re.compile(r",? +after : \".*", re.DOTALL)
"""Where a message goes on with all of the text that could not be read."""
_WORD = re.compile(r"[A-Za-z_]\w*")
_UNCLOSED = (
    "; a quotation mark or a comment that is opened here or later has no end, so that what follows is not judged"
)
_WIDE = 0xFFFF


@dataclass(frozen=True)
class Refusal:
    """What the parser says of a piece."""

    message: str
    line: int


@dataclass(frozen=True)
class Pieces:
    """A script, as far as it can be parsed."""

    trees: tuple[Any, ...]
    refusals: tuple[Refusal, ...] = ()
    unread: str = ""
    """What was refused, and what can't be judged after it."""


def parse(text: str, tokens: Sequence[Token], flink: Reflection) -> Pieces:
    """Parse a script: as a whole if that can be, else as many of its statements as possible."""
    try:
        return Pieces(tuple(flink.parse(text)))
    except Exception:  # noqa: BLE001 - whatever the parser throws, it is about the text, and thrown again
        return _parse_pieces(text, tokens, flink)


def _parse_pieces(text: str, tokens: Sequence[Token], flink: Reflection) -> Pieces:
    trees, refusals, unread, start = [], [], [], 0
    unclosed = max((token.start for token in tokens if token.kind in ("QUOTE", "LOST")), default=-1)
    for end in (token.end for token in tokens if token.kind in ("SEMICOLON", "EOF")):
        try:
            trees += flink.parse(_blanked(text[:start]) + text[start:end])
        except Exception as error:  # noqa: BLE001 - as above
            if is_blank(text[start:end], flink):
                start = end
                continue
            if _wants_more(error) and end < len(text):
                continue
            line = text[: end - len(text[start:end].lstrip())].count("\n") + 1
            more = _UNCLOSED if unclosed >= start else _hint(error, _blanked(text[:start]) + text[start:end], flink)
            refusals.append(_refusal(error, line, more))
            unread.append(text[start : None if unclosed >= start else end])
            if unclosed >= start:
                break
        start = end
    return Pieces(tuple(trees), tuple(refusals), "\n".join(unread))


def _refusal(error: Exception, begin: int, more: str) -> Refusal:
    message, line = reason(error)
    return Refusal(f"Flink can't parse it: {_REST.sub('', message)}{more}", line or begin)


def _hint(error: Exception, text: str, flink: Reflection) -> str:
    """What to do where only a name is wrong, which is a word of SQL's; nothing where more is."""
    lines, (number, column) = text.split("\n"), position(error) or (0, 0)
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    word = _WORD.match(line, column - 1)
    if word is None:
        return ""
    lines[number - 1] = f"{line[: word.start()]}`{word[0]}`{line[word.end() :]}"
    try:
        flink.parse("\n".join(lines))
    except Exception:  # noqa: BLE001 - as above
        return ""
    return f"; {word[0]} is a word of SQL's own: a name is written `{word[0]}`"


def _wants_more(error: Exception) -> bool:
    java = getattr(error, "java_exception", None)
    return java is not None and str(java.getClass().getSimpleName()) == "SqlParserEOFException"


def _blanked(text: str) -> str:
    """As many lines and UTF-16 units of nothing, so that a parser's positions stay those of the whole."""
    return "".join(each if each in "\r\n" else "  " if ord(each) > _WIDE else " " for each in text)
