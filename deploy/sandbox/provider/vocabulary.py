"""The closed vocabulary of faults: for each its row in the table of known provider faults, what it does, its options.

Occasions: CALL any HTTP call · UPLOAD a file upload · CREATE a batch create · LINE single requests (chosen in each
batch that draws the fault; or a synchronous call) · DOWNLOAD a read of results.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

FOREVER = 10**9


class Occasion(StrEnum):
    CALL = "call"
    UPLOAD = "upload"
    CREATE = "create"
    LINE = "line"
    DOWNLOAD = "download"


# How a fault at LINE chooses the requests of a batch: the first of these options that is set.
CHOICE: dict[str, Any] = {"numbers": None, "contains": None, "share": None, "lines": 1}


@dataclass(frozen=True, slots=True)
class Fault:
    """One known fault: `options` are the names it understands, with their defaults."""

    name: str
    row: int
    occasion: Occasion
    meaning: str
    options: dict[str, Any] = field(default_factory=dict)


def _call(name: str, row: int, meaning: str, **options: Any) -> Fault:
    return Fault(name, row, Occasion.CALL, meaning, options)


def _upload(name: str, row: int, meaning: str, **options: Any) -> Fault:
    return Fault(name, row, Occasion.UPLOAD, meaning, options)


def _create(name: str, row: int, meaning: str, **options: Any) -> Fault:
    return Fault(name, row, Occasion.CREATE, meaning, options)


def _line(name: str, row: int, meaning: str, **options: Any) -> Fault:
    return Fault(name, row, Occasion.LINE, meaning, CHOICE | options)


def _download(name: str, row: int, meaning: str, **options: Any) -> Fault:
    return Fault(name, row, Occasion.DOWNLOAD, meaning, options)


_FAULTS = (
    _create(
        "create_accepted_response_lost",
        1,
        "The batch exists; the client gets a reset after `hang` seconds, or HTTP `status` when one is given.",
        status=None,
        hang=0.0,
    ),
    _create(
        "create_applied_after_disconnect",
        1,
        "The client gets a reset at once; the batch comes into being `delay` seconds later (not if its file is gone).",
        delay=1.0,
    ),
    _create("list_lag", 1, "A new batch is hidden from lists for `seconds`; retrieve finds it.", seconds=2.0),
    _create(
        "retrieve_404_after_create",
        2,
        "retrieve (Anthropic: delete too) answers 404 for `seconds` after the create.",
        seconds=2.0,
    ),
    _create("results_404_after_end", 2, "The results answer 404 for `seconds` after the end.", seconds=2.0),
    _upload(
        "input_file_not_found_after_upload",
        3,
        "A create (or retrieve) that names the file answers 404 for `seconds` after its upload.",
        seconds=2.0,
    ),
    _create(
        "output_file_delayed",
        3,
        "`completed`, and output_file_id is null (or, `listed`, its content 404) for `seconds`.",
        seconds=2.0,
        listed=False,
    ),
    _create(
        "token_limit_exceeded",
        4,
        "Validation fails with code token_limit_exceeded and a message that tells `limit`.",
        limit=2_000_000,
    ),
    _create(
        "bad_line_fails_batch",
        5,
        "Validation fails for `numbers` (1-based), or the lines that contain `contains`, else for line 1; "
        "with `named` false the error names no line.",
        numbers=None,
        contains=None,
        named=True,
        code="invalid_request",
    ),
    _create(
        "completed_without_output_file",
        6,
        "`completed`, output_file_id null; error_file is `empty` (its id is '', nothing was done or billed), "
        "or `all_failed` (every request is in the error file).",
        error_file="empty",
    ),
    _create("error_file_id_empty", 6, "error_file_id is an empty string instead of null."),
    _line(
        "line_errored",
        7,
        "The request fails: in the error file at OpenAI, `errored` at Anthropic.",
        status=500,
        code=None,
        type=None,
        message="The server had an error while processing your request. Sorry about that!",
    ),
    _line(
        "error_in_body",
        7,
        "OpenAI: a 4xx stands in response.body, `error` is null, in the `file` named.",
        status=400,
        file="output",
    ),
    _line(
        "status_code_zero", 7, "OpenAI: response.status_code is 0, the body empty, in the `file` named.", file="error"
    ),
    _create("request_counts_wrong", 7, "request_counts say that every request failed."),
    _line("lines_missing", 8, "The request is in no file."),
    _line("lines_duplicated", 8, "The request comes twice, later again with `another` answer.", another=True),
    _line("lines_unknown", 8, "As many results (`lines`) with custom_ids that nobody sent."),
    _line("line_malformed", 8, "The result's line breaks off in its middle."),
    _create("expire_partially", 9, "The batch expires with `done` of its requests finished.", done=0.5),
    _create("cancel_partially", 9, "A cancel finds `done` of the requests finished.", done=0.5),
    _create("cancel_by_provider", 9, "The provider cancels the batch itself, `done` of it finished.", done=0.5),
    _create("stuck_validating", 10, "The batch stays in validating for `seconds`.", seconds=FOREVER),
    _create("stuck_in_progress", 10, "All requests are counted as done; in_progress for `seconds`.", seconds=FOREVER),
    _create("stuck_finalizing", 10, "The batch stays in finalizing for `seconds`.", seconds=FOREVER),
    _create(
        "unknown_status", 10, "The status reads `status` for `seconds` after the create.", status="paused", seconds=2.0
    ),
    _create("credit_exhausted_mid_batch", 11, "After `done` of the requests all fail for want of credit.", done=0.5),
    _call("spend_cap_429", 11, "429 insufficient_quota without Retry-After."),
    _upload("file_quota_full", 11, "The upload is refused: the organisation's storage is full."),
    _call("bad_key", 11, "401: the key is no longer valid; `said` back masked, whole, or encoded.", said="masked"),
    _call("http_429_retry_after", 12, "429 with Retry-After (none when null).", retry_after=1),
    _call("http_5xx", 12, "`status` instead of the answer; nothing was done.", status=500, retry_after=None),
    _download(
        "download_cut",
        13,
        "The download ends after `share` of its bytes, `at` inside_line or line_end: with a reset, or (`silent`) "
        "as if it were whole.",
        share=0.5,
        at="inside_line",
        silent=False,
    ),
    _line("unicode_separators", 14, "U+2028, U+2029 and U+0085 stand unescaped in the answer's text."),
    _call(
        "poisoned_batch",
        15,
        "An answer about the batch is no JSON (use `resource` to name one).",
        body="<html>upstream</html>",
    ),
    _download("results_deleted", 17, "The results are no longer kept: 404."),
    _line("refusal", 20, "The model refuses."),
    _line("cut_at_max_tokens", 20, "The answer is cut at max_tokens."),
    _line(
        "schema_broken", 20, "The answer is no JSON (`how` not_json) or has wrong types (wrong_type).", how="not_json"
    ),
    _line(
        "packed_spoilt",
        20,
        "An answer for several records is shuffled, dropped, duplicated, contradicted, unknown, from_zero, wrong_type, "
        "fenced, prefaced, trailing_comma, broken or cut (`how`).",
        how="shuffled",
    ),
    _line("several_output_items", 20, "The answer comes in several output items or content blocks."),
    _call(
        "list_does_not_page",
        24,
        "A page of a list is the first one again (`how` repeats), or empty (empty); each says that more is to come.",
        how="repeats",
    ),
    _call("list_oldest_first", 24, "OpenAI: a list of batches begins with the oldest."),
    _call("known_batch_404", 25, "A call about a batch that is there answers 404."),
    _line("answer_after_fragment", 26, "Responses: the first output item is a fragment, the second the whole answer."),
    _call("input_file_denied", 27, "A create: 400 without a code, its file can't be found, or accessed."),
    _call("slow_response", 12, "The answer comes `seconds` late.", seconds=1.0),
    _call(
        "sync_answer_lost",
        1,
        "A synchronous call is answered and billed; the client gets a reset after `hang` seconds.",
        hang=0.0,
    ),
)

VOCABULARY: dict[str, Fault] = {fault.name: fault for fault in _FAULTS}
