"""The fake OpenAI, seen through the real SDK."""

import json
import re
from typing import Any

import openai
import psutil
import pytest

from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.provider.answers import echo, embedding
from tests.contracts.sandbox_user import CHAT, SandboxUser, chat_line
from tests.rig.waiting import wait_until

DAY = 86_400


def test_a_file_is_uploaded_listed_read_and_deleted(sandbox_user: SandboxUser) -> None:
    files = sandbox_user.openai.files
    expiry: Any = {"anchor": "created_at", "seconds": 3_600}
    made = [files.create(file=(f"{n}.jsonl", b"{}\n" * n), purpose="batch", expires_after=expiry) for n in (1, 2, 3)]
    assert [one.bytes for one in made] == [3, 6, 9]
    assert made[0].expires_at == made[0].created_at + 3_600
    assert files.retrieve(made[1].id) == made[1]
    assert files.content(made[1].id).read() == b"{}\n{}\n"
    pages = files.list(limit=2, order="asc", purpose="batch", after=made[0].id)
    assert [one.id for one in pages.data] == [made[1].id, made[2].id]
    assert files.delete(made[1].id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File"):
        files.content(made[1].id)
    assert made[1].id not in [one.id for one in files.list()]


def test_a_batch_goes_through_its_states_and_every_answer_belongs_to_its_record(sandbox_user: SandboxUser) -> None:
    texts = {f"r-{n}": f'record {n} "quoted"\nsecond line 😀 \u2028 end' for n in range(40)}
    created = sandbox_user.create([chat_line(*item) for item in texts.items()], metadata={"batch_key": "k"})
    assert created.status == "validating"
    assert created.object == "batch"
    batch = sandbox_user.ended(created.id)
    assert batch.status == "completed"
    assert batch.metadata == {"batch_key": "k"}
    assert batch.errors is None
    assert batch.error_file_id is None
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump(include={"total", "completed", "failed"}) == {
        "total": 40,
        "completed": 40,
        "failed": 0,
    }
    times = batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at
    assert None not in times
    assert list(times) == sorted(times, key=lambda time: time or 0)
    lines = sandbox_user.lines(batch.output_file_id)
    assert [line["custom_id"] for line in lines] != list(texts)
    answers = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in lines}
    assert answers == {custom_id: echo(text) for custom_id, text in texts.items()}
    used = sum(line["response"]["body"]["usage"]["total_tokens"] for line in lines)
    assert batch.usage is not None
    assert batch.usage.total_tokens == used


def test_the_list_is_newest_first_and_pages_meet_without_gap(sandbox_user: SandboxUser) -> None:
    file_id = sandbox_user.upload([chat_line("a", "a")])
    batches = sandbox_user.openai.batches
    made = [batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h").id for _ in range(5)]
    listed = [batch.id for _, batch in zip(range(5), batches.list(limit=2), strict=False)]
    assert listed == made[::-1]
    with pytest.raises(openai.BadRequestError, match="limit"):
        batches.list(limit=101)


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ([chat_line("a", "x"), "{broken"], "invalid_json_line", 2),
        ([chat_line("a", "x"), chat_line("a", "y")], "duplicate_custom_id", 2),
        ([chat_line("a", "x"), chat_line("b", "y", model="gpt-4o")], "mismatched_model", 2),
        ([chat_line("a", "x") | {"url": "/v1/responses"}], "url_mismatch", 1),
        ([chat_line("a", "x", model="no-such-model")], "model_not_found", 1),
        ([{"custom_id": "a", "method": "POST", "url": CHAT}], "missing_required_parameter", 1),
        ([], "empty_file", None),
    ],
)
def test_a_bad_file_fails_the_batch_later(
    sandbox_user: SandboxUser, lines: list[Any], code: str, number: int | None
) -> None:
    batch = sandbox_user.run(lines)
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(error.code, error.line) for error in batch.errors.data] == [(code, number)]
    assert batch.output_file_id is None


def test_a_body_the_endpoint_refuses_fails_only_its_request(sandbox_user: SandboxUser) -> None:
    strict = {"type": "json_schema", "json_schema": {"name": "o", "strict": True, "schema": {"type": "object"}}}
    bad = [
        chat_line("empty", "x", messages=[]),
        chat_line("unknown", "x", surprise=1),
        chat_line("open", "x", response_format=strict),
        chat_line("shape", "x", response_format="json"),
        chat_line("content", "x", messages=[{"role": "user", "content": [5]}]),
    ]
    batch = sandbox_user.run([chat_line("good", "x"), *bad])
    assert batch.status == "completed"
    lines = sandbox_user.by_id(batch)
    assert {custom_id: line["response"]["status_code"] for custom_id, line in lines.items()} == {
        "good": 200,
        "empty": 400,
        "unknown": 400,
        "open": 400,
        "shape": 400,
        "content": 400,
    }
    assert {line["custom_id"] for line in sandbox_user.lines(batch.error_file_id)} == set(lines) - {"good"}


@pytest.mark.parametrize("body", [{"max_tokens": 5}, {"temperature": 0.3}])
def test_reasoning_models_refuse_what_they_do_not_support(sandbox_user: SandboxUser, body: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError, match="Unsupported"):
        sandbox_user.openai.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "x"}], **body
        )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"endpoint": "/v1/nothing"}, "endpoint|Supported"),
    ],
)
def test_a_create_is_refused_at_once(sandbox_user: SandboxUser, options: dict[str, Any], word: str) -> None:
    with pytest.raises(openai.BadRequestError, match=word):
        sandbox_user.create([chat_line("a", "x")], **options)


def test_a_create_without_its_file_is_refused(sandbox_user: SandboxUser) -> None:
    with pytest.raises(openai.NotFoundError, match="No such File"):
        sandbox_user.openai.batches.create(input_file_id="file-none", endpoint=CHAT, completion_window="24h")


def test_a_cancelled_batch_keeps_what_was_done(sandbox_user: SandboxUser) -> None:
    sandbox_user.server.set_fault("cancel_partially", times=1, done=0.5)
    sandbox_user.server.set_fault("stuck_in_progress", times=1)
    batch = sandbox_user.create([chat_line(f"r{n}", str(n)) for n in range(10)])
    retrieve = sandbox_user.openai.batches.retrieve
    wait_until(lambda: retrieve(batch.id).status == "in_progress", 20, "the validation's end", interval=0.01)
    assert sandbox_user.openai.batches.cancel(batch.id).status in {"cancelling", "cancelled"}
    ended = sandbox_user.ended(batch.id)
    assert ended.status == "cancelled"
    assert ended.cancelled_at is not None
    assert len(sandbox_user.by_id(ended)) == 5
    with pytest.raises(openai.ConflictError, match="cancel"):
        sandbox_user.openai.batches.cancel(batch.id)


def test_a_key_is_needed_and_a_wrong_one_refused(sandbox_user: SandboxUser) -> None:
    wrong = openai.OpenAI(api_key="invalid-key", base_url=sandbox_user.server.openai_base_url, max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError, match="Incorrect API key") as refused:
        wrong.batches.list()
    assert refused.value.code == "invalid_api_key"
    assert refused.value.request_id


def test_embeddings_are_unit_vectors_in_both_encodings(sandbox_user: SandboxUser) -> None:
    made = sandbox_user.openai.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=8)
    assert made.data[1].embedding == pytest.approx(embedding("b", 8), abs=1e-6)
    floats = sandbox_user.openai.embeddings.create(
        model="text-embedding-3-small", input="b", dimensions=8, encoding_format="float"
    )
    assert floats.data[0].embedding == pytest.approx(embedding("b", 8))
    assert sum(part * part for part in floats.data[0].embedding) == pytest.approx(1)
    line = {"custom_id": "e", "method": "POST", "url": "/v1/embeddings"}
    line["body"] = {"model": "text-embedding-3-small", "input": "b", "dimensions": 8}  # type: ignore[assignment]  # another kind of body
    batch = sandbox_user.run([line], endpoint="/v1/embeddings")
    body = sandbox_user.lines(batch.output_file_id)[0]["response"]["body"]
    assert body["data"][0]["embedding"] == pytest.approx(embedding("b", 8))


def test_responses_carry_their_text_and_structured_output(sandbox_user: SandboxUser) -> None:
    plain = sandbox_user.openai.responses.create(model="gpt-5-mini", input="hello")
    assert plain.output_text == echo("hello")
    schema: Any = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": ["POSITIVE", "NEGATIVE"]}, "score": {"type": "number"}},
        "required": ["label", "score"],
        "additionalProperties": False,
    }
    made = sandbox_user.openai.responses.create(
        model="gpt-5-mini",
        instructions="Classify the sentiment.",
        input="A wonderful, lovely film",
        text={"format": {"type": "json_schema", "name": "out", "strict": True, "schema": schema}},
    )
    value = json.loads(made.output_text)
    assert value["label"] == "POSITIVE"
    assert value["score"] > 0.5


def test_the_limits_of_the_table_are_enforced(tmp_path: Any) -> None:
    limits = {
        "openai_requests": 2,
        "openai_bytes": 2_000,
        "openai_embedding_inputs": 2,
        "openai_creates_per_hour": 3,
        "openai_enqueued_tokens": 60,
        "openai_storage_bytes": 3_000,
    }
    with ProviderServer(tmp_path, limits=limits, processing_seconds=0.1) as server:
        user = SandboxUser(server)
        many = user.run([chat_line(f"r{n}", "x") for n in range(3)])
        assert many.errors
        assert many.errors.data
        assert many.errors.data[0].code == "too_many_tasks"
        with pytest.raises(openai.BadRequestError, match="too large"):
            user.upload([chat_line("r", "x" * 2_000)])
        body = {"model": "e", "input": ["a", "b", "c"]}
        line = {"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": body}
        assert user.run([line], endpoint="/v1/embeddings").status == "failed"
        tokens = user.run([chat_line("r", "x" * 240)])
        assert tokens.errors
        assert tokens.errors.data
        assert tokens.errors.data[0].code == "token_limit_exceeded"
        assert re.search(r"Limit: 60 enqueued tokens", tokens.errors.data[0].message or "")
        with pytest.raises(openai.RateLimitError, match="per hour"):
            user.create([chat_line("r", "x")])
        server.advance(3_601)
        assert user.run([chat_line("r", "x")]).status == "completed"
        with pytest.raises(openai.BadRequestError, match="storage"):
            user.upload([chat_line(f"r{n}", "x" * 300) for n in range(4)])
        user.close()


def test_time_alone_expires_a_batch_and_removes_its_results(tmp_path: Any) -> None:
    with ProviderServer(tmp_path, processing_seconds=2 * DAY) as server:
        user = SandboxUser(server)
        batch = user.create([chat_line(f"r{n}", str(n)) for n in range(10)])
        server.advance(1.5 * DAY)
        batch = user.ended(batch.id)
        assert batch.status == "expired"
        lines = user.by_id(batch)
        codes = [line["error"]["code"] for line in lines.values() if line["error"]]
        assert (len(lines), codes) == (10, ["batch_expired"] * 5)
        server.advance(31 * DAY)
        with pytest.raises(openai.NotFoundError, match="No such File"):
            user.openai.files.content(batch.output_file_id or batch.error_file_id or "")
        user.close()


def test_an_upload_is_streamed_to_disk(tmp_path: Any) -> None:
    with ProviderServer(tmp_path / "p") as server:
        user = SandboxUser(server)
        user.upload([chat_line("a", "warm up")])
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        big = tmp_path / "big.jsonl"
        with big.open("wb") as file:
            file.writelines(b"x" * 999_999 + b"\n" for _ in range(100))
        with big.open("rb") as file:
            made = user.openai.files.create(file=file, purpose="batch")
        assert made.bytes == 100_000_000
        assert process.memory_info().rss - before < 20_000_000
        user.close()
