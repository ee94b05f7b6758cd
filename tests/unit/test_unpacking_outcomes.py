"""What becomes of each record of a batch whose requests hold several: one outcome, with the answer that tells of it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest

from poller.collect.demux import scan
from poller.collect.entries import Unreadable
from poller.collect.results import Results, ResultsWriter, Verdict, parse_failure
from poller.collect.unpacking import Unpack, unpacker_of
from shared.causes import Cause
from shared.definition import BatchOptions, Definition
from shared.keys import batch_key, custom_id
from shared.packing import Packing, packs_of
from shared.providers.openai_answers import judge
from tests.rig import samples
from tests.rig.packs import entry, labels, listed, stated, unpacked

KEY = batch_key("p", "s", "file", 0)


def line(request: int, text: str, finish: str = "stop") -> bytes:
    body = {
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    return orjson.dumps({"custom_id": custom_id(KEY, request), "response": {"status_code": 200, "body": body}}) + b"\n"


def scanned(lines: list[bytes], sizes: list[int], definition: Definition) -> tuple[list[str], list[bytes]]:
    packing = Packing(len(sizes), packs_of(sizes))
    with TemporaryDirectory() as folder:
        unpack: Unpack | None = unpacker_of(definition)
        writer = ResultsWriter(Path(folder), packing.records)
        scan(lines, KEY, judge, writer, packing, unpack)
        writer.seal()
        with Results(Path(folder), packing.records) as results:
            kept = [results.answer(record) for record in range(packing.records)]
            return [Verdict(verdict).name for verdict in results.verdicts], kept


def test_each_record_of_a_batch_has_one_outcome() -> None:
    lines = [
        line(3, listed(entry(1), entry(2))),
        line(0, listed(entry(2), entry(1))),
        line(1, "no"),
        line(2, listed(entry(1))[:-20], finish="length"),
        line(0, listed(entry(1, label="late"), entry(2, label="late"))),
    ]
    verdicts, kept = scanned(lines, [2, 2, 1, 3, 2], stated())
    assert verdicts == [
        "ANSWERED",
        "ANSWERED",
        "UNREAD",
        "UNREAD",
        "FAILED",
        "ANSWERED",
        "ANSWERED",
        "RETRY",
        "MISSING",
        "MISSING",
    ]
    assert orjson.loads(kept[0])["label"] == "label 1"
    assert parse_failure(kept[2])[0] == Cause.SCHEMA
    assert parse_failure(kept[2])[2] == "no", "the raw answer is kept"
    assert parse_failure(kept[4])[0] == Cause.TRUNCATED
    assert parse_failure(kept[7])[0] == Cause.NOT_IN_ANSWER


def test_of_a_cut_answer_what_is_whole_is_kept() -> None:
    whole = listed(entry(1), entry(2), entry(3))
    verdicts, kept = scanned([line(0, whole[: whole.index('"index": 3') + 20], finish="length")], [3], stated())
    assert verdicts == ["ANSWERED", "ANSWERED", "UNREAD"]
    assert parse_failure(kept[2])[0] == Cause.TRUNCATED
    delimited, _ = scanned([line(0, "1|a|1\n2|b|2\n3|c|", finish="length")], [3], stated(response_format="delimited"))
    assert set(delimited) == {"UNREAD"}, "where a line ends can't be known"


def test_of_a_tool_s_cut_arguments_nothing_is_taken_for_whole() -> None:
    """They may come closed: the last entry's text was cut, and its object looks like any other."""
    called = samples.definition(batch=BatchOptions(size=20), model={"parameters": {"batch.structured-output": "tool"}})
    closed = listed(entry(1), {"index": 2, "label": "ba"})
    with pytest.raises(Unreadable, match="cut"):
        unpacked(closed, 2, called, status="failed", cause=Cause.TRUNCATED)
    assert labels(unpacked(closed, 2, called)) == ["label 1", "ba"]
