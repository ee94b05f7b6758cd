"""The entries of an answer that is no JSON: XML, lines with a delimiter, or what a pattern finds. Pure.

XML is read without entities, documents of another and network; patterns are RE2's, whose time is linear.
"""

import re
from collections.abc import Container, Iterable
from typing import Any

from lxml import etree

from poller.collect.endings import is_whole_of
from poller.collect.entries import NOBODY, Entry, Split, Unreadable, index_of, without_fields
from shared.definition import AnswerFormat, Definition
from shared.errors import SettingsError
from shared.queries import pattern, x_path
from shared.schema import TEXT, is_text

_FENCE = "```"
_DIGITS = re.compile(r"[0-9]+")


def text_splitter_of(definition: Definition, form: AnswerFormat) -> Split:
    """The splitter of a format."""
    if form == "xml":
        return _Xml(definition)
    return _Delimited(definition) if form == "delimited" else _Regex(definition)


class _Fields:
    """What a definition calls the parts of an entry."""

    def __init__(self, definition: Definition) -> None:
        options, output = definition.batch, definition.model.output
        self.index, self.is_packed = options.response_index_field, options.is_packed
        self.is_text, self.value = is_text(output), options.response_value_field
        self.names = [self.value] if self.value and self.is_text else [column.name for column in output]
        self._texts = {column.name for column in output if column.type.root in TEXT} | {self.value or ""}

    def entry(self, index: str | None, values: dict[str, str | None]) -> Entry:
        """An entry of texts; an empty one is NULL where the column is no text."""
        fields: dict[str, Any] = {
            name: value if value or name in self._texts else None for name, value in values.items() if value is not None
        }
        if self.value and not self.is_text:
            fields = {self.value: fields}
        return Entry(index_of(index.strip()) if index is not None else None, fields)


class _Xml:
    """Splits XML: the elements at `batch.response.path`, each with its fields as elements or attributes."""

    def __init__(self, definition: Definition) -> None:
        self._fields = _Fields(definition)
        self._find = x_path(definition.batch.response_path or "//result")

    def __call__(self, text: str, _records: int) -> tuple[list[Entry], bool]:
        inner = text[max(text.find("<"), 0) : text.rfind(">") + 1]
        root = self._parsed(inner)
        try:
            found = self._find(root)
        except SettingsError as error:
            raise Unreadable(str(error)) from None
        parts = found if isinstance(found, list) else [found]
        elements = [each for each in parts if isinstance(each, etree._Element)]  # noqa: SLF001 lxml has no other name for it
        if not elements and self._fields.is_text and not self._fields.is_packed:
            said = [str(each).strip() for each in parts if isinstance(each, str) and each.strip()]
            if said:
                return [self._fields.entry(None, {self._fields.names[0]: each}) for each in said], inner != text.strip()
        if not elements:
            raise Unreadable("'batch.response.path' finds no element in it")
        # What stands within an entry is what that one quotes.
        every = set(elements)
        own = [each for each in elements if every.isdisjoint(each.iterancestors())]
        return [self._entry(element) for element in own], inner != text.strip()

    def _parsed(self, text: str) -> Any:
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
        )
        try:
            root = etree.fromstring(text.encode("utf-8", "replace"), parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise Unreadable(f"it is no XML: {error}") from None
        if root.getroottree().docinfo.doctype:
            raise Unreadable("it declares a document type, which no answer needs")
        return root

    def _entry(self, element: Any) -> Entry:
        fields = self._fields
        is_inner = fields.value is not None and not fields.is_text
        holders = [each for each in element if each.tag == fields.value] if is_inner else [element]
        holder = holders[0] if len(holders) == 1 else etree.Element("none")
        values = {name: _part(holder, name) for name in fields.names}
        if fields.is_text and fields.value is None and not _parts(element, fields.names[0]):
            values[fields.names[0]] = _text(element, fields.index)
        return fields.entry(_part(element, fields.index), values)


def _text(element: Any, index: str) -> str:
    """All text of an element but that of its index."""
    inner = (("" if each.tag == index else "".join(each.itertext())) + (each.tail or "") for each in element)
    return (element.text or "") + "".join(inner)


def _part(element: Any, name: str) -> str | None:
    """What an element says under a name; None where it says nothing, or two things."""
    parts = _parts(element, name)
    return parts.pop() if len(parts) == 1 else None


def _parts(element: Any, name: str) -> set[str]:
    parts = {"".join(each.itertext()).strip() for each in element if each.tag == name}
    return parts | {str(element.attrib[name])} if name in element.attrib else parts


class _Delimited:
    """Splits lines: the record's index and its columns in their order, with a delimiter between them.

    The last column may hold the delimiter itself. A line that is no entry goes on with the one above it, whose end
    can't be known then, unless its last column is whole as it stands; nor can the end of a line be known which may be
    two that lost their break.
    """

    def __init__(self, definition: Definition) -> None:
        self._fields, self._delimiter = _Fields(definition), definition.batch.response_delimiter
        self._before = re.compile(rf"([0-9]+)\s*{re.escape(self._delimiter)}")
        self._is_whole, self._last = is_whole_of(definition.model.output[-1]), self._fields.names[-1]

    def __call__(self, text: str, records: int) -> tuple[list[Entry], bool]:
        # At "\n" alone: U+2028 and its kin stand within a text.
        lines = [line for line in text.split("\n") if line.strip()]
        found = [self._entry(line) for line in lines]
        own = [place for place, entry in enumerate(found) if entry is not None]
        if not own:
            raise Unreadable(f"it has no line of {self._count()} fields with '{self._delimiter}' between them")
        numbers = {entry.number for entry in found if entry is not None}
        is_whole = not self._fields.is_packed or numbers.issuperset(range(1, records + 1))
        entries: list[Entry] = []
        unclear: set[int | None] = set()
        for place in range(own[0], _end(lines, own)):
            entry = found[place]
            if entry is not None:
                entries.append(entry)
            elif self._is_whole(entries[-1].fields[self._last] or "", lines[place]):
                continue
            if entry is None or self._may_be_two(lines[place], records, is_whole=is_whole):
                unclear.add(entries[-1].number)
        return without_fields(entries, unclear), len(entries) != len(lines)

    def _may_be_two(self, line: str, records: int, *, is_whole: bool) -> bool:
        """Whether more delimiters than a line needs may come of another record's line, which stands nowhere else."""
        *_, last = line.split(self._delimiter, self._count() - 1)
        if not self._fields.is_packed or self._delimiter not in last:
            return False
        return not is_whole or _names_one(self._before.findall(last), range(1, records + 1))

    def _count(self) -> int:
        return len(self._fields.names) + self._fields.is_packed

    def _entry(self, line: str) -> Entry | None:
        parts = [part.strip() for part in line.split(self._delimiter, self._count() - 1)]
        if len(parts) != self._count():
            return None
        index = parts.pop(0) if self._fields.is_packed else None
        entry = self._fields.entry(index, dict(zip(self._fields.names, parts, strict=True)))
        # A heading, or a table's rule.
        return None if self._fields.is_packed and entry.number == NOBODY else entry


def _end(lines: list[str], own: list[int]) -> int:
    """Where entries end: at the closing fence where one was opened before them, else with the text."""
    is_fenced = any(line.startswith(_FENCE) for line in lines[: own[0]])
    closing = [place for place in range(own[-1] + 1, len(lines)) if lines[place].startswith(_FENCE)]
    return closing[-1] if is_fenced and closing else len(lines)


class _Regex:
    """Splits what a pattern finds: a group is called as the field that it holds.

    What a pattern takes for a record's text is that, unless a number in it, or behind it, is one that has no entry.
    """

    def __init__(self, definition: Definition) -> None:
        self._fields = _Fields(definition)
        self._pattern = pattern(definition.batch.response_pattern or "")

    def __call__(self, text: str, records: int) -> tuple[list[Entry], bool]:
        found = list(self._pattern.finditer(text))
        if not found:
            raise Unreadable("'batch.response.pattern' finds nothing in it")
        entries = [self._entry(match.groupdict()) for match in found]
        missing = set(range(1, records + 1)).difference(entry.number for entry in entries)
        group = self._pattern.groupindex.get(self._fields.index)
        if not self._fields.is_packed or not missing or group is None:
            return entries, False
        unclear: set[int | None] = set()
        ends = [*(match.start() for match in found[1:]), len(text)]
        for match, entry, end in zip(found, entries, ends, strict=True):
            first, last = match.span(group)
            if _names_one(_DIGITS.findall(f"{text[match.start() : first]} {text[last:end]}"), missing):
                unclear.add(entry.number)
        return without_fields(entries, unclear), False

    def _entry(self, groups: dict[str, str | None]) -> Entry:
        return self._fields.entry(
            groups.get(self._fields.index), {name: groups.get(name) for name in self._fields.names}
        )


def _names_one(numbers: Iterable[str], records: Container[int]) -> bool:
    """Whether digits are a record's number, or end with one: another's text may stand before it."""
    return any(int(digits[at:]) in records for digits in numbers for at in range(max(0, len(digits) - 9), len(digits)))
