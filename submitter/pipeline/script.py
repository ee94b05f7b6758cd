"""The script: Flink's lexer finds literals and ends of statements, its parser the statements; we only read positions.

`${NAME}` in a string literal is replaced by the environment's value, except in a model's api-key.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.flink import Reflection
from submitter.pipeline.lexer import STRINGS, Token, tokens
from submitter.pipeline.pieces import parse
from submitter.pipeline.positions import Positions
from submitter.pipeline.telling import refuse_key, told


@dataclass(frozen=True)
class Node:
    """A statement, as a syntax tree."""

    tree: Any
    kind: str
    """The simple name of its class."""
    line: int
    options: Mapping[str, int]
    """The lines of the options in its WITH or SET."""


@dataclass(frozen=True)
class Script:
    """A text, parsed."""

    text: str
    """With the environment's values in its literals."""
    nodes: tuple[Node, ...]
    unresolved: Mapping[str, str]
    """A literal's value to what the file has in its place, where that refers to the environment."""
    tokens: tuple[Token, ...]
    positions: Positions
    unread: str = ""
    """The statements that Flink can't parse."""

    def insert_text(self, tree: Any) -> str:
        """The text of an INSERT, from its first word up to the next semicolon."""
        start = self.positions.offset(*_begin(tree))
        inserts = [token.start for token in self.tokens if token.kind == "INSERT" and token.start <= start]
        end = next(token.start for token in self.tokens if token.kind in ("SEMICOLON", "EOF") and token.start > start)
        return self.text[inserts[-1] : end].rstrip()

    def first_line(self, tree: Any) -> int:
        """The line of a statement's first word, roughly: parsers count some statements from their second."""
        return int(_begin(tree)[0])


def read_script(text: str, environ: Mapping[str, str], flink: Reflection, faults: Faults) -> Script:
    """Parse a script, resolve its references, parse it again; what Flink can't parse is a fault, and left out."""
    positions = Positions(text)
    found = tuple(tokens(text, positions, flink))
    parsed = parse(text, found, flink)
    keys = {positions.offset(*_begin(value)) for tree in parsed.trees for value in _api_keys(tree, flink)}
    new, unresolved = _resolve(text, found, keys, environ, faults)
    refusals = parsed.refusals
    if new != text:
        positions = Positions(new)
        found = tuple(tokens(new, positions, flink))
        parsed = parse(new, found, flink)
    for refusal in refusals or parsed.refusals:
        faults.add(refusal.message, Place(refusal.line))
    nodes = tuple(
        Node(tree, str(tree.getClass().getSimpleName()), int(_begin(tree)[0]), dict(_options(tree, flink)))
        for tree in parsed.trees
    )
    return Script(new, nodes, unresolved, found, positions, parsed.unread)


def _resolve(
    text: str, found: tuple[Token, ...], keys: set[int], environ: Mapping[str, str], faults: Faults
) -> tuple[str, dict[str, str]]:
    """The text with each reference in a literal replaced; and what the file had for each value that came of it."""
    pieces, unresolved, end = [], dict[str, str](), 0
    for token in found:
        if token.kind not in STRINGS or token.start in keys:
            continue
        image, place = text[token.start : token.end], Place(token.line)
        refuse_key(_value(image), faults, place)
        escape = _escaped if token.kind != "UNICODE_STRING_LITERAL" else _escaped_unicode
        made = told(image, environ, faults, place, escape)
        if made == image:
            continue
        unresolved[_value(made)] = _value(image)
        pieces += [text[end : token.start], made]
        end = token.end
    return "".join([*pieces, text[end:]]), unresolved


def _escaped(value: str) -> str:
    return value.replace("'", "''")


def _escaped_unicode(value: str) -> str:
    return _escaped(value).replace("\\", "\\\\")


def _value(image: str) -> str:
    """What a literal stands for."""
    return image.partition("'")[2][:-1].replace("''", "'")


def _begin(tree: Any) -> tuple[int, int]:
    position = tree.getParserPosition()
    return int(position.getLineNum()), int(position.getColumnNum())


def walk(tree: Any, flink: Reflection) -> Iterator[Any]:
    """A syntax tree and all below it."""
    yield tree
    for part in flink.operands(tree):
        yield from walk(part, flink)


def _pairs(tree: Any, flink: Reflection) -> Iterator[Any]:
    return (each for each in walk(tree, flink) if each.getClass().getSimpleName() == "SqlTableOption")


def _options(tree: Any, flink: Reflection) -> Iterator[tuple[str, int]]:
    if not str(tree.getClass().getName()).startswith("org.apache.flink.sql.parser.ddl."):
        return
    for pair in _pairs(tree, flink):
        yield str(pair.getKeyString()), int(_begin(pair)[0])


def _api_keys(tree: Any, flink: Reflection) -> Iterator[Any]:
    """The literals that give a model its key."""
    if "Model" in str(tree.getClass().getSimpleName()):
        for pair in _pairs(tree, flink):
            if str(pair.getKeyString()) == "api-key":
                yield pair.getValue()
