"""The extra columns: from lines of results to the sink's messages, and what a record's share of a request is."""

import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.collect.demux import scan
from poller.collect.outcome import settle
from poller.collect.results import Results, ResultsWriter
from poller.collect.unpacking import unpacker_of
from poller.collect.usage import UNKNOWN, Usage, UsageWriter, is_kept, kept_usage, usage_for
from poller.publish.extra import MOST_RAW
from poller.publish.messages import Messages, Outgoing
from shared import extras
from shared.definition import BatchOptions, Column, Definition, Projected
from shared.errors import SpoolError
from shared.manifest import Manifest
from shared.messages import Header
from shared.providers import provider_for
from shared.providers.port import Answer, Cached
from shared.providers.prices import cost
from shared.topic_limits import TopicLimits
from tests.rig import samples

KEY = "abcdefghijklmnopqrstuvwxyz-0"
TYPES = {**extras.NAMES, extras.HTTP_STATUS: extras.METADATA["http-status-code"][1]}


def stated(*names: str, **changes: Any) -> Definition:
    plain = samples.definition()
    more = tuple(Projected(name=f"x {name}", source="extra", column=name, type=TYPES[name]) for name in names)
    columns = (*plain.sink.columns, *(Column(name=each.name, type=each.type) for each in more))
    options = BatchOptions(max_retries=0, **changes.pop("batch", {}))
    return samples.definition(
        projection=(*plain.projection, *more), sink={"columns": columns}, batch=options, **changes
    )


def manifest_of(definition: Definition, *runs: Any, **changes: Any) -> Manifest:
    requests = changes.pop("requests", sum(count for count, fate in runs if fate == "request"))
    return Manifest(
        batch_key=KEY,
        pipeline="pipe",
        statement="sentiments",
        generation=0,
        definition=definition,
        sealed_file="pipe/sentiments/sealed/x/part",
        sealed_at=samples.EPOCH,
        start=0,
        end=1,
        runs=runs,
        requests=requests,
        records=sum(count for count, _ in runs),
        bytes=1,
        sha256="",
        **changes,
    )


def chat(number: int, text: str, **usage: int) -> bytes:
    body = {
        "object": "chat.completion",
        "model": "gpt-5-mini-2025-08-07",
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": usage,
    }
    return orjson.dumps({"custom_id": f"{KEY}-{number}", "response": {"status_code": 200, "body": body}, "error": None})


def refused(number: int) -> bytes:
    body = {"error": {"code": "context_length_exceeded", "message": "too long"}}
    return orjson.dumps({"custom_id": f"{KEY}-{number}", "response": {"status_code": 400, "body": body}, "error": None})


def published(folder: Path, manifest: Manifest, *lines: bytes) -> list[Outgoing]:
    definition = manifest.definition
    packing = manifest.packing
    with ResultsWriter(folder, packing.records, usage_for(manifest, folder)) as writer:
        scan(lines, KEY, provider_for(definition.model, {}).answer, writer, packing, unpacker_of(definition))
        settle(writer, manifest)
        writer.seal()
    rows = io.BytesIO(b"".join(samples.sealed_line(n, f"review {n}", None) for n in range(manifest.records)))
    with Results(folder, packing.records, used_by=manifest.requests if is_kept(definition) else None) as results:
        return list(Messages(definition, lambda _: TopicLimits()).of(manifest, "batch_1", rows, results, 0))


def values(messages: list[Outgoing]) -> list[dict[str, Any]]:
    found = [orjson.loads(message[4] or b"") for message in messages]
    return [{name[2:]: value for name, value in each.items() if name.startswith("x ")} for each in found]


def test_every_extra_of_an_answer_of_a_failure_and_of_what_was_never_sent(tmp_path: Path) -> None:
    definition = stated(*TYPES)
    manifest = manifest_of(definition, (3, "request"), (1, "rejected"), rejected=((3, "null-input", "it is NULL"),))
    answer = '{"label":"good","score":0.5}'
    lines = (chat(0, answer, prompt_tokens=90, completion_tokens=10), refused(1), chat(2, "no JSON", prompt_tokens=5))
    good, bad, spoilt, unsent = values(published(tmp_path, manifest, *lines))
    price = cost("openai", "gpt-5-mini", 90, 10)
    assert price is not None
    assert good == {
        "prediction_error": None,
        "prediction_status": "succeeded",
        "prediction_raw": answer,
        "prediction_batch": KEY,
        "prediction_model": "gpt-5-mini-2025-08-07",
        "prediction_input_tokens": 90,
        "prediction_output_tokens": 10,
        "prediction_cost": price.batch_usd,
        "http-status-code": None,
    }
    assert (bad["prediction_error"], bad["prediction_status"]) == (
        "rejected: context_length_exceeded: too long",
        "failed",
    )
    assert (bad["http-status-code"], bad["prediction_cost"], bad["prediction_batch"]) == (400, None, KEY)
    assert "too long" in bad["prediction_raw"]
    assert spoilt["prediction_error"].startswith("schema: ")
    assert (spoilt["prediction_raw"], spoilt["prediction_input_tokens"]) == ("no JSON", 5)
    assert unsent["prediction_error"] == "null-input: it is NULL"
    assert unsent["prediction_input_tokens"] is None


def test_a_failed_record_of_a_pack_has_its_part_of_the_answer_and_without_one_the_whole(tmp_path: Path) -> None:
    definition = stated(extras.RAW, extras.STATUS, batch={"size": 3})
    manifest = manifest_of(definition, (6, "request"), requests=2, packs=((2, 3),))
    parts = '{"label":"a","score":0.5}', '{"label":"b","score":"high"}'
    answer = f'[{{"index":1,{parts[0][1:]}, {{"index":2,{parts[1][1:]}]'
    found = values(published(tmp_path, manifest, chat(0, answer), chat(1, "no list " * MOST_RAW)))
    assert [each["prediction_status"] for each in found] == ["succeeded", *["failed"] * 5]
    assert [each["prediction_raw"] for each in found[:3]] == [*parts, answer]
    assert [len(each["prediction_raw"]) for each in found[3:]] == [MOST_RAW] * 3


def test_a_call_that_was_made_by_itself_is_priced_as_one(tmp_path: Path) -> None:
    manifest = manifest_of(stated(extras.COST), (1, "request"), mode="sync")
    (found,) = values(published(tmp_path, manifest, chat(0, '{"label":"x","score":1}', prompt_tokens=1000)))
    price = cost("openai", "gpt-5-mini", 1000, 0)
    assert price is not None
    assert found == {"prediction_cost": price.sync_usd}


def test_nothing_is_kept_that_nobody_asks_for(tmp_path: Path) -> None:
    definition = stated(extras.ERROR, extras.STATUS, extras.RAW, extras.BATCH)
    published(tmp_path, manifest_of(definition, (1, "request")), refused(0))
    assert kept_usage(definition) == ()
    assert {path.name for path in tmp_path.iterdir()} == {"results.index", "results.answers"}


def test_an_answer_without_usage_has_no_tokens(tmp_path: Path) -> None:
    manifest = manifest_of(stated(extras.INPUT_TOKENS, extras.COST), (1, "request"))
    (found,) = values(published(tmp_path, manifest, chat(0, '{"label":"x","score":1}')))
    assert found == {"prediction_input_tokens": None, "prediction_cost": None}


def test_a_raw_answer_that_the_topic_does_not_take_is_left_out_first(tmp_path: Path) -> None:
    definition = stated(extras.RAW, extras.ERROR)
    manifest = manifest_of(definition, (1, "request"))
    folder = tmp_path / "r"
    folder.mkdir()
    published(folder, manifest, chat(0, "x" * 5000))
    rows = io.BytesIO(samples.sealed_line(0, "review", None))
    with Results(folder, 1) as results:
        (message,) = Messages(definition, lambda _: TopicLimits(3000)).of(manifest, "batch_1", rows, results, 0)
    value = orjson.loads(message[4] or b"")
    assert value["review_id"] == "0"
    assert value["x prediction_raw"] is None
    assert value["x prediction_error"].startswith("schema")
    assert (Header.STATUS, b"failed") in message[5]


@given(counts=st.tuples(*[st.integers(0, 2**32 - 1)] * 5), records=st.integers(1, 50))
def test_the_shares_of_a_requests_records_add_up(
    counts: tuple[int, ...], records: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("usage")
    writer = UsageWriter(folder, 2)
    writer.put(1, Answer(KEY, "succeeded", None, None, "m", counts[0], counts[1], cached=Cached(*counts[2:])))
    writer.seal()
    shares = [Usage(folder / "results.usage", 2).of(1, record, records) for record in range(records)]
    assert sum(share.input_tokens or 0 for share in shares) == counts[0]
    assert sum(share.output_tokens or 0 for share in shares) == counts[1]
    assert tuple(map(sum, zip(*(share.cached for share in shares), strict=True))) == counts[2:]
    assert {share.model for share in shares} == {"m"}


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_a_damaged_file_is_told(damage: str, tmp_path: Path) -> None:
    UsageWriter(tmp_path, 1).seal()
    path = tmp_path / "results.usage"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    if damage == "gone":
        path.unlink()
    with pytest.raises(SpoolError):
        Usage(path, 2 if damage == "other" else 1)
    assert UNKNOWN.input_tokens is None
