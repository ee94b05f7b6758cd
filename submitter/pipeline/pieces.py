"""A script that Flink's parser refuses, piece by piece: up to each `;`, and on where the parser wants more.

So Flink's own SQL client reads one. The ends are its lexer's, and whether a piece is whole is its parser's word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from submitter.pipeline.flink import Reflection, reason
from submitter.pipeline.lexer import Token, is_blank

_REST = re.compile(r",? +after : \".*", re.DOTALL)
"""Where a message goes on with all of the text that could not be read."""
_ENCOUNTERED = re.compile(r'Encountered "(\w+)"')
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
            refusals.append(_refusal(error, line, flink, _UNCLOSED if unclosed >= start else ""))
            unread.append(text[start : None if unclosed >= start else end])
            if unclosed >= start:
                break
        start = end
    return Pieces(tuple(trees), tuple(refusals), "\n".join(unread))


def _refusal(error: Exception, begin: int, flink: Reflection, more: str) -> Refusal:
    message, line = reason(error)
    told = _REST.sub("", message)
    word = _ENCOUNTERED.search(told)
    hint = (
        f"; {word[1]} is a word of SQL's own: a name is written `{word[1]}`" if word and _is_sql(word[1], flink) else ""
    )
    return Refusal(f"Flink can't parse it: {told}{hint}{more}", line or begin)


def _is_sql(word: str, flink: Reflection) -> bool:
    """Whether a word is reserved, so that nothing can be called so without backticks."""
    try:
        flink.parse(f"SELECT 1 AS {word}")
    except Exception:  # noqa: BLE001 - as above
        return True
    return False


def _wants_more(error: Exception) -> bool:
    java = getattr(error, "java_exception", None)
    return java is not None and str(java.getClass().getSimpleName()) == "SqlParserEOFException"


def _blanked(text: str) -> str:
    """As many lines and UTF-16 units of nothing, so that a parser's positions stay those of the whole."""
    return "".join(each if each in "\r\n" else "  " if ord(each) > _WIDE else " " for each in text)
