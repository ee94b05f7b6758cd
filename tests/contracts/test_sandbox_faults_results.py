"""Faults of results: each test bears the name of the fault it switches on."""

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from deploy.sandbox.provider.answers import REFUSAL, SEPARATORS, echo
from deploy.sandbox.provider.vocabulary import VOCABULARY
from shared.definition import BatchOptions
from shared.packed import asked, prompts_of
from shared.providers.bodies import request_lines
from tests.contracts import test_sandbox_faults_calls
from tests.contracts.sandbox_user import SandboxUser, chat_line, message_request
from tests.rig import samples

TEN = [chat_line(f"r{n}", f"text {n}") for n in range(10)]
TEN_MESSAGES = [message_request(f"r{n}", f"text {n}") for n in range(10)]
IDS = {f"r{n}" for n in range(10)}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
STRUCTURED = {"type": "json_schema", "json_schema": {"name": "o", "strict": True, "schema": SCHEMA}}


def content(line: dict[str, Any]) -> str:
    return str(line["response"]["body"]["choices"][0]["message"]["content"])


def test_every_fault_has_a_test_of_its_name() -> None:
    tested = set(globals()) | set(vars(test_sandbox_faults_calls))
    # The states a batch can be stuck in are one test's parameters.
    tested |= {f"test_stuck_{state}" for state in ("validating", "in_progress", "finalizing")}
    assert [name for name in VOCABULARY if f"test_{name}" not in tested] == []


def test_results_404_after_end(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("results_404_after_end", times=2, seconds=1_000)
    batch, messages = sandbox_user.run(TEN), sandbox_user.run_messages(TEN_MESSAGES)
    with pytest.raises(openai.NotFoundError):
        sandbox_user.lines(batch.output_file_id)
    with pytest.raises(anthropic.NotFoundError):
        sandbox_user.results(messages.id)
    sandbox_user.server.advance(1_001)
    assert set(sandbox_user.by_id(batch)) == IDS
    assert len(sandbox_user.results(messages.id)) == 10


@pytest.mark.parametrize("listed", [True, False])
def test_output_file_delayed(sandbox_user: SandboxUser, listed: bool) -> None:
    sandbox_user.fault("output_file_delayed", seconds=1_000, listed=listed)
    batch = sandbox_user.run(TEN)
    assert batch.status == "completed"
    assert (batch.output_file_id is not None) == listed
    if listed:
        with pytest.raises(openai.NotFoundError):
            sandbox_user.lines(batch.output_file_id)
    sandbox_user.server.advance(1_001)
    assert set(sandbox_user.by_id(sandbox_user.ended(batch.id))) == IDS


@pytest.mark.parametrize("error_file", ["empty", "all_failed"])
def test_completed_without_output_file(sandbox_user: SandboxUser, error_file: str) -> None:
    sandbox_user.fault("completed_without_output_file", error_file=error_file)
    batch = sandbox_user.run(TEN)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert set(sandbox_user.by_id(batch)) == (set() if error_file == "empty" else IDS)
    assert (batch.error_file_id == "") == (error_file == "empty")


def test_error_file_id_empty(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("error_file_id_empty")
    batch = sandbox_user.run(TEN)
    assert batch.error_file_id == ""
    assert len(sandbox_user.lines(batch.output_file_id)) == 10


def test_line_errored(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("line_errored", times=2, numbers=[3], status=503)
    batch, messages = sandbox_user.run(TEN), sandbox_user.run_messages(TEN_MESSAGES)
    (line,) = sandbox_user.lines(batch.error_file_id)
    assert (line["custom_id"], line["response"]["status_code"], line["error"]) == ("r2", 503, None)
    errored = [line for line in sandbox_user.results(messages.id) if line["result"]["type"] == "errored"]
    assert [line["custom_id"] for line in errored] == ["r2"]


def test_error_in_body(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("error_in_body", lines=2)
    batch = sandbox_user.run(TEN)
    lines = sandbox_user.lines(batch.output_file_id)
    bad = [line for line in lines if line["response"]["status_code"] == 400]
    assert (len(lines), len(bad), batch.error_file_id) == (10, 2, None)
    assert all(line["error"] is None and line["response"]["body"]["error"]["message"] for line in bad)


def test_status_code_zero(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("status_code_zero")
    (line,) = sandbox_user.lines(sandbox_user.run(TEN).error_file_id)
    assert (line["response"]["status_code"], line["error"]) == (0, None)


def test_request_counts_wrong(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("request_counts_wrong")
    batch = sandbox_user.run(TEN)
    assert batch.request_counts
    assert (batch.request_counts.completed, batch.request_counts.failed) == (0, 10)
    assert len(sandbox_user.lines(batch.output_file_id)) == 10


def test_lines_missing(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("lines_missing", times=2, lines=3)
    assert len(sandbox_user.by_id(sandbox_user.run(TEN))) == 7
    assert len(sandbox_user.results(sandbox_user.run_messages(TEN_MESSAGES).id)) == 7
    assert len(sandbox_user.by_id(sandbox_user.run(TEN))) == 10


def test_lines_duplicated(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("lines_duplicated", numbers=[1])
    lines = sandbox_user.lines(sandbox_user.run(TEN).output_file_id)
    first, second = (content(line) for line in lines if line["custom_id"] == "r0")
    assert len(lines) == 11
    assert first == echo("text 0") != second


def test_lines_unknown(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("lines_unknown", times=2, lines=2)
    found = set(sandbox_user.by_id(sandbox_user.run(TEN)))
    assert len(found - IDS) == 2
    results = sandbox_user.results(sandbox_user.run_messages(TEN_MESSAGES).id)
    assert len({line["custom_id"] for line in results} - IDS) == 2


def test_line_malformed(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("line_malformed", contains="text 4")
    batch = sandbox_user.run(TEN)
    lines = sandbox_user.openai.files.content(batch.output_file_id or "").read().splitlines()
    assert len(lines) == 10
    broken = []
    for line in lines:
        try:
            json.loads(line)
        except json.JSONDecodeError:
            broken.append(line)
    assert len(broken) == 1
    assert b'"r4"' in broken[0]


def test_expire_partially(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("expire_partially", times=2, done=0.3)
    batch, messages = sandbox_user.run(TEN), sandbox_user.run_messages(TEN_MESSAGES)
    assert batch.status == "expired"
    assert batch.expired_at
    assert len(sandbox_user.lines(batch.output_file_id)) == 3
    assert [line["error"]["code"] for line in sandbox_user.lines(batch.error_file_id)] == ["batch_expired"] * 7
    assert (messages.request_counts.succeeded, messages.request_counts.expired) == (3, 7)


def test_cancel_partially(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("cancel_partially", done=0.4)
    sandbox_user.fault("stuck_in_progress")
    batch = sandbox_user.create_messages(TEN_MESSAGES)
    sandbox_user.anthropic.messages.batches.cancel(batch.id)
    assert sandbox_user.ended_messages(batch.id).request_counts.succeeded == 4


def test_cancel_by_provider(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("cancel_by_provider", done=0.4)
    batch = sandbox_user.run(TEN)
    assert batch.status == "cancelled"
    assert len(sandbox_user.by_id(batch)) == 4


def test_credit_exhausted_mid_batch(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("credit_exhausted_mid_batch", times=2, done=0.2)
    batch, messages = sandbox_user.run(TEN), sandbox_user.run_messages(TEN_MESSAGES)
    errors = sandbox_user.lines(batch.error_file_id)
    assert [line["response"]["body"]["error"]["code"] for line in errors] == ["insufficient_quota"] * 8
    errored = [line["result"] for line in sandbox_user.results(messages.id) if line["result"]["type"] == "errored"]
    assert [result["error"]["error"]["type"] for result in errored] == ["billing_error"] * 8


@pytest.mark.parametrize("at", ["inside_line", "line_end"])
def test_download_cut(sandbox_user: SandboxUser, at: str) -> None:
    batch = sandbox_user.run(TEN)
    whole = sandbox_user.openai.files.content(batch.output_file_id or "").read()
    sandbox_user.fault("download_cut", at=at)
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        sandbox_user.openai.files.content(batch.output_file_id or "").read()
    sandbox_user.fault("download_cut", at=at, silent=True)
    part = sandbox_user.openai.files.content(batch.output_file_id or "").read()
    assert whole.startswith(part)
    assert 0 < len(part) < len(whole)
    assert part.endswith(b"\n") == (at == "line_end")
    assert sandbox_user.openai.files.content(batch.output_file_id or "").read() == whole


def test_unicode_separators(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("unicode_separators", share=1.0)
    batch = sandbox_user.run(TEN)
    raw = sandbox_user.openai.files.content(batch.output_file_id or "").read()
    assert raw.count(SEPARATORS.encode()) == 10
    assert raw.count(b"\n") == 10


def test_results_deleted(sandbox_user: SandboxUser) -> None:
    batch, messages = sandbox_user.run(TEN), sandbox_user.run_messages(TEN_MESSAGES)
    sandbox_user.fault("results_deleted", times=None)
    with pytest.raises(openai.NotFoundError):
        sandbox_user.lines(batch.output_file_id)
    with pytest.raises(anthropic.NotFoundError):
        sandbox_user.results(messages.id)


def test_refusal(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("refusal", times=3, share=1.0)
    message = next(iter(sandbox_user.by_id(sandbox_user.run(TEN)).values()))["response"]["body"]["choices"][0][
        "message"
    ]
    assert (message["content"], message["refusal"]) == (None, REFUSAL)
    result = sandbox_user.results(sandbox_user.run_messages(TEN_MESSAGES).id)[0]["result"]["message"]
    assert (result["stop_reason"], result["content"]) == ("refusal", [])
    told = sandbox_user.openai.responses.create(model="gpt-5-mini", input="x")
    assert told.output[0].content[0].type == "refusal"  # type: ignore[union-attr, index]  # one of a union


def test_cut_at_max_tokens(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("cut_at_max_tokens", times=2, share=1.0)
    choice = next(iter(sandbox_user.by_id(sandbox_user.run(TEN)).values()))["response"]["body"]["choices"][0]
    assert choice["finish_reason"] == "length"
    told = sandbox_user.openai.responses.create(model="gpt-5-mini", input="x")
    assert told.incomplete_details
    assert (told.status, told.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize("how", ["not_json", "wrong_type"])
def test_schema_broken(sandbox_user: SandboxUser, how: str) -> None:
    sandbox_user.fault("schema_broken", numbers=[1], how=how)
    lines = sandbox_user.by_id(sandbox_user.run([chat_line(f"r{n}", "x", response_format=STRUCTURED) for n in (0, 1)]))
    assert list(json.loads(content(lines["r1"]))) == ["name"]
    if how == "not_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(content(lines["r0"]))
    else:
        assert "name" not in json.loads(content(lines["r0"]))


def test_several_output_items(sandbox_user: SandboxUser) -> None:
    sandbox_user.fault("several_output_items", times=3, share=1.0)
    told = sandbox_user.openai.responses.create(model="gpt-5-mini", input="hello")
    assert [item.type for item in told.output] == ["reasoning", "message", "message"]
    assert told.output_text == echo("hello")
    result = sandbox_user.results(sandbox_user.run_messages(TEN_MESSAGES).id)[0]["result"]["message"]
    assert len(result["content"]) == 2
    assert "".join(part["text"] for part in result["content"]).startswith("sha256=")
    choices = next(iter(sandbox_user.by_id(sandbox_user.run(TEN)).values()))["response"]["body"]["choices"]
    assert len(choices) == 2


def test_answer_after_fragment(sandbox_user: SandboxUser) -> None:
    body = {"model": "gpt-5-mini", "input": "hello"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body}
    sandbox_user.fault("answer_after_fragment")
    told = sandbox_user.by_id(sandbox_user.run([line], endpoint="/v1/responses"))["a"]["response"]["body"]
    fragment, whole = (item["content"][0]["text"] for item in told["output"])
    assert whole == echo("hello")
    assert whole.startswith(fragment)
    assert len(fragment) < len(whole)


def test_packed_spoilt(sandbox_user: SandboxUser) -> None:
    stated = samples.definition(batch=BatchOptions(size=3))
    prompt = prompts_of(stated)([{"review": text} for text in ("good", "bad", "fine")])
    line = request_lines(asked(stated)).line("pack", prompt).decode().rstrip("\n")

    def numbers() -> list[int]:
        (answer,) = sandbox_user.by_id(sandbox_user.run([line])).values()
        return [entry["index"] for entry in json.loads(content(answer))["results"]]

    assert numbers() == [1, 2, 3]
    sandbox_user.fault("packed_spoilt", how="dropped")
    assert len(numbers()) == 2
    sandbox_user.fault("packed_spoilt", how="from_zero")
    assert numbers() == [0, 1, 2]
    assert numbers() == [1, 2, 3]


def test_packed_spoilt_is_refused_where_a_format_can_t_show_it(sandbox_user: SandboxUser) -> None:
    stated = samples.definition(batch=BatchOptions(size=2, response_format="delimited"))
    prompt = prompts_of(stated)([{"review": text} for text in ("good", "bad")])
    line = request_lines(asked(stated)).line("pack", prompt).decode().rstrip("\n")
    sandbox_user.fault("packed_spoilt", how="trailing_comma")
    (answer,) = sandbox_user.by_id(sandbox_user.run([line])).values()
    assert "can't answer 'trailing_comma' in 'delimited'" in json.dumps(answer)
