"""The entries of an answer that is no JSON: XML, lines with a delimiter, or what a pattern finds. Pure.

XML is read without entities, documents of another and network; patterns are RE2's, whose time is linear.
"""

from collections.abc import Iterator
from typing import Any

from lxml import etree

from poller.collect.entries import NOBODY, Entry, Split, Unreadable, index_of
from shared.definition import AnswerFormat, Definition
from shared.errors import SettingsError
from shared.queries import pattern, x_path
from shared.schema import TEXT, is_text


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

    def __call__(self, text: str) -> tuple[list[Entry], bool]:
        inner = text[max(text.find("<"), 0) : text.rfind(">") + 1]
        root = self._parsed(inner)
        try:
            found = self._find(root)
        except SettingsError as error:
            raise Unreadable(str(error)) from None
        elements = [each for each in found if isinstance(each, etree._Element)] if isinstance(found, list) else []  # noqa: SLF001 lxml has no other name for it
        if not elements:
            raise Unreadable("'batch.response.path' finds no element in it")
        return [self._entry(element) for element in elements], inner != text.strip()

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
        values = {name: _part(element, name) for name in fields.names}
        if fields.is_text and values[fields.names[0]] is None and fields.value is None:
            values[fields.names[0]] = _text(element, fields.index)
        return fields.entry(_part(element, fields.index), values)


def _text(element: Any, index: str) -> str:
    """All text of an element but that of its index."""
    inner = (("" if each.tag == index else "".join(each.itertext())) + (each.tail or "") for each in element)
    return (element.text or "") + "".join(inner)


def _part(element: Any, name: str) -> str | None:
    if name in element.attrib:
        return str(element.attrib[name])
    child = next((each for each in element if each.tag == name), None)
    return None if child is None else "".join(child.itertext()).strip()


class _Delimited:
    """Splits lines: the record's index and its columns in their order, with a delimiter between them.

    The last column may hold the delimiter itself.
    """

    def __init__(self, definition: Definition) -> None:
        self._fields, self._delimiter = _Fields(definition), definition.batch.response_delimiter

    def __call__(self, text: str) -> tuple[list[Entry], bool]:
        # At "\n" alone: U+2028 and its kin stand within a text.
        lines = [line for line in text.split("\n") if line.strip()]
        entries = [entry for line in lines if (entry := self._entry(line)) is not None]
        if not entries:
            raise Unreadable(f"it has no line of {self._count()} fields with '{self._delimiter}' between them")
        return entries, len(entries) != len(lines)

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


class _Regex:
    """Splits what a pattern finds: a group is called as the field that it holds."""

    def __init__(self, definition: Definition) -> None:
        self._fields = _Fields(definition)
        self._pattern = pattern(definition.batch.response_pattern or "")

    def __call__(self, text: str) -> tuple[list[Entry], bool]:
        entries = list(self._found(text))
        if not entries:
            raise Unreadable("'batch.response.pattern' finds nothing in it")
        return entries, False

    def _found(self, text: str) -> Iterator[Entry]:
        for match in self._pattern.finditer(text):
            groups = match.groupdict()
            yield self._fields.entry(
                groups.get(self._fields.index), {name: groups.get(name) for name in self._fields.names}
            )
