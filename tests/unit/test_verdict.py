from dataclasses import replace
from datetime import UTC, datetime

import pytest

from poller.watch.verdict import Kind, judge
from shared.providers.port import LineError, RemoteBatch

KEY = "a" * 26 + "-0"
REMOTE = RemoteBatch(
    id="batch_1",
    status="in_progress",
    phase="running",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    metadata={"batch_key": KEY},
)
FAILED = replace(REMOTE, status="failed", phase="ended")
FULL = LineError(
    "token_limit_exceeded",
    None,
    "Enqueued token limit reached for gpt-5-mini in organization org-x. Limit: 2,000,000 enqueued tokens. "
    "Please try again once some in_progress batches have been completed.",
)


def test_running_and_ended_are_taken_at_their_word() -> None:
    assert judge(REMOTE, KEY, has_metadata=True).kind is Kind.RUNNING
    assert judge(replace(REMOTE, status="completed", phase="ended"), KEY, has_metadata=True).kind is Kind.ENDED


def test_an_unknown_status_is_running_with_a_warning() -> None:
    verdict = judge(replace(REMOTE, status="paused", phase="unknown"), KEY, has_metadata=True)
    assert verdict.kind is Kind.UNKNOWN
    assert verdict.error is not None
    assert "paused" in verdict.error


def test_a_full_queue_is_no_fault_of_the_data_and_tells_its_limit() -> None:
    verdict = judge(replace(FAILED, errors=(FULL,)), KEY, has_metadata=True)
    assert (verdict.kind, verdict.limit) == (Kind.QUEUE_FULL, 2_000_000)


@pytest.mark.parametrize(
    "error",
    [
        LineError("file_not_found", None, "gone"),
        LineError("invalid_request", None, "The input file file-abc was not found."),
        LineError(None, None, "File file-abc does not exist"),
    ],
)
def test_a_missing_input_file_is_uploaded_again(error: LineError) -> None:
    assert judge(replace(FAILED, errors=(error,)), KEY, has_metadata=True).kind is Kind.FILE_GONE


@pytest.mark.parametrize(
    "error",
    [
        LineError("invalid_json_line", 3, "This line is not parseable as valid JSON."),
        LineError("invalid_request", 3, "the file image.png was not found"),
        LineError("invalid_request", 3, "bad value: 'the tokens wait in a queue; my credit balance is too low'"),
        LineError("model_not_found", None, "The provided model was not found."),
    ],
)
def test_a_fault_of_the_data_ends_the_batch(error: LineError) -> None:
    verdict = judge(replace(FAILED, errors=(error,)), KEY, has_metadata=True)
    assert verdict.kind is Kind.ENDED
    assert verdict.error is not None


@pytest.mark.parametrize("metadata", [{}, {"batch_key": "b" * 26 + "-0"}])
def test_a_batch_of_somebody_else_is_foreign_where_metadata_can_tell(metadata: dict[str, str]) -> None:
    other = replace(REMOTE, metadata=metadata)
    assert judge(other, KEY, has_metadata=True).kind is Kind.FOREIGN
    assert judge(other, KEY, has_metadata=False).kind is Kind.RUNNING


def test_spent_credit_is_the_accounts_fault() -> None:
    spent = LineError("billing_hard_limit_reached", None, "Billing hard limit has been reached.")
    assert judge(replace(FAILED, errors=(spent,)), KEY, has_metadata=True).kind is Kind.ACCOUNT
