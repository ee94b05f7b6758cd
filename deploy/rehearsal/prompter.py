"""What the sandbox's model is to say in a trial: it gets a definition and its rows, where a real model reads a prompt.

Each record is answered as if it had been asked alone. What is written is read back as the road will read it: a format
that can't be played is told as such, and is no fault of the rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from deploy.rehearsal.folder import Folder
from deploy.rehearsal.formats import CannotWrite, writer_of
from poller.collect.children import asked_rows
from poller.collect.entries import Unreadable
from poller.collect.unpacking import unpacker_of
from poller.collect.values import Unfit, reader_of
from shared.definition import Definition
from shared.errors import BatchlineError
from shared.manifest import Manifest
from shared.packed import answer_format
from shared.providers.bodies import structured_by
from shared.providers.port import Answer
from shared.render import Row, as_json
from shared.schema import answer_schema, is_text
from shared.spool import REQUESTS

Dictate = Callable[[Mapping[str, str]], None]
"""Tells the sandbox what to say, by the hashes of requests' bodies; an empty mapping forgets it."""
_WORDLESS = frozenset({"embeddings", "moderations"})


class Unplayable(BatchlineError):
    """The sandbox can't play an answer's format; the message says which."""

    def __init__(self, what: str, why: str = "") -> None:
        super().__init__(
            f"the sandbox can't play {what}{f' ({why})' if why else ''}, which says nothing about the rows: "
            "`submitter try --live N` asks the real provider"
        )


class Prompter:
    """Tells the sandbox the answers of each batch, once."""

    def __init__(self, folder: Folder, definition: Definition, dictate: Dictate) -> None:
        self._folder, self._definition, self._dictate = folder, definition, dictate
        self._done: set[str] = set()
        self._is_needed = definition.model.task not in _WORDLESS and (
            unpacker_of(definition) is not None or structured_by(definition.model) == "none"
        )

    def prompt(self) -> None:
        """Of the batches that are new. Raises Unplayable."""
        if not self._is_needed:
            return
        for batch in self._folder.store.batches.rows():
            if batch.batch_key not in self._done:
                self._done.add(batch.batch_key)
                manifest = self._folder.spool.manifest(batch.pipeline, batch.statement, batch.batch_key)
                if told := dict(self._of(manifest)):
                    self._dictate(told)

    def forget(self) -> None:
        """What was told holds for this trial alone."""
        if self._is_needed:
            self._dictate({})

    def _of(self, manifest: Manifest) -> Iterator[tuple[str, str]]:
        from deploy.sandbox.provider.processing import body_hash

        spool, packing = self._folder.spool, manifest.packing
        address = f"{spool.batch(manifest.pipeline, manifest.statement, manifest.batch_key)}/{REQUESTS}"
        rows = [row for _, row in asked_rows(spool, manifest)]
        for number, line in enumerate((spool.files.read(address) or b"").splitlines()):
            request = orjson.loads(line)
            said = answer_to(self._definition, [rows[record] for record in packing.of(number)])
            yield body_hash(request.get("body") or request["params"]), said


def answer_to(definition: Definition, rows: Sequence[Row]) -> str:
    """The answer for the rows of one request. Raises Unplayable."""
    form = answer_format(definition) or "json"
    entries = [(number, _columns(definition, row)) for number, row in enumerate(rows, 1)]
    try:
        text = writer_of(form)(definition, entries)
    except CannotWrite as error:
        raise Unplayable(str(error)) from None
    _read_back(definition, form, text, len(rows))
    return text


def _read_back(definition: Definition, form: str, text: str, records: int) -> None:
    unpack, read = unpacker_of(definition), reader_of(definition.model)
    try:
        answers: Sequence[bytes | str] = [text.encode()]
        if unpack is not None:
            answers = unpack(Answer("", "succeeded", text=text), records).answers
        for answer in answers:
            if not isinstance(answer, bytes):
                raise Unplayable(f"the format '{form}' of these answers", answer)
            read(answer)
    except Unreadable as error:
        raise Unplayable(f"the format '{form}' of these answers", str(error)) from None
    except Unfit as error:
        raise Unplayable("these OUTPUT columns in its answers", str(error)) from None


def _columns(definition: Definition, row: Row) -> dict[str, Any]:
    """What the sandbox's model says of one record, by column."""
    from deploy.sandbox.provider.answers import of_one
    from deploy.sandbox.provider.asks import Ask

    model, prompt = definition.model, _prompt(definition, row)
    # What is wanted may be said in the template alone.
    told = "\n".join(part for part in (model.system_prompt, definition.batch.prompt) if part)
    schema = None if is_text(model.output) else _schema(definition)
    said = of_one(Ask(model.model, prompt, told, len(prompt), schema))
    return said if isinstance(said, dict) else {model.output[0].name: said}


def _prompt(definition: Definition, row: Row) -> str:
    model = definition.model
    values = {column.name: row[name] for column, name in zip(model.input, model.descriptor, strict=True)}
    (first, *more) = values.values()
    return first if isinstance(first, str) and not more else as_json(values)


def _schema(definition: Definition) -> dict[str, Any]:
    """The columns' schema, with the lengths that a provider's strict mode has no word for."""
    schema = answer_schema(definition.model.output)
    for column in definition.model.output:
        if column.type.root in ("CHAR", "VARCHAR") and column.type.length is not None:
            schema["properties"][column.name]["maxLength"] = column.type.length
    return schema
