"""What every adapter promises about results: fetched whole, flat on disk, each line judged by itself."""

import re
from typing import Any

import pytest

from deploy.sandbox.provider.answers import echo
from shared.causes import Cause
from shared.errors import NotFound
from tests.contracts.provider_account import BOTH, PROMPTS, Account, only


def test_a_file_that_is_down_is_not_fetched_again(account: Account) -> None:
    batch = account.run()
    folder = account.folder / "again"
    paths = account.provider.download(batch, folder)
    account.server.set_fault("results_deleted")
    assert account.provider.download(batch, folder) == paths
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o600]
    assert not list(folder.glob("*.part"))


@only(*BOTH)
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("at", ["inside_line", "line_end"])
def test_a_cut_download_is_fetched_whole(account: Account, silent: bool, at: str) -> None:
    batch = account.run()
    account.server.set_fault("download_cut", times=2, at=at, silent=silent)
    assert len({answer.custom_id for answer in account.answers(batch) if answer}) == len(PROMPTS)
    assert account.server.faults()[0]["struck"] == 2


@only(*BOTH)
def test_a_download_that_is_always_cut_short_is_taken_as_it_is(account: Account) -> None:
    batch = account.run()
    account.server.set_fault("download_cut", at="line_end", silent=True)
    assert 0 < len(account.answers(batch)) < len(PROMPTS)


@only(*BOTH)
def test_results_that_are_not_there_are_not_found(account: Account) -> None:
    batch = account.run()
    account.server.set_fault("results_deleted")
    with pytest.raises(NotFound):
        account.answers(batch)


@only("chat")
@pytest.mark.parametrize("fault", ["error_file_id_empty", "completed_without_output_file"])
def test_files_that_do_not_exist_are_no_results(account: Account, fault: str) -> None:
    account.server.set_fault(fault)
    batch = account.run()
    assert batch.status == "completed"
    assert all(batch.results)
    assert len(account.answers(batch)) == (0 if fault == "completed_without_output_file" else len(PROMPTS))


LINE_FAULTS: dict[str, tuple[dict[str, Any], str, Cause]] = {
    "line_errored": ({"status": 500}, "retryable", Cause.PROVIDER_ERROR),
    "refusal": ({}, "failed", Cause.REFUSAL),
    "cut_at_max_tokens": ({}, "failed", Cause.TRUNCATED),
}


@pytest.mark.parametrize("fault", LINE_FAULTS)
@only("chat", "responses", "messages")
def test_a_spoilt_line_is_judged_by_itself(account: Account, fault: str) -> None:
    options, status, cause = LINE_FAULTS[fault]
    account.server.set_fault(fault, numbers=[2], **options)
    answers = {answer.custom_id.rpartition("-")[2]: answer for answer in account.answers(account.run()) if answer}
    assert (answers["1"].status, answers["1"].cause) == (status, cause)
    assert answers["1"].raw
    assert {answer.status for number, answer in answers.items() if number != "1"} == {"succeeded"}


@only("chat", "responses", "messages")
def test_several_output_items_are_one_answer(account: Account) -> None:
    account.server.set_fault("several_output_items", share=1.0)
    texts = {answer.text for answer in account.answers(account.run()) if answer}
    assert texts == {echo(prompt) for prompt in PROMPTS}


@only("chat")
@pytest.mark.parametrize(
    ("fault", "options", "status"),
    [
        ("error_in_body", {"file": "output"}, "failed"),
        ("error_in_body", {"file": "error"}, "failed"),
        ("status_code_zero", {}, "retryable"),
    ],
)
def test_openais_odd_lines(account: Account, fault: str, options: dict[str, Any], status: str) -> None:
    account.server.set_fault(fault, numbers=[1], **options)
    answers = {answer.custom_id.rpartition("-")[2]: answer for answer in account.answers(account.run()) if answer}
    assert answers["0"].status == status


@only(*BOTH)
def test_a_malformed_line_is_nobodys(account: Account) -> None:
    account.server.set_fault("line_malformed", numbers=[1])
    assert account.answers(account.run()).count(None) == 1


@only(*BOTH)
def test_credit_that_ends_in_mid_batch_is_the_accounts_fault(account: Account) -> None:
    account.server.set_fault("credit_exhausted_mid_batch", done=0.5)
    statuses = [answer.status for answer in account.answers(account.run()) if answer]
    assert sorted(set(statuses)) == ["account", "succeeded"]
    assert len(statuses) == len(PROMPTS)


@only(*BOTH)
def test_an_expired_batch_gives_its_finished_part(account: Account) -> None:
    account.server.set_fault("expire_partially", done=0.6)
    answers = account.answers(account.run())
    expired = [answer for answer in answers if answer and answer.status == "retryable"]
    assert len(answers) - len(expired) == 3
    assert {answer.cause for answer in expired} == {Cause.EXPIRED}


def test_names_of_files_are_safe(account: Account) -> None:
    batch = account.run()
    for path in account.provider.download(batch, account.folder / "safe"):
        assert re.fullmatch(r"\d-[A-Za-z0-9_-]+\.jsonl", path.name)
