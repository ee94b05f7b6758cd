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
from shared.estimate import record_answer
from shared.manifest import Manifest
from shared.packed import asked, measure_of, prompts_of
from shared.providers.bodies import request_lines
from shared.providers.profiles import PROFILES
from shared.spool import REQUESTS, open_files
from submitter.planning.draft import Draft
from submitter.planning.ledger import Ledger
from submitter.planning.packer import Packer, Room
from submitter.planning.room import UNKNOWN_WINDOW, room_of, room_warnings
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
    assert room(model={**claude, "parameters": {"max-tokens": 9_000}}).bytes < room(model=claude).bytes
    limited = {**claude, "parameters": {"batch.thinking": 2048, "max-tokens": 2548}}
    assert room(model=limited, response_tokens=20).records == 25, "max-tokens are for both"
    assert room(context_window=10_000).bytes < room(context_window=20_000).bytes < room().bytes
    assert room(size=10).records == 10
    assert room(size=4_000, response_tokens=20).records == 16_384 // 20, "an explicit number is lowered too"
    assert room(context_window=10, size=3) == Room(1, 0, 3, room().each), "then each record is asked alone"
    assert room_of(samples.definition(), 0.25) is None


UNKNOWN = {"model": "my-llama", "output": tuple(Column(name=name, type=samples.STRING) for name in ("label", "why"))}


@pytest.mark.parametrize(("size", "most"), [("auto", 50), (50, 50), (20, 20)])
def test_records_share_a_request_where_nobody_knows_the_models_window_and_never_overflow_it(
    tmp_path: Path, size: Any, most: int
) -> None:
    stated = samples.definition(model=UNKNOWN, batch=BatchOptions(size=size))
    room = room_of(stated, 0.25)
    assert room is not None
    _, manifests, attempt = draft(
        tmp_path, stated, [samples.sealed_line(n, f"short {n}", None) for n in range(100)], room
    )
    requests = sum(manifest.requests for manifest in manifests)
    assert 100 / most <= requests <= 5
    each = record_answer(stated.batch, stated.model.output)
    for manifest in manifests:
        for request, (_, records) in zip(sent(attempt, manifest), expanded(manifest), strict=True):
            assert len(orjson.dumps(request)) * 0.25 + records * each <= UNKNOWN_WINDOW


def expanded(manifest: Manifest) -> list[tuple[int, int]]:
    """The number of each request, and of its records."""
    return [(number, len(manifest.packing.of(number))) for number in range(manifest.requests)]


@settings(max_examples=60, deadline=None)
@given(
    reviews=st.lists(st.integers(1, 400), min_size=20, max_size=60),
    window=st.integers(500, 6_000),
    limit=st.one_of(st.none(), st.integers(100, 4_000)),
    tokens=st.integers(1, 300),
)
def test_no_request_of_several_records_overflows_the_window(
    reviews: list[int], window: int, limit: int | None, tokens: int
) -> None:
    """At the estimated tokens a byte, the body's own words and the whole of a limit that is sent included."""
    options = BatchOptions(size="auto", context_window=window, response_tokens=tokens)
    parameters = {} if limit is None else {"max-tokens": limit}
    stated = samples.definition(model={"parameters": parameters}, batch=options)
    room = room_of(stated, 0.25)
    assert room is not None
    lines, prompts, measure = request_lines(asked(stated)), prompts_of(stated), measure_of(stated)
    packer, taken = Packer(room, prompts, measure), list[list[dict[str, Any]]]()
    for review in reviews:
        row = {"review": review * '"'}
        if not packer.fits(measure(row)):
            taken.append([dict(each.row or {}) for each in packer.take()])
        packer.add(0, row, measure(row))
    taken.append([dict(each.row or {}) for each in packer.take()])
    for rows in [rows for rows in taken if len(rows) > 1]:
        size = len(lines.line("", prompts(rows)))
        assert size * 0.25 + (len(rows) * tokens if limit is None else limit) <= window


def test_what_is_not_as_it_was_asked_for_is_told() -> None:
    def told(size: Any, model: dict[str, Any] | None = None, **options: Any) -> list[str]:
        return list(room_warnings(samples.definition(model=model).model, BatchOptions(size=size, **options)))

    embeddings = {"task": "embeddings", "path": "/v1/embeddings"}
    assert told(10) == told("auto") == told(2_048, embeddings) == told(1, UNKNOWN) == []
    assert "raise 'max-tokens'" in told(1000)[0]
    assert "2,048 inputs" in told(2_049, embeddings)[0]
    for size in ("auto", 5):
        assert "8,192 are assumed" in told(size, UNKNOWN)[0]
        assert told(size, UNKNOWN, context_window=9_000) == []


@pytest.mark.parametrize(("room", "records"), [(Room(3, 900, 3), 2), (Room(2, 10**6, 3), 2), (Room(1, 0, 3), 1)])
def test_an_explicit_number_that_is_lowered_is_counted(tmp_path: Path, room: Room, records: int) -> None:
    stated = samples.definition(batch=BatchOptions(size=3))
    lines = [samples.sealed_line(n, "x" * 400, None) for n in range(7)]
    made, manifests, _ = draft(tmp_path, stated, lines, room)
    sizes = [each for manifest in manifests for _, each in expanded(manifest)]
    assert sizes[:-1] == [records] * (len(sizes) - 1)
    assert made.lowered == 7 // records


@pytest.mark.parametrize(("size", "records"), [(2_000, 533), (5_000, 533), (500, 500)])
def test_a_number_of_inputs_that_is_lowered_is_counted(size: int, records: int) -> None:
    vector = Column(name="vector", type=SqlType(root="ARRAY", element=SqlType(root="FLOAT")))
    model = {"task": "embeddings", "path": "/v1/embeddings", "output": (vector,)}
    stated = samples.definition(model=model, batch=BatchOptions(size=size))
    room = room_of(stated, 0.25)
    assert room is not None
    packer = Packer(room, prompts_of(stated), measure_of(stated))
    for n in range(records):
        assert packer.fits(1_500)
        packer.add(n, {"review": "x"}, 1_500)
    assert not packer.fits(1_500)
    packer.take()
    assert packer.lowered == (size > records)


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
