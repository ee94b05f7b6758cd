"""What Flink's own lexer makes of a text: the tokens that say where literals and statements begin and end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from py4j.java_gateway import get_field

from submitter.gateway import gateway
from submitter.pipeline.flink import Reflection
from submitter.pipeline.positions import Positions

_PARSER = "org.apache.flink.sql.parser.impl."
STRINGS = ("QUOTED_STRING", "PREFIXED_STRING_LITERAL", "UNICODE_STRING_LITERAL")
_WANTED = (*STRINGS, "SEMICOLON", "INSERT", "QUOTE")
_BACKTICKS = 2
"""The lexer's state in which a backtick quotes an identifier: Flink's own choice."""


@dataclass(frozen=True)
class Token:
    """A string literal, a semicolon, the word INSERT, a quotation mark without its other, or the end; as offsets.

    LOST is what no token begins with, such as a comment without its end: nothing is known of what follows.
    """

    kind: str
    start: int
    end: int
    line: int


def tokens(text: str, positions: Positions, flink: Reflection) -> Iterator[Token]:
    """The tokens of a text, the last of them EOF."""
    constants = flink.load(_PARSER + "FlinkSqlParserImplConstants")
    kinds = {int(constants.getField(name).get(None)): name for name in _WANTED}
    lexer, token = _lexer(text, flink), None
    while token := _next(lexer):
        kind = int(get_field(token, "kind"))
        if kind == 0:
            break
        if kind in kinds:
            start = positions.offset(get_field(token, "beginLine"), get_field(token, "beginColumn"))
            end = positions.offset(get_field(token, "endLine"), get_field(token, "endColumn")) + 1
            yield Token(kinds[kind], start, end, int(get_field(token, "beginLine")))
    if token is None:
        yield Token("LOST", len(text), len(text), 0)
    yield Token("EOF", len(text), len(text), 0)


def is_blank(text: str, flink: Reflection) -> bool:
    """Whether nothing stands in a piece of a script but comments and its semicolon."""
    first = _next(_lexer(text, flink))
    constants = flink.load(_PARSER + "FlinkSqlParserImplConstants")
    return first is not None and int(get_field(first, "kind")) in (0, int(constants.getField("SEMICOLON").get(None)))


def _lexer(text: str, flink: Reflection) -> Any:
    stream = flink.new(_PARSER + "SimpleCharStream", gateway().jvm.java.io.StringReader(text))
    flink.set_field(stream, "tabSize", 1)
    lexer = flink.new(_PARSER + "FlinkSqlParserImplTokenManager", stream)
    lexer.SwitchTo(_BACKTICKS)
    return lexer


def _next(lexer: Any) -> Any | None:
    """The next token; None where none begins."""
    try:
        return lexer.getNextToken()
    except Exception:  # noqa: BLE001 - the parser meets the same, and says where
        return None
