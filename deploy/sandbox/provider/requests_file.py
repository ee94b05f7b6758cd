"""Reads request files: OpenAI's uploaded JSONL is validated as a whole, Anthropic's inline body is split to JSONL.

Both stream: no more than one request (and the set of custom_ids) is held. They run in the worker processes.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import orjson

from deploy.sandbox.provider.answers import enqueued_tokens, tokens
from deploy.sandbox.provider.bodies import embedding_inputs
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.limits import Limits

MAX_ERRORS = 20
CUSTOM_ID = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
CHUNK = 1 << 20


@dataclass(slots=True)
class Findings:
    """What validation found: `errors` are OpenAI's {code, line, message, param}; none means valid."""

    total: int = 0
    model: str | None = None
    input_tokens: int = 0
    embedding_inputs: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    def add(self, code: str, message: str, line: int | None = None, param: str | None = None) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append({"code": code, "line": line, "message": message, "param": param})


def _check_line(findings: Findings, raw: bytes, number: int, endpoint: str, seen: set[str]) -> None:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        line = None
    if not isinstance(line, dict):
        return findings.add("invalid_json_line", "This line is not parseable as valid JSON.", number)
    for name, kind in (("custom_id", str), ("body", dict)):
        if not isinstance(line.get(name), kind) or not line[name]:
            return findings.add("missing_required_parameter", f"Missing required parameter: '{name}'.", number, name)
    custom_id: str = line["custom_id"]
    if custom_id in seen:
        why = f"The custom_id '{custom_id}' for this request is a duplicate of another request. The custom_id "
        why += "parameter must be unique for each request in a batch."
        return findings.add("duplicate_custom_id", why, number, "custom_id")
    seen.add(custom_id)
    if line.get("method") != "POST" or line.get("url") != endpoint:
        why = f"The method and URL of this request are not POST and the batch endpoint {endpoint}."
        return findings.add("url_mismatch", why, number, "url")
    return _check_model(findings, line["body"], number, endpoint)


def _check_model(findings: Findings, body: dict[str, Any], number: int, endpoint: str) -> None:
    model = body.get("model")
    if not isinstance(model, str):
        return findings.add("missing_required_parameter", "Missing required parameter: 'model'.", number, "body.model")
    if model.startswith("no-such"):
        why = f"The provided model '{model}' is not supported by the Batch API."
        return findings.add("model_not_found", why, number, "body.model")
    if findings.model not in (None, model):
        why = f"The provided model '{model}' is not the same as the model '{findings.model}' of the previous requests."
        return findings.add("mismatched_model", why, number, "body.model")
    findings.model = model
    if endpoint == "/v1/embeddings":
        findings.embedding_inputs += embedding_inputs(body)
    findings.input_tokens += enqueued_tokens(endpoint, body)
    return None


def validate(path: str, endpoint: str, limits: Limits, bad_line: dict[str, Any] | None = None) -> Findings:
    """Validate an uploaded file as OpenAI does after the create; `bad_line` holds the options of that fault."""
    findings = Findings()
    seen: set[str] = set()
    with Path(path).open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            findings.total += 1
            _check_line(findings, raw, number, endpoint, seen)
            if bad_line is not None and _is_bad(bad_line, raw, number):
                named = number if bad_line["named"] else None
                findings.add(bad_line["code"], "A request of the batch is invalid.", named)
    if findings.total == 0:
        findings.add("empty_file", "The batch input file is empty. Please ensure it holds at least one request.")
    if findings.total > limits.openai_requests:
        why = f"The batch input file contains too many requests. The maximum is {limits.openai_requests}."
        findings.add("too_many_tasks", why)
    if findings.embedding_inputs > limits.openai_embedding_inputs:
        why = f"The batch contains {findings.embedding_inputs} embedding inputs. "
        findings.add("too_many_embedding_inputs", why + f"The maximum is {limits.openai_embedding_inputs}.")
    return findings


def _is_bad(options: dict[str, Any], raw: bytes, number: int) -> bool:
    if options["contains"] is not None:
        return str(options["contains"]).encode() in raw
    return number in (options["numbers"] or [1])


def split(body_path: str, out_path: str, limits: Limits) -> Findings:
    """Write the requests of a spooled create body as JSON lines; ProviderError(400) as Anthropic answers.

    Checked at once are the JSON, the count and the custom_ids; `params` is judged later, request by request.
    """
    findings = Findings()
    seen: set[str] = set()
    with Path(body_path).open(encoding="utf-8") as source, Path(out_path).open("wb") as out:
        try:
            for request in _requests(source):
                _check_request(request, findings.total, seen)
                findings.total += 1
                if findings.total > limits.anthropic_requests:
                    message = f"requests: List should have at most {limits.anthropic_requests} items after validation"
                    raise ProviderError(400, message)
                findings.input_tokens += _write(out, request)
        except UnicodeDecodeError as error:
            raise ProviderError(400, f"The request body is not valid UTF-8: {error}") from None
    if findings.total == 0:
        raise ProviderError(400, "requests: List should have at least 1 item after validation, not 0")
    return findings


def _check_request(request: Any, index: int, seen: set[str]) -> None:
    if not isinstance(request, dict):
        raise ProviderError(400, f"requests.{index}: Input should be a valid dictionary")
    unknown = next((key for key in request if key not in ("custom_id", "params")), None)
    if unknown is not None:
        raise ProviderError(400, f"requests.{index}.{unknown}: Extra inputs are not permitted")
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str) or not CUSTOM_ID.fullmatch(custom_id):
        message = f"requests.{index}.custom_id: String should match pattern '{CUSTOM_ID.pattern}'"
        raise ProviderError(400, message)
    if custom_id in seen:
        raise ProviderError(400, f"requests.{index}.custom_id: Duplicate custom_id {custom_id!r}")
    seen.add(custom_id)
    if not isinstance(request.get("params"), dict):
        raise ProviderError(400, f"requests.{index}.params: Field required")


def _write(out: BinaryIO, request: dict[str, Any]) -> int:
    try:
        raw = orjson.dumps(request)
    except TypeError:
        # A lone surrogate, which JSON can escape and UTF-8 can't hold.
        raise ProviderError(400, "The request body is not valid JSON: no low surrogate in string") from None
    out.write(raw)
    out.write(b"\n")
    return tokens(len(raw))


class _Reader:
    """A window over the text: values are decoded by the C scanner, and the window slides behind them."""

    def __init__(self, source: TextIO) -> None:
        self._source = source
        self._buffer = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def _more(self) -> bool:
        # Twice what is pending, so that one huge value isn't scanned again for every chunk.
        pending = self._buffer[self._at :]
        chunk = self._source.read(max(CHUNK, len(pending)))
        self._buffer, self._at = pending + chunk, 0
        return bool(chunk)

    def peek(self) -> str:
        """Return the next character that is no white space ('' at the end)."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise ProviderError(400, f"The request body is not valid JSON: expected {wanted!r}")
        self._at += 1

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                found, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise ProviderError(400, f"The request body is not valid JSON: {error.msg}") from None
                continue
            if end < len(self._buffer):
                self._at = end
                return found
            # A number at the window's end may go on beyond it.
            if not self._more():
                self._at = len(self._buffer)
                return found


def _requests(source: TextIO) -> Iterator[Any]:
    """Yield the elements of the top-level object's `requests`, one at a time."""
    reader = _Reader(source)
    reader.take("{")
    found = False
    while reader.peek() != "}":
        key = reader.value()
        reader.take(":")
        if key == "requests":
            found = True
            yield from _elements(reader)
        else:
            raise ProviderError(400, f"{key}: Extra inputs are not permitted")
        if reader.peek() != "}":
            reader.take(",")
    if not found:
        raise ProviderError(400, "requests: Field required")


def _elements(reader: _Reader) -> Iterator[Any]:
    if reader.peek() != "[":
        raise ProviderError(400, "requests: Input should be a valid list")
    reader.take("[")
    while reader.peek() != "]":
        yield reader.value()
        if reader.peek() != "]":
            reader.take(",")
            if reader.peek() == "]":
                raise ProviderError(400, "The request body is not valid JSON: a trailing comma")
    reader.take("]")
