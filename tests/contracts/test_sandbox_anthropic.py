"""The fake Anthropic, seen through the real SDK."""

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.provider.answers import echo
from tests.contracts.sandbox_user import SandboxUser, message_request

DAY = 86_400
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
    "required": ["label", "score"],
    "additionalProperties": False,
}


def test_a_batch_ends_and_every_answer_belongs_to_its_record(sandbox_user: SandboxUser) -> None:
    texts = {f"r-{n}": f'record {n} "quoted"\nsecond line 😀 \u2028 end' for n in range(40)}
    created = sandbox_user.create_messages([message_request(*item) for item in texts.items()])
    assert created.processing_status == "in_progress"
    assert created.results_url is None
    assert created.request_counts.processing == 40
    assert (created.expires_at - created.created_at).total_seconds() == DAY
    batch = sandbox_user.ended_messages(created.id)
    assert batch.results_url is not None
    assert batch.ended_at is not None
    assert batch.request_counts.model_dump(exclude_none=True) == {
        "processing": 0,
        "succeeded": 40,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    lines = sandbox_user.results(batch.id)
    assert [line["custom_id"] for line in lines] != list(texts)
    answers = {line["custom_id"]: line["result"]["message"]["content"][0]["text"] for line in lines}
    assert answers == {custom_id: echo(text) for custom_id, text in texts.items()}


def test_the_list_pages_forwards_and_backwards(sandbox_user: SandboxUser) -> None:
    made = [sandbox_user.create_messages([message_request("a", "a")]).id for _ in range(5)][::-1]
    batches = sandbox_user.anthropic.messages.batches
    page = batches.list(limit=2)
    assert [batch.id for batch in page.data] == made[:2]
    assert (page.first_id, page.last_id, page.has_more) == (made[0], made[1], True)
    assert [batch.id for batch in batches.list(limit=2, after_id=made[1]).data] == made[2:4]
    before = batches.list(limit=2, before_id=made[3])
    assert ([batch.id for batch in before.data], before.has_more) == (made[1:3], True)
    assert [batch.id for _, batch in zip(range(5), batches.list(limit=2), strict=False)] == made
    with pytest.raises(anthropic.BadRequestError, match="limit"):
        batches.list(limit=1_001)


@pytest.mark.parametrize(
    "requests",
    [
        [message_request("not legal", "x")],
        [message_request("a" * 65, "x")],
        [message_request("", "x")],
        [message_request("a", "x"), message_request("a", "y")],
        [],
    ],
)
def test_a_bad_create_fails_as_a_whole_at_once(sandbox_user: SandboxUser, requests: list[dict[str, Any]]) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        sandbox_user.create_messages(requests)
    assert refused.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]  # one of a union


def test_bad_params_are_errored_one_by_one(sandbox_user: SandboxUser) -> None:
    bad = message_request("empty", "")
    no_length = message_request("no-length", "x")
    del no_length["params"]["max_tokens"]
    both = message_request("both", "x")
    both["params"] |= {"temperature": 0.2, "top_p": 0.9}
    batch = sandbox_user.run_messages([bad, no_length, both, message_request("good", "x")])
    lines = {line["custom_id"]: line["result"] for line in sandbox_user.results(batch.id)}
    assert {name: result["type"] for name, result in lines.items()} == {
        "empty": "errored",
        "no-length": "errored",
        "both": "errored",
        "good": "succeeded",
    }
    assert lines["empty"]["error"]["error"]["type"] == "invalid_request_error"
    assert lines["both"]["error"]["error"]["type"] == "invalid_request_error"
    assert batch.request_counts.errored == 3
    alone: Any = {name: both["params"][name] for name in ("model", "max_tokens", "messages")}
    with pytest.raises(anthropic.BadRequestError, match="cannot both be specified"):
        sandbox_user.anthropic.messages.create(**alone, extra_body={"temperature": 0.2, "top_p": 0.9})


def test_structured_output_and_tools_obey_the_schema(sandbox_user: SandboxUser) -> None:
    create = sandbox_user.anthropic.messages.create
    text: Any = [{"role": "user", "content": "A wonderful, lovely film"}]
    made = create(
        model="claude-haiku-4-5",
        max_tokens=100,
        messages=text,
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    )
    value = json.loads(made.content[0].text)  # type: ignore[union-attr]  # one of a union
    assert value["label"] == "positive"
    assert value["score"] > 0.5
    tool: Any = {"name": "classify", "input_schema": SCHEMA}
    used = create(
        model="claude-haiku-4-5",
        max_tokens=100,
        messages=text,
        tools=[tool],
        tool_choice={"type": "tool", "name": "classify"},
    )
    assert used.stop_reason == "tool_use"
    assert used.content[0].input == value  # type: ignore[union-attr]  # one of a union
    short = create(model="claude-haiku-4-5", max_tokens=3, messages=text)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 3)


def test_cancel_leaves_the_rest_canceled_and_only_an_ended_batch_is_deleted(sandbox_user: SandboxUser) -> None:
    sandbox_user.server.set_fault("stuck_in_progress", times=1)
    sandbox_user.server.set_fault("cancel_partially", times=1, done=0.3)
    batches = sandbox_user.anthropic.messages.batches
    batch = sandbox_user.create_messages([message_request(f"r{n}", str(n)) for n in range(10)])
    with pytest.raises(anthropic.BadRequestError, match="still processing"):
        batches.delete(batch.id)
    assert batches.cancel(batch.id).processing_status == "canceling"
    ended = sandbox_user.ended_messages(batch.id)
    assert ended.cancel_initiated_at is not None
    assert (ended.request_counts.succeeded, ended.request_counts.canceled) == (3, 7)
    kinds = [line["result"]["type"] for line in sandbox_user.results(batch.id)]
    assert sorted(kinds) == ["canceled"] * 7 + ["succeeded"] * 3
    assert batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        batches.retrieve(batch.id)


def test_key_and_version_are_needed(sandbox_user: SandboxUser) -> None:
    url = f"{sandbox_user.server.anthropic_base_url}/v1/messages/batches"
    for headers, status, kind in (
        ({}, 401, "authentication_error"),
        ({"x-api-key": "invalid", "anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"x-api-key": "good"}, 400, "invalid_request_error"),
    ):
        response = httpx2.get(url, headers=headers)
        assert (response.status_code, response.json()["error"]["type"]) == (status, kind)
        assert response.json()["type"] == "error"
        assert response.headers["request-id"] == response.json()["request_id"]


def test_the_limits_of_the_table_are_enforced(tmp_path: Path) -> None:
    limits = {"anthropic_requests": 3, "anthropic_bytes": 2_000, "anthropic_queued_requests": 4}
    with ProviderServer(tmp_path, limits=limits, processing_seconds=30) as server:
        user = SandboxUser(server)
        with pytest.raises(anthropic.BadRequestError, match="at most 3"):
            user.create_messages([message_request(f"r{n}", "x") for n in range(4)])
        with pytest.raises(anthropic.APIStatusError) as refused:
            user.create_messages([message_request("r", "x" * 2_000)])
        assert refused.value.status_code == 413
        user.create_messages([message_request(f"r{n}", "x") for n in range(3)])
        with pytest.raises(anthropic.RateLimitError, match="queue"):
            user.create_messages([message_request(f"r{n}", "x") for n in range(2)])
        user.close()


def test_time_alone_expires_a_batch_and_archives_its_results(tmp_path: Path) -> None:
    with ProviderServer(tmp_path, processing_seconds=2 * DAY) as server:
        user = SandboxUser(server)
        batch = user.create_messages([message_request(f"r{n}", str(n)) for n in range(10)])
        server.advance(1.5 * DAY)
        batch = user.ended_messages(batch.id)
        assert (batch.request_counts.succeeded, batch.request_counts.expired) == (5, 5)
        server.advance(28 * DAY)
        archived = user.anthropic.messages.batches.retrieve(batch.id)
        assert archived.archived_at is not None
        assert archived.results_url is None
        user.close()


def test_a_large_create_is_parsed_piece_by_piece(sandbox_user: SandboxUser) -> None:
    """Requests that lie across the reader's window come out whole."""
    texts = {f"r{n}": f'{n} \\ " {{[,]}} é' * (1 if n % 3 else 20_000) for n in range(60)}
    batch = sandbox_user.run_messages([message_request(*item) for item in texts.items()])
    answers = {
        line["custom_id"]: line["result"]["message"]["content"][0]["text"] for line in sandbox_user.results(batch.id)
    }
    assert answers == {name: echo(text) for name, text in texts.items()}
