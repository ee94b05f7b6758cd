import io
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.demux import Scan, fail_spoilt, lines_of, scan
from poller.collect.results import Results, ResultsWriter, Verdict, parse_failure
from shared.errors import SpoolError
from shared.keys import batch_key, custom_id
from shared.providers.openai_answers import judge

KEY, OTHER = batch_key("p", "s", "file", 0), batch_key("p", "s", "another", 0)
# Separators that only a reader of text would split at, quotes, newlines, emoji, NUL.
TEXTS = st.text(st.sampled_from('aé"\\\n\r\u2028\u2029\x85\x0b\x0c\x1c😀\u0000 ') | st.characters(codec="utf-8"))


def line(text: str, request: int, key: str = KEY) -> bytes:
    message = {"role": "assistant", "content": text}
    body = {
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    result = {"custom_id": custom_id(key, request), "response": {"status_code": 200, "body": body}, "error": None}
    return json.dumps(result, ensure_ascii=False).encode() + b"\n"


def scanned(folder: Path, data: bytes, requests: int) -> tuple[Scan, Results]:
    writer = ResultsWriter(folder, requests)
    counts = scan(lines_of(io.BytesIO(data)), KEY, judge, writer)
    writer.seal()
    return counts, Results(folder, requests)


@settings(max_examples=40)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), seed=st.randoms(use_true_random=False), newline=st.booleans())
def test_answers_in_any_order_are_found_by_their_request(texts: list[str], seed: object, newline: bool) -> None:
    lines = [line(text, request) for request, text in enumerate(texts)]
    seed.shuffle(lines)  # type: ignore[attr-defined]  # hypothesis's Random
    data = b"".join(lines)
    with TemporaryDirectory() as folder:
        counts, results = scanned(Path(folder), data if newline else data.removesuffix(b"\n"), len(texts))
        with results:
            assert [results.answer(request).decode() for request in range(len(texts))] == texts
    assert counts == Scan(own=len(texts), billed=len(texts), input_tokens=3 * len(texts), output_tokens=2 * len(texts))


ODD = st.sampled_from(["own", "again", "unknown", "foreign", "malformed", "blank", "padded", "negative"])


@settings(max_examples=40)
@given(kinds=st.lists(ODD, max_size=30))
def test_every_line_counts_once_and_the_first_of_a_request_wins(kinds: list[str]) -> None:
    requests = len(kinds) + 1
    lines = [line("first", 0)]
    expected = Scan(own=1)
    for number, kind in enumerate(kinds, 1):
        if kind == "own":
            lines.append(line(f"answer {number}", number))
            expected.own += 1
        elif kind == "again":
            lines.append(line("second", 0))
            expected.duplicates += 1
        elif kind in ("unknown", "padded", "negative"):
            odd = {"unknown": f"{KEY}-{requests + number}", "padded": f"{KEY}-01", "negative": f"{KEY}--1"}[kind]
            lines.append(line("x", 7).replace(f"{KEY}-7".encode(), odd.encode()))
            expected.unknown += 1
        elif kind == "foreign":
            lines.append(line("x", number, OTHER))
            expected.unknown += 1
            expected.foreign += 1
        else:
            lines.append(b'{"custom_id": \n' if kind == "malformed" else b"\n")
            expected.malformed += kind == "malformed"
    expected.billed, expected.input_tokens, expected.output_tokens = expected.own, 3 * expected.own, 2 * expected.own
    with TemporaryDirectory() as folder:
        counts, results = scanned(Path(folder), b"".join(lines), requests)
        with results:
            assert results.answer(0) == b"first"
            assert results.verdicts.count(Verdict.ANSWERED) == expected.own
            assert results.verdicts.count(Verdict.MISSING) == requests - expected.own
    assert counts == expected


@settings(max_examples=40)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5), data=st.data())
def test_a_file_cut_anywhere_loses_only_what_was_cut(texts: list[str], data: st.DataObject) -> None:
    whole = b"".join(line(text, request) for request, text in enumerate(texts))
    cut = data.draw(st.integers(0, len(whole)))
    complete = whole[:cut].count(b"\n")
    with TemporaryDirectory() as folder:
        counts, results = scanned(Path(folder), whole[:cut], len(texts))
        with results:
            assert [results.answer(request).decode() for request in range(complete)] == texts[:complete]
    assert counts.own in (complete, complete + 1)
    assert counts.own + counts.malformed <= complete + 1


def test_a_broken_line_is_the_end_of_its_own_request_only(tmp_path: Path) -> None:
    """It was executed and may be billed; what its answer quotes names nobody."""
    broken, quoting = line("half an answer", 0)[:-30] + b"\n", line(f'"custom_id": "{KEY}-3"', 9, OTHER)[:-30] + b"\n"
    writer = ResultsWriter(tmp_path, 4)
    data = broken + quoting + line("again", 1)[:-30] + b"\n" + line("again", 1)
    counts = scan(lines_of(io.BytesIO(data)), KEY, judge, writer)
    assert writer.verdicts.count(Verdict.MISSING) == 3
    fail_spoilt(writer, counts)
    writer.seal()
    with Results(tmp_path, 4) as results:
        cause, _, raw = parse_failure(results.answer(0))
        assert (cause, raw) == ("malformed", broken.decode())
        assert list(results.verdicts) == [Verdict.FAILED, Verdict.ANSWERED, Verdict.MISSING, Verdict.MISSING]


def test_an_endless_line_is_malformed_and_does_not_fill_the_memory() -> None:
    data = b"x" * 1000 + b"\n" + b"short\n" + b"y" * 250
    assert list(lines_of(io.BytesIO(data), 100)) == [b"too long\n", b"short\n", b"too long\n"]


@pytest.mark.parametrize("size", [10, 3 << 20], ids=["small", "more than is kept in memory"])
def test_answers_come_back_whatever_their_order_and_size(tmp_path: Path, size: int) -> None:
    texts = [letter * size for letter in "abc"]
    _, results = scanned(tmp_path, b"".join(line(texts[request], request) for request in (2, 0, 1)), 3)
    with results:
        assert [results.answer(record).decode() for record in range(3)] == texts


def test_an_error_is_kept_with_its_cause(tmp_path: Path) -> None:
    refused = {"custom_id": custom_id(KEY, 0), "response": {"status_code": 400, "body": {"error": {"message": "no"}}}}
    _, results = scanned(tmp_path, json.dumps(refused).encode(), 1)
    with results:
        cause, message, raw = parse_failure(results.answer(0))
    assert cause == "rejected"
    assert "no" in message
    assert raw


def test_a_lone_surrogate_does_not_stop_the_batch(tmp_path: Path) -> None:
    cut = line("X", 0).replace(b'"X"', rb'"half an emoji \ud83d"')
    counts, results = scanned(tmp_path, cut + line("whole", 1), 2)
    with results:
        assert results.answer(1) == b"whole"
    assert counts.own + counts.malformed == 2


@pytest.mark.parametrize("damage", ["missing", "short", "other"])
def test_a_damaged_index_is_an_error(tmp_path: Path, damage: str) -> None:
    scanned(tmp_path, line("x", 0), 1)[1].close()
    index = tmp_path / "results.index"
    if damage == "missing":
        index.unlink()
    elif damage == "short":
        index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(SpoolError, match=r"results\.index"):
        Results(tmp_path, 2 if damage == "other" else 1)


def test_answers_shorter_than_the_index_are_an_error(tmp_path: Path) -> None:
    scanned(tmp_path, line("a long answer", 0), 1)[1].close()
    (tmp_path / "results.answers").write_bytes(b"short")
    with pytest.raises(SpoolError, match="shorter"):
        Results(tmp_path, 1)


def test_answers_that_end_while_they_are_read_are_an_error_and_no_shorter_answers(tmp_path: Path) -> None:
    texts = [letter * (3 << 20) for letter in "ab"]
    _, results = scanned(tmp_path, b"".join(line(text, request) for request, text in enumerate(texts)), 2)
    with results:
        os.truncate(tmp_path / "results.answers", 4 << 20)
        assert results.answer(0).decode() == texts[0]
        with pytest.raises(SpoolError, match=r"results\.answers: \d+ bytes at \d+ can't be read"):
            results.answer(1)
