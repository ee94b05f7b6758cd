"""Kinds of faults of the provider: in calls, creates and results. Pure: they draw steps, and excuses where one ends."""

from collections.abc import Mapping
from typing import Any

from tests.chaos.draft import HOUR, Draft
from tests.chaos.steps import Excuse

# Calls.


def times(draft: Draft, most: int = 3) -> int:
    return draft.random.randint(1, most)


def endpoint(draft: Draft, *, reads: bool = False) -> str:
    """A glob over the provider's calls; `reads` leaves out those that create something."""
    calls = {
        "openai": ("batches.list", "batches.retrieve", "files.content", "files.retrieve", "files.delete"),
        "anthropic": ("batches.list", "batches.retrieve", "batches.results"),
    }[draft.provider]
    creating = {"openai": ("batches.create", "files.create"), "anthropic": ("batches.create",)}[draft.provider]
    chosen = draft.random.choice(calls if reads else (*calls, *creating, *creating))
    return f"{draft.provider}.{chosen}"


def throttled(draft: Draft) -> None:
    wait = draft.random.choice((None, 0, 1, 1, 2, HOUR))
    draft.fault("http_429_retry_after", endpoint=endpoint(draft), times=times(draft, 4), retry_after=wait)


def broken(draft: Draft) -> None:
    status = draft.random.choice((500, 502, 503, 504, 529 if draft.provider == "anthropic" else 520))
    draft.fault("http_5xx", endpoint=endpoint(draft), times=times(draft, 4), status=status)


def slow(draft: Draft) -> None:
    """A create that is looked at late is hidden until then, and applied when its client has gone."""
    if draft.random.random() < 0.5:
        seconds = draft.hide(0.3)
        if seconds:
            draft.fault("slow_response", endpoint=f"{draft.provider}.batches.create", times=1, seconds=seconds)
        return
    seconds = round(draft.random.uniform(0.1, 0.9), 2)
    draft.fault("slow_response", endpoint=endpoint(draft, reads=True), times=times(draft), seconds=seconds)


def account(draft: Draft) -> None:
    names = ["bad_key", "spend_cap_429", *(["file_quota_full"] if draft.provider == "openai" else [])]
    name = draft.random.choice(names)
    where = {} if name == "file_quota_full" else {"endpoint": endpoint(draft)}
    draft.fault(name, times=times(draft, 2), **where)


def poisoned(draft: Draft) -> None:
    draft.fault("poisoned_batch", times=times(draft))


# Creates.


def response_lost(draft: Draft) -> None:
    status = draft.random.choice((None, None, 408, 409, 500, 504))
    hang = draft.random.choice((0.0, 0.0, 0.3, 1.0))
    draft.fault("create_accepted_response_lost", times=times(draft, 2), status=status, hang=hang)


def applied_late(draft: Draft) -> None:
    delay = draft.hide(0.1)
    if delay:
        draft.fault("create_applied_after_disconnect", times=1, delay=delay)


def list_lag(draft: Draft) -> None:
    seconds = draft.hide(0.2)
    if seconds:
        draft.fault("list_lag", times=times(draft), seconds=seconds)


def flaps(draft: Draft) -> None:
    names = ["retrieve_404_after_create", "results_404_after_end"]
    names += ["input_file_not_found_after_upload"] if draft.provider == "openai" else []
    seconds = round(draft.random.uniform(0.2, 1.2), 2)
    draft.fault(draft.random.choice(names), times=times(draft), seconds=seconds)


def output_late(draft: Draft) -> None:
    listed, seconds = draft.random.random() < 0.5, round(draft.random.uniform(0.2, 0.8), 2)
    draft.fault("output_file_delayed", times=times(draft), listed=listed, seconds=seconds)


def status(draft: Draft) -> None:
    seconds = round(draft.random.uniform(0.2, 1.0), 2)
    names = ["stuck_in_progress", "stuck_finalizing", "unknown_status"]
    names += ["stuck_validating"] if draft.provider == "openai" else []
    draft.fault(draft.random.choice(names), times=times(draft), seconds=seconds)


def token_limit(draft: Draft) -> None:
    if draft.provider == "openai":
        draft.fault("token_limit_exceeded", times=times(draft, 2), limit=draft.random.choice((90_000, 2_000_000)))


def credit(draft: Draft) -> None:
    draft.fault("credit_exhausted_mid_batch", times=1, done=draft.random.choice((0.0, 0.3, 0.7)))


def bad_line(draft: Draft) -> None:
    """One line fails its whole batch: that record comes out with the cause, all others with their answers."""
    if draft.provider != "openai" or not draft.once("bad line"):
        return
    text = draft.record()
    named = draft.random.random() < 0.5
    draft.fault("bad_line_fails_batch", contains=text, named=named)
    draft.excuses.append(Excuse("invalid-line" if named else "rejected", 1, text))


# Results.


def carried(draft: Draft) -> None:
    """Requests that were not done, or are not there: each strike uses a retry of those that it meets."""
    if draft.carries == 0:
        return
    draft.carries -= 1
    share = draft.random.choice((0.0, 0.25, 0.5, 0.9))
    lines = draft.random.randint(1, 3)
    drawn: list[tuple[str, Mapping[str, Any]]] = [
        ("expire_partially", {"done": share}),
        ("cancel_by_provider", {"done": share}),
        ("lines_missing", {"lines": lines}),
        ("line_errored", {"lines": lines, "status": draft.random.choice((429, 500, 503))}),
        ("completed_without_output_file", {"error_file": "all_failed"}),
    ]
    if draft.provider == "openai":
        drawn.append(("status_code_zero", {"lines": lines, "file": draft.random.choice(("error", "output"))}))
        drawn.append(("completed_without_output_file", {"error_file": "empty"}))
    name, options = draft.random.choice(drawn)
    draft.fault(name, times=1, **options)


def hopeless(draft: Draft) -> None:
    """The provider fails on one record at every attempt."""
    if draft.once("hopeless"):
        text = draft.record()
        draft.add("fault", 0.0, fault="line_errored", contains=text, status=500)
        draft.excuses.append(Excuse("provider-error", 1, text))


def spoilt(draft: Draft) -> None:
    """An answer that is none: the end of its record."""
    causes: dict[str, tuple[str, Mapping[str, Any]]] = {
        "refusal": ("refusal", {}),
        "cut_at_max_tokens": ("truncated", {}),
        "line_malformed": ("malformed", {}),
        "line_errored": ("rejected", {"status": 400, "type": "invalid_request_error"}),
    }
    if draft.provider == "openai":
        causes["error_in_body"] = ("rejected", {"file": draft.random.choice(("output", "error"))})
    name = draft.random.choice(list(causes))
    cause, options = causes[name]
    lines = draft.random.randint(1, 2)
    draft.fault(name, times=1, lines=lines, **options)
    draft.excuses.append(Excuse(cause, lines))


def odd_lines(draft: Draft) -> None:
    names = ("lines_duplicated", "lines_unknown", "unicode_separators", "several_output_items")
    draft.fault(draft.random.choice(names), times=times(draft), lines=draft.random.randint(1, 3))


def odd_files(draft: Draft) -> None:
    names = ["request_counts_wrong", *(["error_file_id_empty"] if draft.provider == "openai" else [])]
    draft.fault(draft.random.choice(names), times=times(draft))


def cut(draft: Draft) -> None:
    silent = draft.random.random() < 0.4
    share, at = draft.random.choice((0.1, 0.5, 0.9)), draft.random.choice(("inside_line", "line_end"))
    draft.fault("download_cut", times=times(draft), share=share, at=at, silent=silent)


def deleted(draft: Draft) -> None:
    draft.fault("results_deleted", times=times(draft, 2))
