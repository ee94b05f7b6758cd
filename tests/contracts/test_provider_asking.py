"""One contract for every adapter's synchronous call: the line of results that a batch would have given."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from msgspec.structs import astuple

from shared.causes import Cause
from shared.errors import AccountFault, NotSent, ProviderError, Rejected, Throttled, Unknown
from shared.providers import provider_for
from shared.providers.port import Answer
from tests.contracts.provider_account import BOTH, PROMPTS, Account, only

SECONDS = timedelta(seconds=10)
ENDPOINTS = {
    "chat": "openai.chat.completions",
    "responses": "openai.responses",
    "embeddings": "openai.embeddings",
    "moderations": "openai.moderations",
    "messages": "anthropic.messages",
}


def lines(account: Account) -> list[bytes]:
    return account.outgoing().requests.read_bytes().splitlines(keepends=True)


def request_of(answer: Answer | None) -> tuple[int, tuple[Any, ...]]:
    """The number of an answer's request, and what the answer says, without the batch's name."""
    assert answer is not None
    return int(answer.custom_id.rpartition("-")[2]), astuple(answer)[1:]


def test_a_synchronous_answer_is_the_answer_that_a_batch_gives(account: Account) -> None:
    batched = sorted(map(request_of, account.answers(account.run())))
    asked = sorted(request_of(account.provider.answer(account.provider.ask(line, SECONDS))) for line in lines(account))
    assert asked == batched
    assert len(asked) == len(PROMPTS)


def test_an_answer_is_one_line(account: Account) -> None:
    for line in lines(account):
        answer = account.provider.ask(line, SECONDS)
        assert answer.endswith(b"\n")
        assert answer.count(b"\n") == 1


FAULTS: dict[str, tuple[dict[str, Any], type[ProviderError]]] = {
    "http_5xx": ({"status": 500}, Unknown),
    "http_429_retry_after": ({"retry_after": 7200}, Throttled),
    "spend_cap_429": ({}, AccountFault),
    "bad_key": ({}, AccountFault),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_is_made_once_and_its_failure_judged(account: Account, fault: str) -> None:
    options, expected = FAULTS[fault]
    account.server.set_fault(fault, endpoint=ENDPOINTS[account.kind], **options)
    with pytest.raises(ProviderError) as caught:
        account.provider.ask(lines(account)[0], SECONDS)
    assert type(caught.value) is expected
    assert account.server.faults()[0]["seen"] == 1
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == timedelta(hours=2)


@only(*BOTH)
def test_a_call_that_is_answered_too_late_or_not_at_all_is_unknown_without_a_status(account: Account) -> None:
    account.server.set_fault("slow_response", endpoint=ENDPOINTS[account.kind], seconds=1.0, times=1)
    with pytest.raises(Unknown) as late:
        account.provider.ask(lines(account)[0], timedelta(seconds=0.2))
    account.server.set_fault("sync_answer_lost", times=1)
    with pytest.raises(Unknown) as lost:
        account.provider.ask(lines(account)[0], SECONDS)
    assert late.value.status is None
    assert lost.value.status is None


@only(*BOTH)
def test_nobody_listening_means_not_sent(account: Account) -> None:
    silent = account.definition.model.model_copy(update={"base_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(NotSent):
        provider_for(silent, {"THE_KEY": "k"}).ask(lines(account)[0], SECONDS)


@only("chat", "responses", "messages")
def test_a_refused_request_is_the_records_own_failure(account: Account) -> None:
    line = orjson.loads(lines(account)[0])
    (line["params"] if account.kind == "messages" else line["body"])["temperature"] = 9
    with pytest.raises(Rejected) as caught:
        account.provider.ask(orjson.dumps(line) + b"\n", SECONDS)
    answer = account.provider.answer(account.provider.failed(orjson.dumps(line), caught.value))
    assert answer is not None
    assert (answer.custom_id, answer.status, answer.cause) == (line["custom_id"], "failed", Cause.REJECTED)
    assert "temperature" in (answer.message or "")


@only(*BOTH)
@pytest.mark.parametrize("error", [Unknown("500: broken", status=500), Unknown("no answer")])
def test_a_request_that_was_tried_often_enough_may_be_tried_again_by_another_batch(
    account: Account, error: ProviderError
) -> None:
    line = lines(account)[0]
    answer = account.provider.answer(account.provider.failed(line, error))
    assert answer is not None
    assert (answer.status, answer.cause) == ("retryable", Cause.PROVIDER_ERROR)
    assert (answer.message or "").count("500") <= 1
