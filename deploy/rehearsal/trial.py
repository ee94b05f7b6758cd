"""A trial: rows go through the real road (plan, ask, collect, publish) to a provider, and come out on paper.

Requests are asked one by one at the synchronous endpoint, so that answers come at once.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from deploy.rehearsal.folder import Folder, with_options
from deploy.rehearsal.paper import Message, Paper
from deploy.rehearsal.prompter import Dictate, Prompter
from deploy.rehearsal.said import with_answers
from poller.accounts import Keyless
from poller.ask.asker import ASKED, Asker, Pass
from poller.ask.deadline import DEADLINE
from poller.ask.pacing import Paces
from poller.ask.roads import Roads
from poller.collect.collector import Collecting, Collector
from poller.health import Watchdog
from poller.models import Models
from poller.publish.publication import Publication
from poller.schedule import Backoff
from shared.clock import system_clock
from shared.definition import Definition
from shared.errors import BatchlineError
from shared.lease import Keeper, this_process
from shared.lifecycle import TERMINAL, State
from shared.providers.prices import cost_of
from shared.spool import REQUESTS
from shared.store import Batch
from submitter.planning.planner import Planner

PATIENCE = 600.0
"""Seconds that a trial may take."""
_SOON = timedelta(milliseconds=200)
_PAUSE = 0.02
"""Seconds between two looks at what is due."""


class TrialFailed(BatchlineError):
    """A trial came to no end; the message says why."""


@dataclass(frozen=True)
class Tried:
    """What became of rows."""

    statement: str
    records: int
    requests: tuple[bytes, ...]
    """The rendered requests, a JSON line each, as the provider gets them."""
    messages: tuple[Message, ...]
    """What would stand in the topics, in the order of the rows."""
    input_tokens: int
    output_tokens: int
    sync_usd: float | None
    """What these tokens cost record by record; None without a known price."""
    batch_usd: float | None
    """And in batches."""
    seconds: float

    @property
    def failed(self) -> int:
        return sum(not each.answered for each in self.messages)


def attempt(
    folder: Folder,
    definition: Definition,
    lines: Iterable[bytes],
    environ: Mapping[str, str],
    dictate: Dictate | None = None,
) -> Tried:
    """Send rows (lines of a sealed file) through a definition's road, at the address that its model names.

    A sandbox there is told what to say by `dictate`. Raises TrialFailed where the provider does not answer, Unplayable
    where the sandbox can't, MissingCredential, SpoolError for a line that is no row.
    """
    began = time.monotonic()
    asked = with_options(definition, mode="sync", deadline=None, fallback=None, fallback_max_cost=None)
    models = Models(folder.store, folder.spool, environ)
    planner = Planner(folder.store, folder.spool, models.provider_for, system_clock)
    file = folder.seal(asked, lines)
    planner.plan(asked.pipeline, asked.statement, file)
    mine = [batch.batch_key for batch in folder.store.batches.rows(sealed_file=file.address)]
    requests = [line for key in mine for line in _requests(folder, asked, key)]
    prompter = None if dictate is None else Prompter(folder, asked, dictate)
    try:
        paper = _work(folder, models, asked, prompter)
    finally:
        if prompter is not None:
            prompter.forget()
    batches = folder.store.batches.rows(sealed_file=file.address)
    used, made = sum(each.input_tokens for each in batches), sum(each.output_tokens for each in batches)
    price = cost_of(definition.model, used, made)
    return Tried(
        statement=asked.statement,
        records=sum(each.records for each in batches if each.generation == 0),
        requests=tuple(requests),
        messages=tuple(with_answers(folder, asked, _ordered(folder, asked, paper.messages))),
        input_tokens=used,
        output_tokens=made,
        sync_usd=price.sync_usd if price else None,
        batch_usd=price.batch_usd if price else None,
        seconds=time.monotonic() - began,
    )


def _work(folder: Folder, models: Models, definition: Definition, prompter: Prompter | None) -> Paper:
    """Ask, collect and publish until everything is out."""
    store, spool, paper = folder.store, folder.spool, Paper()
    keeper, watchdog, paces = Keeper(store, this_process()), Watchdog(store, this_process()), Paces()
    keyless, quick = Keyless(watchdog, system_clock), Backoff(_SOON, _SOON)
    roads = Roads(store, paces, system_clock, DEADLINE)
    asker = Asker(store, spool, models.provider_of, keeper, roads, keyless, system_clock, Pass())
    how = Collecting(timedelta(), quick, DEADLINE, paces)
    collector = Collector(
        store, spool, models.provider_of, keeper, watchdog, system_clock, collecting=how, keyless=keyless
    )
    publication = Publication(store, spool, paper)
    end, never = time.monotonic() + PATIENCE, threading.Event()
    while not never.wait(_PAUSE):
        if prompter is not None:
            prompter.prompt()
        asker.run_once()
        collector.run_once()
        with keeper.hold(paper.shard.lease) as lease:
            for batch in store.batches.rows([State.COLLECTED]):
                if lease is not None:
                    publication.publish(batch, definition, paper, lease)
        left = [batch for batch in store.batches.rows() if batch.state not in TERMINAL]
        if not left:
            return paper
        models.provider_for(definition.model).connect()
        _give_up(left, time.monotonic() >= end)
    return paper


def _give_up(left: list[Batch], is_late: bool) -> None:  # noqa: FBT001 - what the caller has seen
    """Raise TrialFailed where nothing more is to be expected soon."""
    for batch in left:
        why = batch.held_reason if batch.state is State.HELD else batch.error
        is_far = batch.held_until is not None and batch.held_until > system_clock() + timedelta(minutes=1)
        if is_late or (batch.state is State.HELD and (is_far or (why or "").startswith("account: "))):
            raise TrialFailed(f"the provider gives no answers: {why or batch.state}")
        if batch.state not in (*ASKED, State.ENDED, State.COLLECTED) or (batch.state is not State.HELD and why):
            raise TrialFailed(f"it comes to no end: {why or batch.state}")


def _requests(folder: Folder, definition: Definition, key: str) -> list[bytes]:
    address = f"{folder.spool.batch(definition.pipeline, definition.statement, key)}/{REQUESTS}"
    return (folder.spool.files.read(address) or b"").splitlines()


def _ordered(folder: Folder, definition: Definition, messages: Iterable[Message]) -> list[Message]:
    """By their rows: a batch covers a range of the file, its children the same one."""
    starts: dict[str, int] = {}
    for each in messages:
        if each.batch not in starts:
            starts[each.batch] = folder.spool.manifest(definition.pipeline, definition.statement, each.batch).start
    return sorted(messages, key=lambda each: (starts[each.batch], each.ordinal))
