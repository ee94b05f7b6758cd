"""What becomes of each record of a batch that has ended: answered, failed, or carried to a child. Pure."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from poller.collect.results import ResultsWriter, Verdict
from poller.watch.verdict import Failure, failure
from shared.causes import Cause
from shared.definition import Mode
from shared.manifest import Fate, Manifest
from shared.packing import Packing
from shared.providers.port import LineError

_NAMED = re.compile(r"\brequests(?:\.|\[)(\d+)")
"""How Anthropic names a request in the message of a refused create: `requests.3.custom_id: …`, from 0."""
_LONGEST_CUSTOM_ID = 64
_CUTS: tuple["Cut", ...] = ("whole", "halves", "singles")


Cut = Literal["whole", "halves", "singles"]
"""How records that shared a request are asked in a child: together, in two halves, or one by one."""


@dataclass(frozen=True)
class Carry:
    """Records that go to one child, how many retries it has used then, and its road."""

    records: tuple[int, ...]
    retries: int
    mode: Mode = "batch"
    cut: Cut = "whole"


def settle(
    results: ResultsWriter, manifest: Manifest, missing: Cause = Cause.MISSING, *, harvested: bool = False
) -> list[Carry]:
    """Decide on every record that is neither answered nor failed: carry it, or fail it when no retry is left.

    An account's fault uses no retry, nor does a batch that was ended by ourselves (`harvested`). Each record is
    ANSWERED, FAILED or CARRIED afterwards.
    """
    shared = _shared(results, manifest)
    again = sorted([*results.having(Verdict.MISSING, Verdict.RETRY), *shared.again])
    account = results.having(Verdict.ACCOUNT)
    carries = [Carry(tuple(account), manifest.retries)] if account else []
    if again and harvested:
        carries.append(Carry(tuple(again), manifest.retries))
    elif again and _may_retry(manifest):
        carries.append(Carry(tuple(again), manifest.retries + 1))
    else:
        for record in again:
            if results.verdicts[record] == Verdict.MISSING:
                results.fail(record, missing, _WORDS[missing])
            else:
                results.verdicts[record] = Verdict.FAILED
    return mark(results, [*carries, *shared.carries("batch", manifest.retries)], manifest)


def settle_asked(results: ResultsWriter, manifest: Manifest) -> list[Carry]:
    """Decide on the records of a batch that was asked request by request.

    What failed there is asked again while a retry is left. What was not asked, for want of money, goes into a batch.
    """
    shared = _shared(results, manifest)
    left = results.having(Verdict.MISSING)
    again = tuple(sorted([*results.having(Verdict.RETRY, Verdict.ACCOUNT), *shared.again]))
    carries = [Carry(tuple(left), manifest.retries, manifest.definition.batch.mode)] if left else []
    if again and _may_retry(manifest):
        carries.append(Carry(again, manifest.retries + 1, "sync"))
    else:
        for record in again:
            results.verdicts[record] = Verdict.FAILED
    return mark(results, [*carries, *shared.carries("sync", manifest.retries)], manifest)


@dataclass(frozen=True)
class _Shared:
    """What becomes of records whose request could not be used as a whole."""

    again: tuple[int, ...]
    """As if each had failed by itself."""
    halved: tuple[int, ...]
    alone: tuple[int, ...]

    def carries(self, mode: Mode, retries: int) -> list[Carry]:
        """What is cut smaller uses no retry: it ends with requests of one record."""
        halved = [Carry(self.halved, retries, mode, "halves")] if self.halved else []
        return [*halved, Carry(self.alone, retries, "sync", "singles")] if self.alone else halved


def _shared(results: ResultsWriter, manifest: Manifest) -> _Shared:
    """Sort them: what was refused unread, and so cost nothing, is halved; what is billed goes as the option says."""
    on_error, packing = manifest.definition.batch.response_on_error, manifest.packing
    again, halved, alone = [], results.having(Verdict.REFUSED), []
    for record in results.having(Verdict.UNREAD):
        is_alone = len(packing.of(packing.request(record))) == 1
        if on_error == "null":
            results.verdicts[record] = Verdict.FAILED
        elif on_error == "split" and not is_alone:
            halved.append(record)
        elif on_error == "individual" and not is_alone:
            alone.append(record)
        else:
            again.append(record)
    return _Shared(tuple(again), tuple(sorted(halved)), tuple(alone))


def together(carries: list[Carry], mode: Mode) -> list[Carry]:
    """All that is carried in one child, on a road on which nothing has to be kept apart but how it is cut."""
    made = []
    for cut in _CUTS:
        same = [carry for carry in carries if carry.cut == cut]
        records = sorted(record for carry in same for record in carry.records)
        if records:
            made.append(Carry(tuple(records), max(carry.retries for carry in same), mode, cut))
    return made


def requests_of(carry: Carry, packing: Packing) -> Iterator[tuple[int, list[int]]]:
    """The child's requests: (the request that their records shared, these records), in order."""
    for request, records in packing.grouped(carry.records):
        size = {"whole": len(records), "halves": (len(records) + 1) // 2, "singles": 1}[carry.cut]
        for first in range(0, len(records), size):
            yield request, records[first : first + size]


def reason(errors: Iterable[LineError], requests: int) -> Failure:
    """Why a batch of so many requests was refused as such. A line that it does not have is not named."""
    named = (_named(error) for error in errors)
    return failure([error if error.line in range(1, requests + 1) else replace(error, line=None) for error in named])


def refuse(results: ResultsWriter, manifest: Manifest, verdict: Failure) -> list[Carry]:
    """Decide on the records of a batch that was refused as such: nothing of it ran, so no retry is used.

    Named lines fail with the provider's word on them and the rest is carried; where none is named, the halves are
    carried, until one record is left: only that is known to be bad.
    """
    everyone, packing, retries = range(results.records), manifest.packing, manifest.retries
    if verdict.kind == "transient":
        return settle(results, manifest, Cause.LOST)
    if verdict.kind in ("queue full", "account"):
        return mark(results, [Carry(tuple(everyone), retries)], manifest)
    if verdict.kind == "unnamed" and packing.requests > 1:
        half = packing.of(packing.requests // 2).start
        halves = (tuple(everyone[:half]), tuple(everyone[half:]))
        return mark(results, [Carry(part, retries) for part in halves], manifest)
    if verdict.kind == "unnamed" and results.records > 1:
        return mark(results, [Carry(tuple(everyone), retries, cut="halves")], manifest)
    if verdict.kind == "lines":
        return _set_aside(results, manifest, verdict)
    for record in everyone:
        results.fail(record, Cause.REJECTED, verdict.message)
    return []


def _set_aside(results: ResultsWriter, manifest: Manifest, verdict: Failure) -> list[Carry]:
    """Fail the one record of a named line; several are halved, apart from the rest, until one of them is named."""
    packing, halved = manifest.packing, bytearray(results.records)
    for error in verdict.lines:
        if error.line is None:
            continue
        records = packing.of(error.line - 1)
        if len(records) == 1:
            results.fail(records.start, Cause.INVALID_LINE, f"{error.code or 'error'}: {error.message}")
        for record in records if len(records) > 1 else ():
            halved[record] = 1
    left = results.having(Verdict.MISSING)
    rest, bad = tuple(n for n in left if not halved[n]), tuple(n for n in left if halved[n])
    carries = [Carry(rest, manifest.retries)] if rest else []
    return mark(results, [*carries, Carry(bad, manifest.retries, cut="halves")] if bad else carries, manifest)


def give_up(results: ResultsWriter, message: str) -> list[Carry]:
    """Fail every record of a batch that is not sent any more."""
    for record in range(results.records):
        results.fail(record, Cause.GIVEN_UP, message)
    return []


def mark(results: ResultsWriter, carries: list[Carry], manifest: Manifest) -> list[Carry]:
    """Mark carried records as such; where a child's ids would outgrow what providers take, they fail instead."""
    letters = len(f"{manifest.batch_key}a-{results.records}")
    for carry in carries:
        for record in carry.records:
            if letters <= _LONGEST_CUSTOM_ID:
                results.verdicts[record] = Verdict.CARRIED
            else:
                results.fail(record, Cause.PROVIDER_ERROR, "it was carried to another batch too many times")
    return carries if letters <= _LONGEST_CUSTOM_ID else []


def child_runs(manifest: Manifest, records: Iterable[int]) -> tuple[tuple[int, Fate], ...]:
    """The fates of the range's rows in the child that takes these records; all other rows are elsewhere.

    Whoever asks the same as a record goes with it.
    """
    taken = bytearray(manifest.packing.records)
    for record in records:
        taken[record] = 1
    rows: list[tuple[int, Fate]] = []
    ordinal = echo = 0
    for count, fate in manifest.runs:
        if fate == "echo":
            follows = (taken[record] for record in manifest.echoes[echo : echo + count])
            rows += [(len(list(group)), "echo" if flag else "elsewhere") for flag, group in groupby(follows)]
            echo += count
            continue
        if fate != "request":
            rows.append((count, "elsewhere"))
            continue
        flags = taken[ordinal : ordinal + count]
        rows += [(len(list(group)), "request" if flag else "elsewhere") for flag, group in groupby(flags)]
        ordinal += count
    merged = groupby(rows, key=lambda run: run[1])
    return tuple((sum(count for count, _ in group), fate) for fate, group in merged)


def child_echoes(manifest: Manifest, records: Iterable[int]) -> tuple[int, ...]:
    """The echoes of the records that a child takes, by its own count of these."""
    numbers = {record: number for number, record in enumerate(records)} if manifest.echoes else {}
    return tuple(numbers[record] for record in manifest.echoes if record in numbers)


def _may_retry(manifest: Manifest) -> bool:
    return manifest.retries < manifest.definition.batch.max_retries


def _named(error: LineError) -> LineError:
    named = _NAMED.search(error.message) if error.line is None else None
    return LineError(error.code, int(named[1]) + 1, error.message) if named else error


_WORDS = {
    Cause.MISSING: "the provider gave no result for it, at any attempt",
    Cause.LOST: "the provider no longer knows the batch",
}
