"""Keeps a collected batch's answers for records that ask the same later, where its definition says for how long."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

from poller.collect.children import asked_rows
from poller.collect.decision import Decision, results_in
from poller.collect.results import ANSWERS, INDEX, Results, Verdict
from poller.collect.values import Unfit, reader_of
from shared.clock import Clock
from shared.manifest import Manifest
from shared.question import question_of, scope_of
from shared.spool import Spool
from shared.store import Store

_AT_ONCE = 2_000


def keep_answers(store: Store, spool: Spool, manifest: Manifest, decision: Decision, clock: Clock) -> None:
    """Keep every answer that can be used; one that breaks its schema is asked again. Safe to be done again."""
    lasts = manifest.definition.batch.deduplicate_ttl
    if lasts is None or not manifest.requests:
        return
    if _is_deleted(spool, manifest, decision):
        return
    scope, until = scope_of(manifest.definition), clock() + timedelta(seconds=lasts)
    kept: dict[bytes, bytes] = {}
    for question, answer in _usable(spool, manifest, decision):
        kept[question] = answer
        if len(kept) >= _AT_ONCE:
            store.answers.keep(scope, kept, until)
            kept.clear()
    store.answers.keep(scope, kept, until)


def _is_deleted(spool: Spool, manifest: Manifest, decision: Decision) -> bool:
    """Whether the batch was out long ago, and its data with it: an older copy of the store doesn't know that."""
    return any(
        spool.files.size(address) is None for address in (manifest.sealed_file, *_answers(spool, manifest, decision))
    )


def _answers(spool: Spool, manifest: Manifest, decision: Decision) -> list[str]:
    folder = results_in(spool.batch(manifest.pipeline, manifest.statement, manifest.batch_key), decision)
    return [f"{folder}/{name}" for name in (INDEX, ANSWERS)]


def _usable(spool: Spool, manifest: Manifest, decision: Decision) -> Iterator[tuple[bytes, bytes]]:
    ask, read = question_of(manifest.definition), reader_of(manifest.definition.model)
    with ExitStack() as open_:
        paths = [open_.enter_context(spool.files.local(address)) for address in _answers(spool, manifest, decision)]
        results = open_.enter_context(Results(paths[0].parent, manifest.packing.records))
        for record, row in asked_rows(spool, manifest):
            if results.verdicts[record] != Verdict.ANSWERED:
                continue
            answer = results.answer(record)
            try:
                read(answer)
            except (Unfit, ValueError, ArithmeticError):
                continue
            yield ask(row), answer
