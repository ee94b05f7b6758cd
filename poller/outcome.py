"""What becomes of each request of a batch that has ended: answered, failed, or carried to a child. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from poller.results import ResultsWriter, Verdict
from poller.verdict import Failure, failure
from shared.causes import Cause
from shared.definition import Mode
from shared.manifest import Fate, Manifest
from shared.providers.port import LineError

_NAMED = re.compile(r"\brequests(?:\.|\[)(\d+)")
"""How Anthropic names a request in the message of a refused create: `requests.3.custom_id: …`, from 0."""
_LONGEST_CUSTOM_ID = 64


@dataclass(frozen=True)
class Carry:
    """Requests that go to one child, how many retries it has used then, and its road."""

    requests: tuple[int, ...]
    retries: int
    mode: Mode = "batch"


def settle(
    results: ResultsWriter, manifest: Manifest, missing: Cause = Cause.MISSING, *, harvested: bool = False
) -> list[Carry]:
    """Decide on every request that is neither answered nor failed: carry it, or fail it when no retry is left.

    An account's fault uses no retry, nor does a batch that was ended by ourselves (`harvested`). Each request is
    ANSWERED, FAILED or CARRIED afterwards.
    """
    verdicts = results.verdicts
    again = [n for n, verdict in enumerate(verdicts) if verdict in (Verdict.MISSING, Verdict.RETRY)]
    account = tuple(n for n, verdict in enumerate(verdicts) if verdict == Verdict.ACCOUNT)
    carries = [Carry(account, manifest.retries)] if account else []
    if again and harvested:
        carries.append(Carry(tuple(again), manifest.retries))
    elif again and _may_retry(manifest):
        carries.append(Carry(tuple(again), manifest.retries + 1))
    else:
        for request in again:
            if verdicts[request] == Verdict.RETRY:
                verdicts[request] = Verdict.FAILED
            else:
                results.fail(request, missing, _WORDS[missing])
    return mark(results, carries, manifest)


def settle_asked(results: ResultsWriter, manifest: Manifest) -> list[Carry]:
    """Decide on the requests of a batch that was asked record by record.

    What failed there is asked again while a retry is left. What was not asked, for want of money, goes into a batch.
    """
    verdicts = results.verdicts
    left = tuple(n for n, verdict in enumerate(verdicts) if verdict == Verdict.MISSING)
    again = tuple(n for n, verdict in enumerate(verdicts) if verdict in (Verdict.RETRY, Verdict.ACCOUNT))
    carries = [Carry(left, manifest.retries, manifest.definition.batch.mode)] if left else []
    if again and _may_retry(manifest):
        carries.append(Carry(again, manifest.retries + 1, "sync"))
    else:
        for request in again:
            verdicts[request] = Verdict.FAILED
    return mark(results, carries, manifest)


def together(carries: list[Carry], mode: Mode) -> list[Carry]:
    """All that is carried in one child, on a road on which nothing has to be kept apart."""
    requests = sorted(request for carry in carries for request in carry.requests)
    return [Carry(tuple(requests), max(carry.retries for carry in carries), mode)] if requests else []


def reason(errors: Iterable[LineError], requests: int) -> Failure:
    """Why a batch of so many requests was refused as such. A line that it does not have is not named."""
    named = (_named(error) for error in errors)
    return failure([error if error.line in range(1, requests + 1) else replace(error, line=None) for error in named])


def refuse(results: ResultsWriter, manifest: Manifest, verdict: Failure) -> list[Carry]:
    """Decide on the requests of a batch that was refused as such: nothing of it ran, so no retry is used.

    Named lines fail with the provider's word on them and the rest is carried; where none is named, the halves are
    carried, until one request is left: only that is known to be bad.
    """
    everyone = range(results.requests)
    if verdict.kind == "transient":
        return settle(results, manifest, Cause.LOST)
    if verdict.kind in ("queue full", "account"):
        return mark(results, [Carry(tuple(everyone), manifest.retries)], manifest)
    if verdict.kind == "unnamed" and results.requests > 1:
        half = results.requests // 2
        halves = (tuple(everyone[:half]), tuple(everyone[half:]))
        return mark(results, [Carry(part, manifest.retries) for part in halves], manifest)
    if verdict.kind == "lines":
        for error in verdict.lines:
            if error.line is not None:
                results.fail(error.line - 1, Cause.INVALID_LINE, f"{error.code or 'error'}: {error.message}")
        rest = tuple(n for n in everyone if results.verdicts[n] == Verdict.MISSING)
        return mark(results, [Carry(rest, manifest.retries)] if rest else [], manifest)
    for request in everyone:
        results.fail(request, Cause.REJECTED, verdict.message)
    return []


def give_up(results: ResultsWriter, message: str) -> list[Carry]:
    """Fail every request of a batch that is not sent any more."""
    for request in range(results.requests):
        results.fail(request, Cause.GIVEN_UP, message)
    return []


def mark(results: ResultsWriter, carries: list[Carry], manifest: Manifest) -> list[Carry]:
    """Mark carried requests as such; where a child's ids would outgrow what providers take, they fail instead."""
    letters = len(f"{manifest.batch_key}a-{results.requests}")
    for carry in carries:
        for request in carry.requests:
            if letters <= _LONGEST_CUSTOM_ID:
                results.verdicts[request] = Verdict.CARRIED
            else:
                results.fail(request, Cause.PROVIDER_ERROR, "it was carried to another batch too many times")
    return carries if letters <= _LONGEST_CUSTOM_ID else []


def child_runs(manifest: Manifest, requests: Iterable[int]) -> tuple[tuple[int, Fate], ...]:
    """The fates of the range's rows in the child that takes these requests; all other rows are elsewhere."""
    taken = bytearray(manifest.requests)
    for request in requests:
        taken[request] = 1
    rows: list[tuple[int, Fate]] = []
    ordinal = 0
    for count, fate in manifest.runs:
        if fate != "request":
            rows.append((count, "elsewhere"))
            continue
        flags = (taken[n // manifest.pack] for n in range(ordinal, ordinal + count))
        rows += [(len(list(group)), "request" if flag else "elsewhere") for flag, group in groupby(flags)]
        ordinal += count
    merged = groupby(rows, key=lambda run: run[1])
    return tuple((sum(count for count, _ in group), fate) for fate, group in merged)


def records_in(runs: Iterable[tuple[int, Fate]]) -> int:
    """The rows that are packed into requests."""
    return sum(count for count, fate in runs if fate == "request")


def _may_retry(manifest: Manifest) -> bool:
    return manifest.retries < manifest.definition.batch.max_retries


def _named(error: LineError) -> LineError:
    named = _NAMED.search(error.message) if error.line is None else None
    return LineError(error.code, int(named[1]) + 1, error.message) if named else error


_WORDS = {
    Cause.MISSING: "the provider gave no result for it, at any attempt",
    Cause.LOST: "the provider no longer knows the batch",
}
