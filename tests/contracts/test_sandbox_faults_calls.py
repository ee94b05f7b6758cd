"""Faults of calls, uploads and creates: each test bears the name of the fault it switches on."""

import time
from urllib.parse import quote

import anthropic
import openai
import pytest

from tests.contracts.sandbox_user import CHAT, SandboxUser, chat_line, message_request
from tests.rig.waiting import wait_until

ONE = [chat_line("a", "text")]


def newest(user: SandboxUser) -> str:
    data = user.openai.batches.list(limit=1).data
    return data[0].id if data else ""


def test_create_accepted_response_lost(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("create_accepted_response_lost", times=2)
    before = newest(sandbox_user)
    with pytest.raises(openai.APIConnectionError):
        sandbox_user.create(ONE)
    assert newest(sandbox_user) != before
    with pytest.raises(anthropic.APIConnectionError):
        sandbox_user.create_messages([message_request("lost", "x")])
    found = sandbox_user.anthropic.messages.batches.list(limit=1).data[0]
    assert found.request_counts.processing + found.request_counts.succeeded == 1


@pytest.mark.parametrize(("status", "error"), [(500, openai.InternalServerError), (409, openai.ConflictError)])
def test_create_accepted_response_lost_behind_a_status(
    sandbox_user: SandboxUser, status: int, error: type[Exception]
) -> None:
    sandbox_user.fault("create_accepted_response_lost", status=status)
    before = newest(sandbox_user)
    with pytest.raises(error, match=str(status)):
        sandbox_user.create(ONE)
    assert newest(sandbox_user) != before


def test_create_accepted_response_lost_in_a_timeout(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("create_accepted_response_lost", hang=1.0)
    file_id = sandbox_user.upload(ONE)
    before = newest(sandbox_user)
    with pytest.raises(openai.APITimeoutError):
        sandbox_user.openai.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h", timeout=0.3)
    assert newest(sandbox_user) != before


def test_create_applied_after_disconnect(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("create_applied_after_disconnect", times=2, delay=100)
    before = newest(sandbox_user)
    kept, dropped = sandbox_user.upload(ONE), sandbox_user.upload(ONE)
    for file_id in (kept, dropped):
        with pytest.raises(openai.APIConnectionError):
            sandbox_user.openai.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    assert newest(sandbox_user) == before
    sandbox_user.openai.files.delete(dropped)
    sandbox_user.server.advance(101)
    late = sandbox_user.openai.batches.list(limit=2).data
    assert next(batch.input_file_id for batch in late if batch.id != before) == kept
    assert dropped not in [batch.input_file_id for batch in late]
    assert sandbox_user.server.witness().events("create_dropped")


def test_list_lag(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("list_lag", seconds=100)
    batch = sandbox_user.create(ONE)
    assert newest(sandbox_user) != batch.id
    assert sandbox_user.openai.batches.retrieve(batch.id).id == batch.id
    sandbox_user.server.advance(101)
    assert newest(sandbox_user) == batch.id


def test_retrieve_404_after_create(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("retrieve_404_after_create", times=2, seconds=100)
    batch = sandbox_user.create(ONE)
    messages = sandbox_user.create_messages([message_request("a", "x")])
    with pytest.raises(openai.NotFoundError):
        sandbox_user.openai.batches.retrieve(batch.id)
    with pytest.raises(anthropic.NotFoundError):
        sandbox_user.anthropic.messages.batches.retrieve(messages.id)
    with pytest.raises(anthropic.NotFoundError):
        sandbox_user.anthropic.messages.batches.delete(messages.id)
    assert newest(sandbox_user) == batch.id
    sandbox_user.server.advance(101)
    assert sandbox_user.openai.batches.retrieve(batch.id).id == batch.id


def test_input_file_not_found_after_upload(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("input_file_not_found_after_upload", seconds=100)
    file_id = sandbox_user.upload(ONE)
    create = sandbox_user.openai.batches.create
    with pytest.raises(openai.NotFoundError, match=file_id):
        create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    sandbox_user.server.advance(101)
    assert create(input_file_id=file_id, endpoint=CHAT, completion_window="24h").status == "validating"


def test_input_file_denied(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("input_file_denied")
    with pytest.raises(openai.BadRequestError, match=r"Cannot find file file-.* does not have access") as denied:
        sandbox_user.create(ONE)
    assert denied.value.code is None
    assert sandbox_user.create(ONE).status == "validating"


def test_known_batch_404(sandbox_user: SandboxUser) -> None:
    batch = sandbox_user.create(ONE)
    sandbox_user.fault("known_batch_404")
    with pytest.raises(openai.NotFoundError):
        sandbox_user.openai.batches.retrieve(batch.id)
    assert sandbox_user.openai.batches.retrieve(batch.id).id == batch.id


@pytest.mark.parametrize("how", ["repeats", "empty"])
def test_list_does_not_page(sandbox_user: SandboxUser, how: str) -> None:
    """The SDKs end at an empty page without a word."""
    sandbox_user.create(ONE)
    sandbox_user.create_messages([message_request("a", "x")])
    sandbox_user.fault("list_does_not_page", how=how, times=None)
    listed = sandbox_user.openai.batches.list(limit=1)
    messages = sandbox_user.anthropic.messages.batches.list(limit=1)
    assert (listed.has_more, messages.has_more) == (True, True)
    if how == "empty":
        assert (list(listed), list(messages)) == ([], [])
    else:
        # By their ids: a batch goes on meanwhile.
        assert [batch.id for batch in listed.get_next_page().data] == [batch.id for batch in listed.data]
        assert [batch.id for batch in messages.get_next_page().data] == [batch.id for batch in messages.data]


def test_list_oldest_first(sandbox_user: SandboxUser) -> None:
    created = [sandbox_user.create(ONE).id for _ in range(2)]
    assert {batch.id for batch in sandbox_user.openai.batches.list(limit=1)} >= set(created)
    newest_first = [batch.id for batch in sandbox_user.openai.batches.list(limit=100).data]
    sandbox_user.fault("list_oldest_first", times=None)
    assert [batch.id for batch in sandbox_user.openai.batches.list(limit=100).data] == newest_first[::-1]


def test_token_limit_exceeded(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("token_limit_exceeded", limit=90_000)
    batch = sandbox_user.run(ONE)
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    assert batch.errors.data[0].code == "token_limit_exceeded"
    assert "Limit: 90,000 enqueued tokens" in (batch.errors.data[0].message or "")


@pytest.mark.parametrize("named", [True, False])
def test_bad_line_fails_batch(sandbox_user: SandboxUser, named: bool) -> None:
    sandbox_user.fault("bad_line_fails_batch", times=2, contains="POISON", named=named)
    lines = [chat_line("a", "good"), chat_line("b", "POISON"), chat_line("c", "good")]
    batch = sandbox_user.run(lines)
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    assert batch.errors.data[0].line == (2 if named else None)
    assert sandbox_user.run([lines[0], lines[2]]).status == "completed"


def test_file_quota_full(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("file_quota_full")
    with pytest.raises(openai.BadRequestError, match="storage"):
        sandbox_user.upload(ONE)
    assert sandbox_user.upload(ONE)


def test_spend_cap_429(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("spend_cap_429", endpoint="openai.batches.create")
    with pytest.raises(openai.RateLimitError) as refused:
        sandbox_user.create(ONE)
    assert refused.value.code == "insufficient_quota"
    assert "retry-after" not in refused.value.response.headers
    sandbox_user.fault("spend_cap_429", endpoint="anthropic.*")
    with pytest.raises(anthropic.RateLimitError):
        sandbox_user.create_messages([message_request("a", "x")])


def test_bad_key(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("bad_key", times=None, account="sandb*")
    with pytest.raises(openai.AuthenticationError):
        sandbox_user.openai.batches.list()
    with pytest.raises(anthropic.AuthenticationError):
        sandbox_user.anthropic.messages.batches.list()
    other = openai.OpenAI(api_key="another", base_url=sandbox_user.server.openai_base_url, max_retries=0)
    with other:
        assert other.batches.list(limit=1).has_more is not None


def test_a_bad_key_can_be_said_back(sandbox_user: SandboxUser) -> None:
    key = sandbox_user.openai.api_key
    said = {"masked": f"{key[:7]}****{key[-2:]}.", "whole": f" {key}.", "encoded": f" {quote(key, safe='')} (Basic "}
    for how, shown in said.items():
        sandbox_user.fault("bad_key", endpoint="*.batches.list", times=2, said=how)
        with pytest.raises(openai.AuthenticationError) as refused:
            sandbox_user.openai.batches.list()
        assert shown in refused.value.message
        with pytest.raises(anthropic.AuthenticationError) as told:
            sandbox_user.anthropic.messages.batches.list()
        assert (sandbox_user.anthropic.api_key or "") in told.value.message or how != "whole"


def test_http_429_retry_after(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("http_429_retry_after", nth=[2], times=None, endpoint="*.list", retry_after=7_200)
    sandbox_user.openai.batches.list(limit=1)
    with pytest.raises(openai.RateLimitError) as refused:
        sandbox_user.openai.batches.list(limit=1)
    assert refused.value.response.headers["retry-after"] == "7200"
    sandbox_user.openai.batches.list(limit=1)
    assert [(rule["seen"], rule["struck"]) for rule in sandbox_user.server.faults()] == [(3, 1)]


def test_http_5xx(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("http_5xx", status=529, endpoint="anthropic.*")
    with pytest.raises(anthropic.InternalServerError) as refused:
        sandbox_user.create_messages([message_request("a", "x")])
    assert refused.value.status_code == 529
    sandbox_user.fault("http_5xx", status=503, endpoint="openai.files.create")
    with pytest.raises(openai.InternalServerError):
        sandbox_user.upload([chat_line("a", "x" * 300_000)])


def test_slow_response(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("slow_response", seconds=0.3)
    begun = time.monotonic()
    sandbox_user.openai.batches.list(limit=1)
    assert time.monotonic() - begun >= 0.3
    sandbox_user.fault("slow_response", seconds=30)
    with pytest.raises(openai.APITimeoutError):
        sandbox_user.openai.batches.list(limit=1, timeout=0.2)


def test_poisoned_batch(sandbox_user: SandboxUser) -> None:
    poisoned, healthy = sandbox_user.create(ONE), sandbox_user.create(ONE)
    sandbox_user.fault("poisoned_batch", times=None, resource=poisoned.id)
    assert isinstance(sandbox_user.openai.batches.retrieve(poisoned.id), str)
    assert sandbox_user.ended(healthy.id).status == "completed"


@pytest.mark.parametrize("state", ["validating", "in_progress", "finalizing"])
def test_stuck(sandbox_user: SandboxUser, state: str) -> None:
    sandbox_user.fault(f"stuck_{state}", seconds=1_000)
    batch = sandbox_user.create(ONE)
    sandbox_user.server.advance(500)
    retrieve = sandbox_user.openai.batches.retrieve
    wait_until(lambda: retrieve(batch.id).status == state, 20, state)
    sandbox_user.server.advance(100)
    stuck = retrieve(batch.id)
    assert stuck.status == state
    if state != "validating":
        assert stuck.request_counts
        assert stuck.request_counts.completed == stuck.request_counts.total == 1
    sandbox_user.server.advance(1_001)
    assert sandbox_user.ended(batch.id).status == "completed"


def test_unknown_status(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("unknown_status", times=2, status="paused", seconds=1_000)
    batch = sandbox_user.create(ONE)
    messages = sandbox_user.create_messages([message_request("a", "x")])
    assert str(batch.status) == "paused"
    assert str(messages.processing_status) == "paused"
    sandbox_user.server.advance(1_001)
    assert sandbox_user.ended(batch.id).status == "completed"


def test_sync_answer_lost(sandbox_user: SandboxUser) -> None:
    """The call is paid for, and nobody sees its answer."""
    sandbox_user.fault("sync_answer_lost", times=2)
    billed = len(sandbox_user.server.witness().events("sync"))
    with pytest.raises(openai.APIConnectionError):
        sandbox_user.openai.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(anthropic.APIConnectionError):
        sandbox_user.anthropic.messages.create(
            model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        )
    assert len(sandbox_user.server.witness().events("sync")) == billed + 2
