"""Executes a batch: reads its requests in a seeded random order and writes its result files and its bill.

It runs in a worker process; memory holds the offsets of the lines, never the lines themselves.
"""

import hashlib
import mmap
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

import orjson

from deploy.sandbox.provider.answers import WORDLESS, Answer, answer, prompt_hash, spoilt, wordless
from deploy.sandbox.provider.asks import Ask
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.lines import AnthropicLines, Lines, OpenAILines, Request
from deploy.sandbox.provider.shapes import choices

NO_CREDIT = "You exceeded your current quota, please check your plan and billing details."


@dataclass(frozen=True, slots=True)
class Work:
    """A batch to execute: `done` of its `total` requests, the rest end as `ending` says.

    `line_faults` are the LINE faults the batch drew; from request `credit_after` (in order of execution) there is no
    credit; `all_failed` fails every one.
    """

    provider: str
    batch_id: str
    endpoint: str
    created: int
    input_path: str
    output_path: str
    error_path: str
    billed_path: str
    seed: int
    done: int
    ending: str
    line_faults: dict[str, dict[str, Any]]
    credit_after: int | None = None
    all_failed: bool = False


@dataclass(slots=True)
class Outcome:
    """What became of a batch's requests; the counts add up to its size, lost lines included as succeeded."""

    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    billed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    output_bytes: int = 0
    error_bytes: int = 0
    files: dict[str, str] = field(default_factory=dict)


def body_hash(body: dict[str, Any]) -> str:
    """Return the SHA-256 of a request body as canonical JSON (sorted keys), by which the witness knows it."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


class LineFaults:
    """Which fault strikes which request of this batch (the first that was set wins)."""

    def __init__(self, work: Work, order: list[int]) -> None:
        self._chosen: dict[int, tuple[str, dict[str, Any]]] = {}
        self._containing: list[tuple[bytes, str, dict[str, Any]]] = []
        for name, options in work.line_faults.items():
            if options["contains"] is not None:
                self._containing.append((str(options["contains"]).encode(), name, options))
            elif name != "lines_unknown":
                for index in _choice(work, name, options, order):
                    self._chosen.setdefault(index, (name, options))

    def of(self, index: int, raw: bytes) -> tuple[str, dict[str, Any]]:
        if index in self._chosen:
            return self._chosen[index]
        for needle, name, options in self._containing:
            if needle in raw:
                return name, options
        return "", {}


def _choice(work: Work, name: str, options: dict[str, Any], order: list[int]) -> list[int]:
    if options["numbers"] is not None:
        return [int(number) - 1 for number in options["numbers"]]
    rng = Random(f"{work.seed}:{work.batch_id}:{name}")
    if options["share"] is not None:
        return [index for index in order if rng.random() < options["share"]]
    return rng.sample(order, min(int(options["lines"]), len(order)))


class Execution:
    """The open files of one batch, and what was counted so far."""

    def __init__(self, work: Work, lines: Lines, output: BinaryIO, error: BinaryIO, billed: BinaryIO) -> None:
        self._work = work
        self._lines = lines
        self._output = output
        self._error = error if work.provider == "openai" else output
        self._billed = billed
        self._embeds = work.endpoint in WORDLESS
        self._again: list[bytes] = []
        self.outcome = Outcome()

    def unfinished(self, request: Request) -> None:
        line = self._lines.unfinished(request, self._work.ending)
        if line is not None:
            _put(self._error, line)
        if self._work.ending == "cancelled":
            self.outcome.cancelled += 1
        else:
            self.outcome.expired += 1

    def execute(self, request: Request, place: int, fault: str, options: dict[str, Any]) -> None:
        error = self._account_fault(place) or _line_error(fault, options)
        if error is not None:
            self._fail(request, error, options)
            return
        try:
            ask = self._lines.ask(request)
            told = wordless(self._work.endpoint, ask) if self._embeds else spoilt(answer(ask), fault, options)
        except ProviderError as invalid:
            self._fail(request, invalid, {})
            return
        self._succeed(request, ask, told, (fault, options))

    def finish(self) -> None:
        """Write the second copies and the results that nobody asked for."""
        for line in self._again:
            _put(self._output, line)
        unknown = self._work.line_faults.get("lines_unknown")
        for number in range(int(unknown["lines"]) if unknown else 0):
            stranger = Request(f"unknown-{number}", {}, f"unknown{number}")
            ask = Ask("unknown", "nobody asked", "", 0)
            _put(
                self._output,
                self._lines.failed(stranger, ProviderError(500, "unknown"))
                if self._embeds
                else self._lines.succeeded(stranger, ask, answer(ask)),
            )

    def _account_fault(self, place: int) -> ProviderError | None:
        credit_after = self._work.credit_after
        if credit_after is None or place < credit_after:
            return ProviderError(500, "The server had an error.") if self._work.all_failed else None
        if self._work.provider == "openai":
            return ProviderError(429, NO_CREDIT, code="insufficient_quota", type="insufficient_quota")
        message = "Your credit balance is too low to access the Anthropic API. "
        return ProviderError(402, message + "Please go to Plans & Billing to upgrade or purchase credits.")

    def _fail(self, request: Request, error: ProviderError, options: dict[str, Any]) -> None:
        into_output = options.get("file") == "output"
        _put(self._output if into_output else self._error, self._lines.failed(request, error))
        self.outcome.failed += 1

    def _succeed(self, request: Request, ask: Ask, told: Answer, spoiling: tuple[str, dict[str, Any]]) -> None:
        fault, options = spoiling
        self.outcome.succeeded += 1
        if fault == "lines_missing":
            return
        line = self._lines.succeeded(request, ask, told)
        if fault == "line_malformed":
            line = line[: len(line) // 2]
        _put(self._output, line)
        if fault == "lines_duplicated":
            other = replace(ask, prompt=f"{ask.prompt} awful, horrible") if options["another"] else ask
            self._again.append(self._lines.succeeded(request, ask, answer(other)) if not self._embeds else line)
        self._bill(request, ask, told)

    def _bill(self, request: Request, ask: Ask, told: Answer) -> None:
        copies = choices(ask, told) if self._work.endpoint == "/v1/chat/completions" else 1
        self.outcome.billed += 1
        self.outcome.input_tokens += told.input_tokens
        self.outcome.output_tokens += told.output_tokens * copies
        entry = {
            "custom_id": request.custom_id,
            "body": body_hash(request.body),
            "prompt": prompt_hash(ask.prompt),
            "input_tokens": told.input_tokens,
            "output_tokens": told.output_tokens * copies,
        }
        _put(self._billed, orjson.dumps(entry))


def _line_error(fault: str, options: dict[str, Any]) -> ProviderError | None:
    if fault == "line_errored":
        return ProviderError(options["status"], options["message"], code=options["code"], type=options["type"])
    if fault == "error_in_body":
        return ProviderError(
            options["status"], "Invalid value for a parameter.", code="invalid_value", param="messages"
        )
    if fault == "status_code_zero":
        return ProviderError(0, "")
    return None


def _put(file: BinaryIO, line: bytes) -> None:
    file.write(line)
    file.write(b"\n")


def _offsets(file: mmap.mmap) -> "array[int]":
    """Return begin and end of each line that isn't blank, flat."""
    found = array("Q")
    begin = 0
    while begin < len(file):
        end = file.find(b"\n", begin)
        end = len(file) if end < 0 else end
        if file[begin:end].strip():
            found.extend((begin, end))
        begin = end + 1
    return found


def _requests(work: Work, lines: Lines, mapped: mmap.mmap) -> Iterator[tuple[int, Request, str, dict[str, Any]]]:
    """Yield (place in the order of execution, request, its fault, the fault's options)."""
    offsets = _offsets(mapped)
    order = list(range(len(offsets) // 2))
    Random(f"{work.seed}:{work.batch_id}").shuffle(order)
    faults = LineFaults(work, order[: work.done])
    suffix = work.batch_id[-12:]
    for place, index in enumerate(order):
        raw = mapped[offsets[2 * index] : offsets[2 * index + 1]]
        yield place, lines.parse(raw, f"{suffix}{index:06d}"), *faults.of(index, raw)


def process(work: Work) -> Outcome:
    """Execute a batch and return its outcome; deterministic for a seed, a batch id and an input file."""
    lines: Lines = AnthropicLines() if work.provider == "anthropic" else OpenAILines(work.endpoint, work.created)
    paths = {"output": work.output_path, "error": work.error_path, "billed": work.billed_path}
    with ExitStack() as stack:
        files = {name: stack.enter_context(Path(path).open("wb", 1 << 18)) for name, path in paths.items()}
        source = stack.enter_context(Path(work.input_path).open("rb"))
        mapped = stack.enter_context(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ))
        execution = Execution(work, lines, files["output"], files["error"], files["billed"])
        for place, request, fault, options in _requests(work, lines, mapped):
            if place < work.done:
                execution.execute(request, place, fault, options)
            else:
                execution.unfinished(request)
        execution.finish()
        outcome = execution.outcome
        outcome.output_bytes, outcome.error_bytes = files["output"].tell(), files["error"].tell()
    outcome.files = paths
    return outcome
