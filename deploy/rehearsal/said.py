"""What the model said to the records of a rehearsal that failed: their answers as they were, unread."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby

from deploy.rehearsal.folder import Folder
from deploy.rehearsal.paper import Message
from poller.collect.decision import read_decision, results_in
from poller.collect.results import ANSWERS, INDEX, Results, Verdict, parse_failure
from shared.definition import Definition
from shared.manifest import Manifest
from shared.messages import Header


def with_answers(folder: Folder, definition: Definition, messages: Iterable[Message]) -> Iterator[Message]:
    """The messages, failed ones with the answer that they had, if there was one; in the order given."""
    for key, of_batch in groupby(messages, key=lambda each: each.batch):
        listed = list(of_batch)
        if all(each.answered for each in listed):
            yield from listed
            continue
        manifest = folder.spool.manifest(definition.pipeline, definition.statement, key)
        with ExitStack() as open_:
            results = _results(folder, definition, manifest, open_)
            for each in listed:
                yield each if each.answered or results is None else replace(each, said=_said(each, manifest, results))


def _results(folder: Folder, definition: Definition, manifest: Manifest, open_: ExitStack) -> Results | None:
    files = folder.spool.files
    address = folder.spool.batch(definition.pipeline, definition.statement, manifest.batch_key)
    decision = read_decision(files, address)
    if decision is None:
        return None
    kept = [open_.enter_context(files.local(f"{results_in(address, decision)}/{name}")) for name in (INDEX, ANSWERS)]
    return open_.enter_context(Results(kept[0].parent, manifest.packing.records))


def _said(message: Message, manifest: Manifest, results: Results) -> str | None:
    request = message.headers.get(Header.REQUEST)
    if request is None:
        return None
    records = manifest.packing.of(int(request.rpartition("-")[2]))
    record = records[int(message.headers.get(Header.INDEX, "1")) - 1]
    answer = results.answer(record)
    if results.verdicts[record] == Verdict.FAILED:
        return parse_failure(answer)[2]
    # It could be read, and not be written as the sink's columns want it.
    return answer.decode("utf-8", "replace")
