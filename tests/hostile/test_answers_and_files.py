"""Whatever others write is answered with a clear error of ours, or a cause of its own record: never with a crash."""

import os
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.decision import Decision, read_decision
from poller.collect.demux import scan
from poller.collect.results import ResultsWriter, failure, parse_failure
from poller.register.place import PLACE, read_place
from poller.watch.looks import bounced
from shared.closing import CLOSING, read_closing
from shared.errors import ProviderError, SpoolError
from shared.intents import newest_intent, newest_receipt
from shared.keys import batch_key, is_batch_key, is_name, parse_custom_id
from shared.providers import anthropic_answers, openai_answers
from shared.providers.codes import limit_in
from shared.providers.faults import refusal, retry_after
from shared.providers.port import Answer
from shared.spool import DECISION, MANIFEST, Spool
from shared.telemetry import REDACTED, SECRETS
from shared.terminal import printable, printable_json, printable_lines

KEY = batch_key("pipe", "sentiments", "file", 0)
FOLDER = f"pipe/sentiments/batches/{KEY}"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
DEEP = b"[" * 900 + b"1" + b"]" * 900
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["9" * 5000, "\x1b]0;x\x07", "=cmd|' /C'!A0", "<script>", "\u202e", "\u0000", "401", "²"]),
)
VALUES = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
JUDGES = {"openai": openai_answers.judge, "anthropic": anthropic_answers.judge}
READINGS = {
    "openai": (openai_answers.plain, openai_answers.judge_any),
    "anthropic": (anthropic_answers.plain, anthropic_answers.judge_any),
}


def grafted(shape: Any, draw: Any) -> Any:
    """A documented shape in which some parts are something else, or missing."""
    if draw(st.integers(0, 9)) == 0:
        return draw(VALUES)
    if isinstance(shape, dict):
        return {key: grafted(value, draw) for key, value in shape.items() if draw(st.integers(0, 19))}
    if isinstance(shape, list):
        return [grafted(value, draw) for value in shape]
    return shape


CHAT = {
    "object": "chat.completion",
    "model": "m",
    "choices": [{"message": {"content": "hi", "refusal": None, "tool_calls": []}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
RESPONSE = {
    "object": "response",
    "status": "incomplete",
    "incomplete_details": {"reason": "max_output_tokens"},
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}],
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
VECTOR = {"object": "list", "data": [{"embedding": [0.5, 1]}], "usage": {"prompt_tokens": 3}}
MESSAGE = {
    "type": "message",
    "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "input": {}}],
    "stop_reason": "refusal",
    "stop_details": {"explanation": "no"},
    "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 1},
}
ERROR = {"type": "error", "code": "x", "message": "no", "error": {"type": "t", "details": {"error_code": "c"}}}
SHAPES: Mapping[str, list[Any]] = {
    "openai": [
        *({"response": {"status_code": 200, "body": body}, "error": None} for body in (CHAT, RESPONSE, VECTOR)),
        {"response": {"status_code": 400, "body": {"error": ERROR}}, "error": None},
        {"response": None, "error": ERROR},
    ],
    "anthropic": [
        {"result": {"type": "succeeded", "message": MESSAGE}},
        {"result": {"type": "errored", "error": ERROR}},
    ],
}

WELL: Mapping[str, Any] = {
    "openai": {
        "id": "batch_req_1",
        "response": {
            "status_code": 200,
            "request_id": "r",
            "body": {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1796033326,
                "model": "m",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "hi", "refusal": None, "tool_calls": None},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 0}},
                "service_tier": "default",
                "system_fingerprint": None,
            },
        },
        "error": None,
    },
    "anthropic": {
        "result": {
            "type": "succeeded",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [{"type": "text", "text": "hi", "citations": None}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 3,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 2,
                    "service_tier": "batch",
                },
            },
        }
    },
}


@pytest.mark.parametrize("provider", JUDGES)
@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_the_short_cut_reads_nothing_else_than_the_long_way(provider: str, data: st.DataObject) -> None:
    shape = _object(grafted(WELL[provider], data.draw))
    line = orjson.dumps({"custom_id": f"{KEY}-0", **shape}) + b"\n"
    plain, judge_any = READINGS[provider]
    assert plain(line) in (None, judge_any(line))


@pytest.mark.parametrize("provider", JUDGES)
def test_an_answer_that_went_well_takes_the_short_cut(provider: str) -> None:
    plain, _ = READINGS[provider]
    answer = plain(orjson.dumps({"custom_id": f"{KEY}-0", **WELL[provider]}))
    assert answer == Answer(f"{KEY}-0", "succeeded", "hi", None, "m", 3, 2)


@pytest.mark.parametrize("provider", JUDGES)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_line_of_results_is_judged_and_kept(
    provider: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shape = data.draw(st.sampled_from(SHAPES[provider]))
    line = orjson.dumps({"custom_id": f"{KEY}-0", **_object(grafted(shape, data.draw))}) + b"\n"
    _keep(JUDGES[provider], line, tmp_path_factory.getbasetemp())


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"response": value, "result": value}


def _keep(judge: Any, line: bytes, folder: Path) -> Answer | None:
    with ResultsWriter(folder, 1) as writer:
        scan([line], KEY, judge, writer)
    answer: Answer | None = judge(line)
    if answer is not None and answer.cause is not None:
        parse_failure(failure(answer.cause, answer.message or "", answer.raw))
    return answer


@pytest.mark.parametrize("provider", JUDGES)
@pytest.mark.parametrize(
    "rest",
    [
        b'"response":{"status_code":500,"body":{"error":%s}},"result":{"type":"errored","error":{"error":%s}}'
        % (DEEP, DEEP),
        b'"response":{"status_code":200,"body":{"object":"list","data":[{"embedding":%s}]}}' % DEEP,
        b'"response":{"status_code":200,"body":%s},"result":{"type":"succeeded","message":{"content":%s}}'
        % (DEEP, DEEP),
        b'"response":null,"error":{"code":"%s","message":"x"}' % (b"9" * 5000),
        b'"response":{"status_code":1e999,"body":null},"error":{"message":"x"}',
        (
            b'"response":{"status_code":200,"body":{"choices":[{"message":{"refusal":{"a":[]}}}],'
            b'"usage":{"prompt_tokens":"many","completion_tokens":-5}}}'
        ),
        (
            b'"result":{"type":"succeeded","message":{"content":[{"type":"text","text":{"a":1}}],'
            b'"usage":{"input_tokens":1e300,"output_tokens":[]}}}'
        ),
    ],
)
def test_depth_length_and_numbers_of_a_line_break_nothing(provider: str, rest: bytes, tmp_path: Path) -> None:
    line = b'{"custom_id":"%s-0",%s}\n' % (KEY.encode(), rest)
    answer = _keep(JUDGES[provider], line, tmp_path)
    assert answer is None or (answer.input_tokens >= 0 and answer.output_tokens >= 0)


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 30, "00", "-1", "²", "٣", "1e3", ""])
def test_no_number_of_an_id_is_taken_for_a_request(number: str, tmp_path: Path) -> None:
    line = orjson.dumps({"custom_id": f"{KEY}-{number}", "response": None, "error": {"message": "x"}})
    other = orjson.dumps({"custom_id": f"{batch_key('a', 'b', 'c', 0)}-{number}", "error": {"message": "x"}})
    with ResultsWriter(tmp_path, 1) as writer:
        assert scan([line, other], KEY, openai_answers.judge, writer).unknown == 2


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=120), value=st.binary(max_size=200))
def test_any_bytes_are_malformed_or_judged(text: str, value: bytes) -> None:
    for judge in JUDGES.values():
        judge(value)
    parse_custom_id(text)
    assert not is_name(text) or set(text) <= set(map(chr, range(33, 127))) - {"/", "\\"}


@settings(max_examples=200, deadline=None)
@given(
    said=st.one_of(
        st.text(max_size=40),
        st.sampled_from(["nan", "-inf", "1e999", "-5", "9" * 5000, "٣", "0x10", "Mon, 01 Jun 99999 00:00:00 GMT"]),
        st.builds(
            "Mon, {} Jun {} {}:00:00 {}".format,
            st.integers(-1, 40),
            st.integers(-1, 99999),
            st.integers(-1, 30),
            st.sampled_from(["GMT", "+9999", "-9999", "+2400", "+99999999999999999999", "x", ""]),
        ),
    )
)
def test_whatever_stands_in_retry_after_is_a_wait_of_at_most_a_day(said: str) -> None:
    for headers in ({"retry-after": said}, {"retry-after-ms": said}):
        wait = retry_after(headers, NOW)
        assert wait is None or 0 <= wait.total_seconds() <= 86400


@settings(max_examples=200, deadline=None)
@given(
    status=st.integers(400, 599),
    code=st.none() | st.text(max_size=30),
    kind=st.none() | st.text(max_size=30),
    message=st.text(max_size=100) | st.sampled_from(["enqueued token limit: " + "9" * 5000, "Limit: .,_ queue"]),
)
def test_every_refusal_has_a_verdict(status: int, code: str | None, kind: str | None, message: str) -> None:
    assert isinstance(refusal(status, code, kind, message, {}, NOW), ProviderError)
    assert (limit_in(message) or 0) < 2**63


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(f"file://{tmp_path_factory.mktemp('hostile')}/spool")


READERS: Mapping[str, Callable[[Spool], object]] = {
    MANIFEST: lambda spool: spool.manifest("pipe", "sentiments", KEY),
    DECISION: lambda spool: read_decision(spool.files, FOLDER),
    PLACE: lambda spool: read_place(spool.files, FOLDER),
    CLOSING: lambda spool: read_closing(spool, FOLDER),
    "intent-1.json": lambda spool: newest_intent(spool, FOLDER),
    "receipt-1.json": lambda spool: newest_receipt(spool, FOLDER, 1),
}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=40, deadline=None)
@given(data=st.one_of(st.binary(max_size=60), VALUES.map(orjson.dumps), st.just(DEEP), st.just(b'{"version":1e999}')))
def test_a_file_beside_a_manifest_is_read_or_named(spool: Spool, name: str, data: bytes) -> None:
    path = Path(spool.files.work(FOLDER)) / name
    path.write_bytes(data)
    try:
        READERS[name](spool)
    except SpoolError as error:
        said = str(error)
    else:
        said = name
    finally:
        path.unlink()
    assert name in said


ESCAPES = [
    "/etc/passwd",
    "../outside",
    "pipe/../../outside",
    "pipe/\0",
    "x" * 300,
    "/".join(["x"] * 3000),
    "ring",
    "out/passwd",
]


@pytest.mark.parametrize("address", ESCAPES)
def test_no_address_leads_out_of_the_spool(tmp_path: Path, address: str) -> None:
    root = tmp_path / "spool"
    root.mkdir()
    (root / "ring").symlink_to("ring")
    (root / "out").symlink_to("/etc")
    (tmp_path / "outside").write_bytes(b"secret")
    files = Spool(root.as_uri()).files
    for read in (files.read, files.size, files.entries, files.delete):
        with pytest.raises(SpoolError):
            read(address)
    assert (tmp_path / "outside").exists()


@pytest.mark.parametrize("name", ["..", ".", "", ".x", "a/b", "a\\b", "a\0", "a\n", "аbc", "a" * 101, "ａ", "a b", "~"])  # noqa: RUF001 letters that look alike
def test_no_such_name_stands_in_a_path(spool: Spool, name: str) -> None:
    with pytest.raises(SpoolError):
        spool.batch(name, "sentiments", KEY)
    with pytest.raises(SpoolError):
        spool.batch("pipe", name, KEY)
    assert not is_batch_key(f"{KEY}{name}" if name else "")


def test_what_the_spool_holds_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files = Spool(f"file://{tmp_path}/spool").files
        files.create(f"{FOLDER}/{DECISION}", Decision(results="0" * 32, refused=False).model_dump_json().encode())
        work = Path(files.work(f"{FOLDER}/results"))
        with ResultsWriter(work, 1) as writer:
            writer.put(0, 1, b"x")  # type: ignore[arg-type]  # a name from elsewhere
            writer.seal()
    finally:
        os.umask(before)
    for path in (tmp_path / "spool").rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


TERMINAL = st.text(max_size=40) | st.sampled_from(
    [
        "\x1b[2J",
        "\x9b31m",
        "\u202eevil",
        "a\rb",
        "\u2028",
        "\x7f",
        "\u2066a\u2069",
        "\U000e0041",
        "\x1b]8;;http://x\x07",
    ]
)


@given(text=TERMINAL)
def test_nothing_of_a_text_speaks_to_the_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert all(line.isprintable() for line in printable_lines(text).split("\n"))


@given(text=TERMINAL)
def test_json_for_the_terminal_says_the_same(text: str) -> None:
    said = orjson.dumps({"message": text}, option=orjson.OPT_INDENT_2).decode() if _is_text(text) else '{"message": ""}'
    shown = printable_json(said)
    assert shown.replace("\n", "").isprintable()
    assert orjson.loads(shown) == orjson.loads(said)


def _is_text(text: str) -> bool:
    """Whether it has no lone surrogate."""
    return text.encode("utf-8", "replace").decode() == text


def test_a_key_that_is_said_of_a_failed_record_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_A_TEST", "key/of+test=0451&")
    SECRETS.name("KEY_OF_A_TEST")
    kept = failure("rejected", "wrong key: key/of+test=0451&", '{"said": "key%2Fof%2Btest%3D0451%26"}')
    assert parse_failure(kept) == ("rejected", f"wrong key: {REDACTED}", f'{{"said": "{REDACTED}"}}')


def test_a_key_that_is_said_of_a_batch_is_not_why_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_A_TEST", "key/of+test=0451&")
    SECRETS.name("KEY_OF_A_TEST")
    assert bounced("refused: key/of+test=0451&", NOW)["held_reason"] == f"refused: {REDACTED}"
