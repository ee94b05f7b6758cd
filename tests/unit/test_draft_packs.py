"""A plan whose requests hold several records: every row once, within the limits, and each request what its rows say."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.definition import BatchOptions, Column, Definition, SqlType
from shared.manifest import Manifest
from shared.packed import asked, prompts_of
from shared.providers.bodies import request_lines
from shared.providers.profiles import PROFILES
from shared.spool import REQUESTS, open_files
from submitter.planning.draft import Draft
from submitter.planning.ledger import Ledger
from submitter.planning.packer import Room
from submitter.planning.room import room_of, too_many
from tests.rig import samples

LIMITS = replace(PROFILES["openai"], max_requests=3, max_bytes=6_000)
GOLDEN = Path(__file__).parent / "golden"


def draft(
    root: Path, stated: Definition, lines: list[bytes], room: Room | None, paid: list[tuple[int, int]] | None = None
) -> tuple[Draft, list[Manifest], Path]:
    file = samples.seal(open_files(root.as_uri()), stated, lines)
    assert stated.source is not None
    ledger = Ledger(stated.source, lambda _topic, _partition, _low: paid or [])
    made = Draft(stated, request_lines(asked(stated)), LIMITS, file, root / "attempt", ledger, room=room)
    return made, made.write(root / file.address), root / "attempt"


def sent(attempt: Path, manifest: Manifest) -> list[dict[str, Any]]:
    data = (attempt / manifest.batch_key / REQUESTS).read_bytes()
    assert len(data) == manifest.bytes <= LIMITS.max_bytes
    return [orjson.loads(line) for line in data.splitlines()]


def prompt(request: dict[str, Any]) -> str:
    return str(request["body"]["messages"][-1]["content"])


texts = st.one_of(st.none(), st.text(max_size=30), st.text("abc", min_size=1500, max_size=7000))


@settings(max_examples=80, deadline=None)
@given(st.lists(texts, max_size=30), st.sets(st.integers(0, 30), max_size=10), st.integers(1, 5), st.integers(50, 4000))
def test_every_row_is_in_one_request_once_or_was_paid_for(
    reviews: list[str | None], gone: set[int], most: int, size: int
) -> None:
    stated = samples.definition(batch=BatchOptions(size=20))
    lines = [samples.sealed_line(n, text, [0, 0, n]) for n, text in enumerate(reviews)]
    expected, prompts = set(range(len(reviews))) - gone, prompts_of(stated)
    with TemporaryDirectory() as folder:
        paid = [(n, n + 1) for n in sorted(gone)]
        made, manifests, attempt = draft(Path(folder), stated, lines, Room(most, size), paid)
        seen, data, answered = 0, b"".join(lines), set[int]()
        for manifest in manifests:
            rows = [orjson.loads(row)["row"] for row in data[manifest.start : manifest.end].splitlines()]
            requests, fates, packing = sent(attempt, manifest), list(manifest.fates()), manifest.packing
            assert len(requests) == manifest.requests <= LIMITS.max_requests
            assert len(fates) == len(rows)
            packed = [row for row, fate in zip(rows, fates, strict=True) if fate == "request"]
            assert packing.records == len(packed)
            for number, request in enumerate(requests):
                own = [packed[record] for record in packing.of(number)]
                assert request["custom_id"] == f"{manifest.batch_key}-{number}"
                assert prompt(request) == prompts(own)
                assert 0 < len(own) <= most
                assert len(own) == 1 or sum(len(row["review"].encode()) for row in own) <= size
            assert {row for row, _, _ in manifest.rejected} == {n for n, fate in enumerate(fates) if fate == "rejected"}
            ours = {seen + n for n, fate in enumerate(fates) if fate != "elsewhere"}
            assert len(ours) == manifest.records
            assert not ours & answered
            answered |= ours
            seen += len(rows)
        assert answered == expected, "a row is in no batch, or one that was paid for is"
        assert (made.rows, made.skipped) == (len(reviews), len(gone & set(range(len(reviews)))))


def test_a_record_that_a_template_can_t_render_is_set_aside_and_the_others_share_their_request(tmp_path: Path) -> None:
    template = "{% for r in records %}{{ r.index }}: {{ 10 // r.review | int }}\n{% endfor %}"
    stated = samples.definition(batch=BatchOptions(size=4, prompt=template))
    lines = [samples.sealed_line(n, text, None) for n, text in enumerate(["1", "0", "5", "2"])]
    _, (manifest,), attempt = draft(tmp_path, stated, lines, Room(4, 1000))
    assert manifest.runs == ((1, "request"), (1, "rejected"), (2, "request"))
    assert manifest.rejected[0][:2] == (1, "render-error")
    assert [prompt(each) for each in sent(attempt, manifest)] == ["1: 10\n2: 2\n3: 5\n"]


def test_records_that_only_together_can_t_be_rendered_are_all_set_aside(tmp_path: Path) -> None:
    stated = samples.definition(batch=BatchOptions(size=2, prompt="{{ 1 // (2 - records | length) }}"))
    lines = [samples.sealed_line(n, "x", None) for n in range(3)]
    _, (manifest,), _ = draft(tmp_path, stated, lines, Room(2, 1000))
    assert manifest.runs == ((2, "rejected"), (1, "request"))


def test_a_pack_that_is_too_large_for_any_batch_is_cut_down_to_what_fits(tmp_path: Path) -> None:
    reviews = ["a" * 2000, "b" * 2000, "c" * 9000, "d"]
    stated = samples.definition(batch=BatchOptions(size=4))
    lines = [samples.sealed_line(n, text, None) for n, text in enumerate(reviews)]
    _, manifests, _ = draft(tmp_path, stated, lines, Room(4, 10**6))
    assert [(manifest.requests, manifest.records) for manifest in manifests] == [(1, 3), (1, 1)]
    assert manifests[0].rejected[0][1] == "too-large"


def test_inputs_of_embeddings_are_listed_and_counted_as_the_provider_counts_them(tmp_path: Path) -> None:
    vector = SqlType(root="ARRAY", element=SqlType(root="FLOAT"))
    model = {"task": "embeddings", "path": "/v1/embeddings", "output": (Column(name="vector", type=vector),)}
    stated = samples.definition(batch=BatchOptions(size=4), model=model)
    lines = [samples.sealed_line(n, f"review {n}", None) for n in range(10)]
    few = replace(LIMITS, max_inputs=8)
    file = samples.seal(open_files(tmp_path.as_uri()), stated, lines)
    made = Draft(stated, request_lines(asked(stated)), few, file, tmp_path / "a", None, room=Room(4, 1000))
    manifests = made.write(tmp_path / file.address)
    assert [(manifest.requests, manifest.records) for manifest in manifests] == [(2, 8), (1, 2)]
    first = sent(tmp_path / "a", manifests[0])[0]["body"]
    assert first["input"] == [f"review {n}" for n in range(4)]


def test_auto_fills_a_request_with_what_context_and_answer_have_room_for() -> None:
    def room(model: dict[str, Any] | None = None, **options: Any) -> Room:
        made = room_of(samples.definition(model=model, batch=BatchOptions(**{"size": "auto", **options})), 0.25)
        assert made is not None
        return made

    claude = {"provider": "anthropic", "task": "messages", "path": "/v1/messages", "model": "claude-haiku-4-5"}
    assert room().records == 50
    assert room(model=claude).records < 50, "4,096 tokens have no room for a text of any length fifty times"
    assert room(model=claude, response_tokens=20).records == 50
    assert room(model={"parameters": {"max-tokens": 500}}, response_tokens=20).records == 25
    thinking = {**claude, "parameters": {"batch.thinking": 2048}}
    assert room(model=thinking).records == room(model=claude).records, "it thinks in room of its own"
    assert room(model=thinking).bytes < room(model=claude).bytes, "which is the context's"
    limited = {**claude, "parameters": {"batch.thinking": 2048, "max-tokens": 2548}}
    assert room(model=limited, response_tokens=20).records == 25, "max-tokens are for both"
    assert room(context_window=10_000).bytes < room(context_window=20_000).bytes < room().bytes
    assert room(size=10).records == 10
    assert room(size=4_000, response_tokens=20).records == 16_384 // 20, "an explicit number is lowered too"
    assert room(context_window=10, size=3).bytes == 0, "then each record is asked alone"
    assert room_of(samples.definition(), 0.25) is None


def test_a_number_that_overflows_the_answer_is_told() -> None:
    model = samples.definition().model
    assert too_many(model, BatchOptions(size=1000)) is not None
    assert too_many(model, BatchOptions(size=10)) is None
    assert too_many(model, BatchOptions(size="auto")) is None


def test_an_explicit_number_that_the_context_does_not_hold_is_lowered_and_counted(tmp_path: Path) -> None:
    stated = samples.definition(batch=BatchOptions(size=3))
    lines = [samples.sealed_line(n, "x" * 400, None) for n in range(6)]
    made, (manifest,), _ = draft(tmp_path, stated, lines, Room(3, 900, 3))
    assert manifest.packs == ((3, 2),)
    assert made.lowered == 2


FORMS: dict[str, dict[str, Any]] = {
    "json": {},
    "value-field": {"response_value_field": "answer", "response_index_field": "n"},
    "path": {"response_path": "$.out[*]"},
    "xml": {"response_format": "xml"},
    "delimited": {"response_format": "delimited"},
    "regex": {"response_format": "regex", "response_pattern": r"(?P<index>\d+) (?P<label>\w+) (?P<score>\S+)"},
    "template": {"prompt": "{% for r in records %}#{{ r.index }} {{ r.review }}\n{% endfor %}"},
}


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("form", FORMS)
def test_packed_requests_are_as_they_were(provider: str, form: str) -> None:
    """`golden/packed-*.json` is written anew when it is deleted, and the test fails that once: read what changed."""
    model = {"provider": "anthropic", "task": "messages", "path": "/v1/messages"} if provider == "anthropic" else {}
    stated = samples.definition(model=model, batch=BatchOptions(size=3, **FORMS[form]))
    rows = [{"review": 'Fine "film".\nReally.'}, {"review": "Bad\u2028one"}]
    line = request_lines(asked(stated)).line("id-0", prompts_of(stated)(rows))
    made = orjson.dumps(orjson.loads(line), option=orjson.OPT_INDENT_2) + b"\n"
    path = GOLDEN / f"packed-{provider}-{form}.json"
    if not path.exists():
        path.write_bytes(made)
        pytest.fail(f"{path} was missing and has been written: read it, and commit it")
    assert made == path.read_bytes()
