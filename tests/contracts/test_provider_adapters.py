"""One contract for every adapter: the port's promises, against a provider that can be made to fail."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.provider.answers import echo, embedding
from poller.watch.verdict import failure
from shared.causes import Cause
from shared.errors import (
    AccountFault,
    EnqueuedLimit,
    MissingCredential,
    NotFound,
    NotSent,
    ProviderError,
    Rejected,
    Throttled,
    Unknown,
)
from shared.providers import provider_for
from shared.providers.port import Outgoing
from tests.contracts.provider_account import BOTH, PROMPTS, Account, only
from tests.rig.samples import EPOCH
from tests.rig.waiting import wait_until


def test_every_prompt_comes_back_answered(account: Account) -> None:
    batch = account.run()
    answers = account.answers(batch)
    assert len(answers) == len(PROMPTS)
    found = {answer.custom_id.rpartition("-")[2]: answer for answer in answers if answer}
    for number, prompt in enumerate(PROMPTS):
        answer = found[str(number)]
        assert answer.status == "succeeded"
        if account.kind == "moderations":
            assert orjson.loads(answer.text or "")["flagged"] is False
            continue
        assert answer.input_tokens > 0
        if account.kind == "embeddings":
            assert answer.embedding == pytest.approx(embedding(prompt), abs=1e-6)
        else:
            assert answer.text == echo(prompt)
            assert answer.output_tokens > 0


def test_a_batch_tells_its_size_its_times_and_its_origin(account: Account) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    created = account.submit()
    batch = account.ended(created.id)
    assert (batch.id, batch.total) == (created.id, len(PROMPTS))
    assert before < batch.created_at <= datetime.now(UTC)
    assert batch.ended_at is not None
    assert batch.expires_at is not None
    assert created.phase == "running"
    if account.provider.profile.has_metadata:
        assert set(batch.metadata) == {"batch_key", "attempt", "sha256"}
        assert batch.input_file_id is not None


def test_the_list_holds_what_was_created_since_newest_first(account: Account) -> None:
    first = account.submit()
    second = account.submit()
    since = [batch.id for batch in account.provider.created_since(first.created_at)]
    assert since.index(second.id) < since.index(first.id)
    later = [batch.id for batch in account.provider.created_since(second.created_at + timedelta(seconds=5))]
    assert later == []


def test_uploaded_files_are_listed_under_the_name_of_their_attempt(account: Account) -> None:
    batch = account.submit()
    names = {file.id: file.name for file in account.provider.uploads()}
    if account.provider.profile.has_metadata:
        expected = f"{batch.metadata['batch_key']}-{batch.metadata['attempt']}.jsonl"
        assert names[batch.input_file_id or ""] == expected
    else:
        assert names == {}


def test_deleting_twice_is_no_error(account: Account) -> None:
    batch = account.run()
    target = batch.input_file_id or batch.id
    account.provider.delete(target)
    account.provider.delete(target)
    assert account.server.witness().events("delete_file", "delete_batch")[-1].get("file", batch.id) == target


@only(*BOTH)
def test_a_cancelled_batch_ends_with_its_finished_part(account: Account) -> None:
    account.server.set_fault("stuck_in_progress")
    account.server.set_fault("cancel_partially", done=0.4)
    batch = account.submit()
    wait_until(lambda: account.provider.retrieve(batch.id).status == "in_progress", 30)
    account.provider.cancel(batch.id)
    answers = account.answers(account.ended(batch.id))
    statuses = sorted(answer.status for answer in answers if answer)
    assert statuses.count("succeeded") == 2
    assert {answer.cause for answer in answers if answer and answer.status == "retryable"} <= {Cause.CANCELLED}


Call = Callable[[Account], object]
CALLS: dict[str, tuple[str, Call]] = {
    "create": ("batches.create", lambda account: account.submit()),
    "retrieve": ("batches.retrieve", lambda account: account.provider.retrieve("batch_x")),
    "list": ("batches.list", lambda account: list(account.provider.created_since(EPOCH))),
    "cancel": ("batches.cancel", lambda account: account.provider.cancel("batch_x")),
}
FAULTS: dict[str, tuple[dict[str, Any], type[ProviderError]]] = {
    "http_5xx": ({"status": 500}, Unknown),
    "http_429_retry_after": ({"retry_after": 7200}, Throttled),
    "spend_cap_429": ({}, AccountFault),
    "bad_key": ({}, AccountFault),
}


@only(*BOTH)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_call_is_made_once_and_its_failure_judged(account: Account, call: str, fault: str) -> None:
    endpoint, ask = CALLS[call]
    options, expected = FAULTS[fault]
    account.server.set_fault(fault, endpoint=f"{account.calls}.{endpoint}", **options)
    with pytest.raises(expected) as caught:
        ask(account)
    assert type(caught.value) is expected
    assert account.server.faults()[0]["seen"] == 1
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == timedelta(hours=2)


@only("chat")
def test_a_full_file_quota_is_the_accounts_fault(account: Account) -> None:
    account.server.set_fault("file_quota_full")
    with pytest.raises(AccountFault, match=r"(?i)storage|quota"):
        account.provider.upload(account.outgoing())


@only(*BOTH)
def test_a_batch_that_nobody_knows_is_not_found(account: Account) -> None:
    with pytest.raises(NotFound):
        account.provider.retrieve("batch_unknown")


@only(*BOTH)
def test_a_refused_create_is_rejected(account: Account) -> None:
    batch = account.outgoing()
    accepted = len(account.server.witness().creates())
    if account.calls == "openai":
        file_id = account.provider.upload(batch)
        oversized = Outgoing(batch.manifest, batch.requests, 1, {"k": "v" * 600}, batch.timeout)
        with pytest.raises(Rejected):
            account.provider.create(oversized, file_id)
    else:
        lines = batch.requests.read_bytes()
        batch.requests.write_bytes(account.provider.rename(lines.splitlines(keepends=True)[0], "not legal"))
        with pytest.raises(Rejected):
            account.provider.create(batch, None)
    assert len(account.server.witness().creates()) == accepted


@only(*BOTH)
def test_a_create_whose_answer_is_lost_is_unknown_and_can_be_found(account: Account) -> None:
    account.server.set_fault("create_accepted_response_lost", times=1)
    before = datetime.fromtimestamp(account.server.now(), UTC)
    with pytest.raises(Unknown):
        account.submit()
    found = next(iter(account.provider.created_since(before)))
    assert account.ended(found.id).total == len(PROMPTS)


@only(*BOTH)
def test_a_create_that_is_not_answered_in_time_is_unknown(account: Account) -> None:
    account.server.set_fault("slow_response", endpoint=f"{account.calls}.batches.create", seconds=1.0)
    with pytest.raises(Unknown, match="ReadTimeout"):
        account.submit(timeout=0.2)


@only(*BOTH)
def test_a_page_in_html_with_status_200_is_unknown(account: Account) -> None:
    batch = account.submit()
    account.server.set_fault("poisoned_batch", resource=batch.id)
    with pytest.raises(Unknown, match="can't be read"):
        account.provider.retrieve(batch.id)


@only(*BOTH)
def test_nobody_listening_means_not_sent(account: Account) -> None:
    silent = account.definition.model.model_copy(update={"base_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(NotSent):
        provider_for(silent, {"THE_KEY": "k"}).create(
            account.outgoing(), "file-1" if account.calls == "openai" else None
        )


@only(*BOTH)
def test_a_missing_key_is_named_when_it_is_needed_and_not_before(account: Account) -> None:
    keyless = provider_for(account.definition.model, {"THE_KEY": ""})
    assert keyless.requests(account.definition.model).line("a-0", "p")
    for needed in (keyless.connect, lambda: keyless.retrieve("batch_1")):
        with pytest.raises(MissingCredential, match="THE_KEY") as caught:
            needed()
        assert caught.value.account == account.definition.model.account
    account.provider.connect()


@only(*BOTH)
def test_a_key_never_stands_in_an_error(account: Account) -> None:
    wrong = Account(account.server, account.kind, account.folder, key="invalid-secret-key")
    with pytest.raises(AccountFault) as caught:
        wrong.provider.retrieve("batch_1")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@only("chat")
def test_why_validation_failed_reaches_the_verdict(account: Account) -> None:
    account.server.set_fault("token_limit_exceeded", times=1, limit=2_000_000)
    full = failure(account.run().errors)
    assert (full.kind, full.limit) == ("queue full", 2_000_000)
    account.server.set_fault("bad_line_fails_batch", times=1, numbers=[2, 4])
    bad = failure(account.run().errors)
    assert (bad.kind, [error.line for error in bad.lines]) == ("lines", [2, 4])
    account.server.set_fault("bad_line_fails_batch", times=1, numbers=[2], named=False)
    assert failure(account.run().errors).kind == "unnamed"


def test_a_full_queue_of_requests_is_no_fault_of_the_data(tmp_path: Path) -> None:
    with ProviderServer(tmp_path / "p", limits={"anthropic_queued_requests": 3}, processing_seconds=0.1) as server:
        small = Account(server, "messages", tmp_path)
        with pytest.raises(EnqueuedLimit):
            small.submit()


@only("chat")
def test_a_status_that_nobody_knows_is_unknown_and_no_end(account: Account) -> None:
    account.server.set_fault("unknown_status", status="paused", seconds=60)
    batch = account.submit()
    assert (batch.status, batch.phase) == ("paused", "unknown")
