"""Each line of results is judged by itself, whatever the provider put into it."""

import base64
from array import array
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.causes import Cause
from shared.providers import anthropic_answers, openai_answers
from shared.providers.bodies import SCHEMA_NAME
from shared.providers.port import Answer

ID = "abcdefghijklmnopqrstuvwxyz-0-1"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def openai(response: Any, error: Any = None) -> Answer:
    line = {"id": "batch_req_1", "custom_id": ID, "response": response, "error": error}
    answer = openai_answers.judge(orjson.dumps(line))
    assert answer is not None
    assert answer.custom_id == ID
    return answer


def completed(body: Any, status: int = 200) -> Answer:
    return openai({"status_code": status, "request_id": "r", "body": body})


def chat(message: dict[str, Any], reason: str = "stop", **body: Any) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return completed({"object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE, **body})


def response(output: list[Any], status: str = "completed", reason: str | None = None) -> Answer:
    body = {"object": "response", "model": "m", "status": status, "error": None, "output": output}
    details = {"reason": reason} if reason else None
    usage = {"input_tokens": 11, "output_tokens": 7}
    return completed({**body, "incomplete_details": details, "usage": usage})


def said(*texts: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text} for text in texts]}


def message(content: list[Any], reason: str = "end_turn", **more: Any) -> Answer:
    usage = {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 0}
    body = {"type": "message", "model": "m", "content": content, "stop_reason": reason, "usage": usage, **more}
    return anthropic({"type": "succeeded", "message": body})


def anthropic(result: Any) -> Answer:
    answer = anthropic_answers.judge(orjson.dumps({"custom_id": ID, "result": result}))
    assert answer is not None
    assert answer.custom_id == ID
    return answer


TEXT = {"type": "text", "text": "one "}, {"type": "text", "text": "two"}


@pytest.mark.parametrize(
    "answer",
    [
        chat({"content": "one two", "refusal": None}),
        chat({"content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]}),
        chat({"content": "one two"}, object=""),
        response([{"type": "reasoning", "summary": []}, said("one "), said("two")]),
        response([said("one ", "two")]),
        message([TEXT[0], TEXT[1]]),
        message([{"type": "thinking", "thinking": "…"}, {"type": "text", "text": "one two"}]),
    ],
)
def test_all_parts_of_an_answer_are_its_text(answer: Answer) -> None:
    assert answer == Answer(ID, "succeeded", "one two", None, "m", 11, 7)


def structured(*texts: str) -> str | None:
    """The text of a structured answer that comes in items of these texts."""
    body = {"object": "response", "output": [said(text) for text in texts], "text": {"format": {"type": "json_schema"}}}
    return completed(body).text


@pytest.mark.parametrize(
    ("texts", "text"),
    [
        (['{"a": [1', '{"a": [1, 2]}'], '{"a": [1, 2]}'),
        (['{"a": ', "1}"], '{"a": 1}'),
        (['{"a": 1}', '{"a": 2}'], '{"a": 1}{"a": 2}'),
        (["no", "object"], "noobject"),
        (['{"a": 1}'], '{"a": 1}'),
    ],
    ids=["a fragment first", "parts of one", "two answers", "none", "one item"],
)
def test_of_a_structured_answer_in_items_the_whole_one_counts(texts: list[str], text: str) -> None:
    assert structured(*texts) == text


def test_the_input_of_a_forced_tool_is_the_text() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    for content in (None, "", " \n", [], [{"type": "text", "text": ""}]):
        assert chat({"content": content, "tool_calls": [call]}, "tool_calls").text == '{"a":1}'
    assert message([{"type": "tool_use", "input": {"a": 1}}], "tool_use").text == '{"a":1}'


def test_what_a_model_says_beside_a_tool_is_left_out_where_the_tool_is_the_one_that_asks_for_columns() -> None:
    ours = {"type": "function", "function": {"name": SCHEMA_NAME, "arguments": '{"a":1}'}}
    other = {"type": "function", "function": {"name": "f", "arguments": '{"a":2}'}}
    assert chat({"content": "Let me see.", "tool_calls": [other, ours]}, "tool_calls").text == '{"a":1}'
    assert chat({"content": "", "tool_calls": [other, ours]}, "tool_calls").text == '{"a":1}'
    assert chat({"content": "Let me see.", "tool_calls": [other]}, "tool_calls").text == "Let me see."
    assert chat({"content": "one two", "tool_calls": [None, {"function": "x"}, 3]}).text == "one two"
    assert chat({"content": "one two", "tool_calls": 3}).text == "one two"
    assert chat({"content": "", "tool_calls": [None]}).cause == Cause.MALFORMED
    assert chat({"content": "", "tool_calls": []}).text == ""


def test_a_response_may_call_a_tool_instead_of_saying_something() -> None:
    call = {"type": "function_call", "name": "f", "arguments": '{"a":1}', "call_id": "call_1"}
    assert response([{"type": "reasoning"}, call]).text == '{"a":1}'
    assert response([said("Let me see."), call]).text == "Let me see."
    assert response([call, call | {"name": SCHEMA_NAME, "arguments": '{"a":2}'}]).text == '{"a":2}'
    assert response([{"type": "function_call"}]).cause == Cause.MALFORMED


@pytest.mark.parametrize("encoded", [True, False])
def test_an_embedding_comes_as_numbers_or_as_base64(encoded: bool) -> None:
    vector = [0.5, -0.25, 0.125]
    sent = base64.b64encode(array("f", vector).tobytes()).decode() if encoded else vector
    body = {"object": "list", "data": [{"embedding": sent}], "model": "e", "usage": {"prompt_tokens": 3}}
    assert completed(body) == Answer(ID, "succeeded", None, vector, "e", 3)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (chat({"content": None, "refusal": "I can't"}), Cause.REFUSAL),
        (chat({"content": "half an ans"}, "length"), Cause.TRUNCATED),
        (chat({"content": ""}, "content_filter"), Cause.CONTENT_FILTER),
        (response([{"type": "message", "content": [{"type": "refusal", "refusal": "I can't"}]}]), Cause.REFUSAL),
        (response([said("half an ans")], "incomplete", "max_output_tokens"), Cause.TRUNCATED),
        (response([said("half")], "incomplete", "content_filter"), Cause.CONTENT_FILTER),
        (response([], "incomplete", "max_output_tokens"), Cause.TRUNCATED),
        (response([{"type": "function_call", "name": "f"}], "incomplete", "max_output_tokens"), Cause.TRUNCATED),
        (message([], "refusal", stop_details={"explanation": "I can't"}), Cause.REFUSAL),
        (message([{"type": "text", "text": "half an ans"}], "max_tokens"), Cause.TRUNCATED),
    ],
)
def test_a_refused_or_cut_answer_fails_with_its_cause_and_its_tokens(answer: Answer, cause: Cause) -> None:
    assert (answer.status, answer.cause, answer.text) == ("failed", cause, None)
    assert (answer.input_tokens, answer.output_tokens) == (11, 7)


def test_the_raw_answer_is_kept() -> None:
    assert chat({"content": None, "refusal": "I can't"}).raw == "I can't"
    assert chat({"content": "half an ans"}, "length").raw == "half an ans"
    assert message([], "refusal", stop_details={"explanation": "I can't"}).raw == "I can't"


def fault(code: str | None, kind: str | None = None, text: str = "why") -> dict[str, Any]:
    return {"error": {"message": text, "type": kind, "code": code, "param": None}}


@pytest.mark.parametrize(
    ("answer", "status", "cause"),
    [
        (openai(None, {"code": "batch_expired", "message": "late"}), "retryable", Cause.EXPIRED),
        (openai(None, {"code": "batch_cancelled", "message": "c"}), "retryable", Cause.CANCELLED),
        (openai(None, {"code": "something_new", "message": "?"}), "retryable", Cause.PROVIDER_ERROR),
        (completed(fault("invalid_value", "invalid_request_error"), 400), "failed", Cause.REJECTED),
        (completed(fault("invalid_value", "invalid_request_error"), 200), "failed", Cause.REJECTED),
        (completed(fault("model_not_found", "invalid_request_error"), 404), "failed", Cause.REJECTED),
        (completed(fault("content_filter", None), 400), "failed", Cause.CONTENT_FILTER),
        (completed(fault(None, "server_error"), 500), "retryable", Cause.PROVIDER_ERROR),
        (completed(fault("rate_limit_exceeded", "requests"), 429), "retryable", Cause.PROVIDER_ERROR),
        (completed(fault("insufficient_quota", "insufficient_quota"), 429), "account", Cause.ACCOUNT),
        (completed(fault("invalid_api_key"), 401), "account", Cause.ACCOUNT),
        (completed("", 0), "retryable", Cause.PROVIDER_ERROR),
        (openai({"status_code": 0, "request_id": "", "body": None}), "retryable", Cause.PROVIDER_ERROR),
        (completed("<html>bad gateway</html>", 502), "retryable", Cause.PROVIDER_ERROR),
        (openai(None), "retryable", Cause.PROVIDER_ERROR),
    ],
)
def test_an_openai_error_is_judged_by_itself(answer: Answer, status: str, cause: Cause) -> None:
    assert (answer.status, answer.cause) == (status, cause)


@pytest.mark.parametrize(
    ("kind", "text", "status", "cause"),
    [
        ("invalid_request_error", "messages: Field required", "failed", Cause.REJECTED),
        ("request_too_large", "too large", "failed", Cause.REJECTED),
        ("not_found_error", "model: no-such", "failed", Cause.REJECTED),
        ("api_error", "oops", "retryable", Cause.PROVIDER_ERROR),
        ("overloaded_error", "busy", "retryable", Cause.PROVIDER_ERROR),
        ("billing_error", "Your credit balance is too low", "account", Cause.ACCOUNT),
        ("invalid_request_error", "Your credit balance is too low to access the API", "account", Cause.ACCOUNT),
        ("authentication_error", "invalid x-api-key", "account", Cause.ACCOUNT),
    ],
)
def test_an_anthropic_error_is_judged_by_itself(kind: str, text: str, status: str, cause: Cause) -> None:
    answer = anthropic({"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": text}}})
    assert (answer.status, answer.cause, answer.message) == (status, cause, f"{kind}: {text}")


def test_anthropic_says_which_requests_never_ran() -> None:
    assert [anthropic({"type": kind}).cause for kind in ("expired", "canceled")] == [Cause.EXPIRED, Cause.CANCELLED]
    assert {anthropic({"type": kind}).status for kind in ("expired", "canceled")} == {"retryable"}


@pytest.mark.parametrize(
    "answer",
    [
        completed({"object": "chat.completion", "choices": []}),
        completed({"object": "response", "output": "text"}),
        completed({"object": "list", "data": [{"embedding": None}]}),
        chat({"content": None}),
        message([]),
        anthropic({"type": "succeeded"}),
        anthropic("a text"),
        anthropic({"type": "errored", "error": "a text"}),
    ],
)
def test_an_answer_of_another_shape_fails_and_is_kept(answer: Answer) -> None:
    assert (answer.status, answer.cause) == ("failed", Cause.MALFORMED)
    assert answer.raw is not None


@pytest.mark.parametrize("judge", [openai_answers.judge, anthropic_answers.judge])
@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"7", b'{"custom_id":7}', b'{"id":"x"}', b'{"custom_id":"a"'])
def test_a_malformed_line_is_nobodys(judge: Any, line: bytes) -> None:
    assert judge(line) is None


KEYS = [
    *("response", "body", "error", "status_code", "choices", "message", "content", "object", "output", "data"),
    *("result", "type", "usage", "code", "embedding", "incomplete_details", "status", "stop_reason", "prompt_tokens"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("judge", [openai_answers.judge, anthropic_answers.judge])
@given(value=st.dictionaries(st.sampled_from(["response", "error", "result"]), JSON))
def test_no_line_ever_raises(judge: Any, value: dict[str, Any]) -> None:
    answer = judge(orjson.dumps({"custom_id": ID, **value}))
    assert answer is not None
    assert answer.status != "succeeded" or answer.text is not None or answer.embedding is not None
