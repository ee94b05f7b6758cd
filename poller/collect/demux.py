r"""One scan of a batch's results: each line is judged by itself, all are checked as a set against the requests. Pure.

Lines end at b"\n" and nowhere else: U+2028 and its kin stand inside JSON. The first line of a request wins.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import orjson

from poller.collect.entries import Unreadable
from poller.collect.results import ResultsWriter, Verdict, failure
from poller.collect.unpacking import NOTHING_ODD, Alone, OddEntries, Unpack, is_json
from shared.causes import Cause
from shared.keys import parse_custom_id
from shared.packing import Packing
from shared.providers.port import UNCACHED, Answer, Cached

LONGEST_LINE = 16 << 20
"""Bytes; a longer line is malformed, so that no file can fill the memory."""

_CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"([A-Za-z0-9_-]{1,64})"')
"""As a line's own key: within an answer's text the quotes are escaped."""
_RAW = 1000
"""Bytes of a malformed line that are kept."""
_VERDICTS = {
    "succeeded": Verdict.ANSWERED,
    "failed": Verdict.FAILED,
    "retryable": Verdict.RETRY,
    "account": Verdict.ACCOUNT,
}
_SHARED: dict[str, Verdict] = {
    Cause.REJECTED: Verdict.REFUSED,
    Cause.REFUSAL: Verdict.UNREAD,
    Cause.CONTENT_FILTER: Verdict.UNREAD,
}
"""Failures of a request that may be the fault of one of its records."""


@dataclass
class Scan:
    """What a scan counted."""

    own: int = 0
    """Lines of this batch's requests, each request once."""
    odd: OddEntries = NOTHING_ODD
    """Of answers for several records."""
    duplicates: int = 0
    unknown: int = 0
    """Lines with an id that this batch has not given out."""
    foreign: int = 0
    """Of those, lines that belong to another batch of ours."""
    malformed: int = 0
    spoilt: dict[int, bytes] = field(default_factory=dict)
    """Of the malformed lines, the beginnings of those that still say whose they are, by request."""
    billed: int = 0
    """Of the batch's own lines, those that tell what they used."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached: Cached = UNCACHED
    account_fault: str | None = None
    """What the provider said of the account, the first time."""


def lines_of(file: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """The lines of a file with their ends; in the place of one that is too long stands a malformed one."""
    while line := file.readline(longest):
        if len(line) == longest and not line.endswith(b"\n"):
            while (rest := file.readline(longest)) and not rest.endswith(b"\n"):
                pass
            line = b"too long\n"
        yield line


def scan(
    lines: Iterable[bytes],
    batch_key: str,
    judge: Callable[[bytes], Answer | None],
    results: ResultsWriter,
    packing: Packing | None = None,
    unpack: Unpack | None = None,
) -> Scan:
    """Judge every line and keep the answers of this batch's records. A blank last line counts for nothing.

    Without `packing` each request holds one record, without `unpack` an answer is kept as it is.
    """
    counts = Scan()
    prefix = f"{batch_key}-"
    packing = packing or Packing(results.records)
    requests, seen = packing.requests, bytearray(packing.requests)
    put, usage, is_alone, answered = results.put, results.usage, isinstance(unpack, Alone), Verdict.ANSWERED
    billed = used = made = 0
    for line in lines:
        answer = judge(line)
        if answer is None:
            _spoil(counts, line, prefix, requests)
            continue
        request = _number(answer.custom_id, prefix)
        if not 0 <= request < requests:
            counts.unknown += 1
            counts.foreign += _is_foreign(answer.custom_id, batch_key)
            continue
        if seen[request]:
            counts.duplicates += 1
            continue
        seen[request] = 1
        billed += answer.input_tokens > 0
        used += answer.input_tokens
        made += answer.output_tokens
        if answer.cached is not UNCACHED:
            counts.cached = Cached(*map(sum, zip(counts.cached, answer.cached, strict=True)))
        if answer.status == "account" and counts.account_fault is None:
            counts.account_fault = answer.message or answer.cause
        text = answer.text
        if is_alone and text is not None and is_json(text):
            put(request, answered, text.encode("utf-8", "replace"))
        elif unpack is None:
            put(request, _VERDICTS[answer.status], _kept(answer))
        else:
            counts.odd = _unpacked(results, packing.of(request), answer, unpack, counts.odd)
        if usage is not None:
            usage.put(request, answer)
    counts.own, counts.billed, counts.input_tokens, counts.output_tokens = seen.count(1), billed, used, made
    return counts


def fail_spoilt(results: ResultsWriter, counts: Scan, packing: Packing | None = None) -> None:
    """Fail the records of requests whose only line can't be read. They may be billed: asking again would cost.

    To be called once nobody hopes any more that another download brings the line whole.
    """
    packing = packing or Packing(results.records)
    for request, line in counts.spoilt.items():
        records = packing.of(request)
        if results.verdicts[records.start] == Verdict.MISSING:
            raw = line.decode("utf-8", "replace")
            results.put_all(records, Verdict.FAILED, failure(Cause.MALFORMED, "its result can't be read", raw))


def _number(custom_id: str, prefix: str) -> int:
    """The request that an id is of, as it was given out; -1 for any other text."""
    try:
        number = int(custom_id[len(prefix) :])
    except ValueError:
        return -1
    # Nothing else that int() would take: no sign, no space, no other script's digits, no zero ahead.
    return number if number >= 0 and custom_id == f"{prefix}{number}" else -1


def _spoil(counts: Scan, line: bytes, prefix: str, requests: int) -> None:
    """Count a malformed line, and keep its beginning where it still says whose it is."""
    counts.malformed += line != b"\n"
    named = _CUSTOM_ID.search(line)
    request = _number(named[1].decode(), prefix) if named else -1
    if 0 <= request < requests:
        counts.spoilt[request] = line[:_RAW]


def _kept(answer: Answer) -> bytes:
    if answer.status == "succeeded":
        if answer.text is not None:
            return answer.text.encode("utf-8", "replace")
        return orjson.dumps(answer.embedding)
    return failure(answer.cause or Cause.PROVIDER_ERROR, answer.message or "", answer.raw)


def _unpacked(results: ResultsWriter, records: range, answer: Answer, unpack: Unpack, odd: OddEntries) -> OddEntries:
    """Keep what an answer says of each of its request's records; what can't be kept says why."""
    is_shared, is_good = len(records) > 1, answer.status == "succeeded"
    if not is_good and not (is_shared and answer.cause == Cause.TRUNCATED):
        verdict = _VERDICTS[answer.status]
        if is_shared and verdict is Verdict.FAILED:
            verdict = _SHARED.get(answer.cause or "", verdict)
        results.put_all(records, verdict, _kept(answer))
        return odd
    try:
        found = unpack(answer, len(records))
    except Unreadable as error:
        kept = failure(Cause.SCHEMA, f"the answer can't be read: {error}", answer.text) if is_good else _kept(answer)
        results.put_all(records, Verdict.UNREAD, kept)
        return odd.plus(unreadable=1)
    if any(found.oddities):
        odd = odd.plus(*found.oddities)
    missing: dict[str, list[int]] = {}
    for record, outcome in zip(records, found.answers, strict=True):
        if isinstance(outcome, bytes):
            results.put(record, Verdict.ANSWERED, outcome)
        else:
            missing.setdefault(outcome, []).append(record)
    for why, without in missing.items():
        # Where an answer was cut, so were its last records.
        verdict = Verdict.RETRY if is_good else Verdict.UNREAD
        results.put_all(without, verdict, failure(Cause.NOT_IN_ANSWER, why, answer.text) if is_good else _kept(answer))
    return odd


def _is_foreign(custom_id: str, batch_key: str) -> bool:
    parsed = parse_custom_id(custom_id)
    return parsed is not None and parsed.batch_key != batch_key
