"""Rows that ask the same are asked once in each batch, and each of them has one fate, also in children."""

from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.outcome import child_echoes, child_runs
from shared.definition import BatchOptions, Definition
from shared.errors import SpoolError
from shared.manifest import Manifest
from shared.packed import asked, measure_of, prompts_of
from shared.plausible import implausible
from shared.providers.bodies import request_lines
from shared.providers.port import Profile
from shared.providers.profiles import PROFILES
from shared.question import digest_of, question_of, scope_of
from shared.spool import KNOWN, REQUESTS, open_files
from submitter.planning.draft import Draft
from submitter.planning.lately import NOTHING, Lately
from submitter.planning.packer import Room
from tests.rig import samples

LIMITS = replace(PROFILES["openai"], max_requests=4, max_bytes=9_000)
few = st.sampled_from(["good", "bad", "fine", None, " ", "x" * 500, "x" * 1500, "y" * 2500, "x" * 7000])


def draft(
    root: Path,
    stated: Definition,
    reviews: list[str | None],
    room: Room | None,
    lately: Lately = NOTHING,
    limits: Profile = LIMITS,
) -> tuple[list[Manifest], Path]:
    lines = [samples.sealed_line(number, text, None) for number, text in enumerate(reviews)]
    file = samples.seal(open_files(root.as_uri()), stated, lines)
    made = Draft(stated, request_lines(asked(stated)), limits, file, root / "attempt", None, room=room)
    made.lately = lately
    return made.write(root / file.address), root / "attempt"


def check(manifest: Manifest, reviews: list[str | None]) -> None:
    """Each echo follows a record of its own batch that asks the same, and stands before it."""
    fates = list(manifest.fates())
    assert len(fates) == len(reviews)
    records = [row for row, fate in enumerate(fates) if fate == "request"]
    echoes = [row for row, fate in enumerate(fates) if fate == "echo"]
    assert len(records) == manifest.packing.records
    assert len(echoes) == len(manifest.echoes)
    assert manifest.records == len(records) + len(echoes) + len(manifest.rejected) + manifest.known
    for row, leader in zip(echoes, manifest.echoes, strict=True):
        assert reviews[records[leader]] == reviews[row]
        assert records[leader] < row


@settings(max_examples=250, deadline=None)
@given(
    reviews=st.lists(few, max_size=40),
    size=st.sampled_from([1, 2, 5, 8]),
    limits=st.builds(
        replace, st.just(LIMITS), max_requests=st.sampled_from([1, 4]), max_bytes=st.sampled_from([4_000, 9_000])
    ),
    bytes_=st.sampled_from([4_000, 10**6]),
)
def test_every_row_is_asked_or_echoes_one_that_is(
    reviews: list[str | None], size: int, limits: Profile, bytes_: int
) -> None:
    stated = samples.definition(batch=BatchOptions(deduplicate=True, size=size))
    room, prompts = None if size == 1 else Room(size, bytes_), prompts_of(stated)
    with TemporaryDirectory() as folder:
        manifests, attempt = draft(Path(folder), stated, reviews, room, limits=limits)
        lengths = [sum(count for count, _ in manifest.runs) for manifest in manifests]
        for manifest, end, length in zip(manifests, accumulate(lengths), lengths, strict=True):
            mine = reviews[end - length : end]
            check(manifest, mine)
            asked_ = [text for text, fate in zip(mine, manifest.fates(), strict=True) if fate == "request"]
            assert len(set(asked_)) == len(asked_), "the same is asked twice in one batch"
            requests = (attempt / manifest.batch_key / REQUESTS).read_bytes().splitlines()
            assert len(requests) == manifest.requests
            said = [orjson.loads(line)["body"]["messages"][-1]["content"] for line in requests]
            packs = [[asked_[record] for record in manifest.packing.of(number)] for number in range(len(requests))]
            assert said == [pack[0] if size == 1 else prompts([{"review": text} for text in pack]) for pack in packs], (
                "a request asks for other rows than its manifest says"
            )
        assert sum(lengths) == len(reviews)


@settings(max_examples=100)
@given(reviews=st.lists(few, max_size=30), size=st.sampled_from([1, 3]))
def test_what_was_answered_lately_is_not_asked_and_stands_beside_the_manifest(
    reviews: list[str | None], size: int
) -> None:
    stated = samples.definition(batch=BatchOptions(deduplicate=True, deduplicate_ttl=60.0, size=size))
    ask = question_of(stated)
    lately = {ask({"review": text}): f'{{"label":"{text}"}}'.encode() for text in ("good", "fine")}
    known = Lately(frozenset(lately), lambda wanted: {question: lately[question] for question in wanted})
    room = None if size == 1 else Room(size, 4_000)
    with TemporaryDirectory() as folder:
        manifests, attempt = draft(Path(folder), stated, reviews, room, known)
        seen = 0
        for manifest in manifests:
            fates = list(manifest.fates())
            mine, seen = reviews[seen : seen + len(fates)], seen + len(fates)
            check(manifest, mine)
            answered = [text for text, fate in zip(mine, fates, strict=True) if fate == "known"]
            assert answered == [text for text in mine if text in ("good", "fine")]
            path = attempt / manifest.batch_key / KNOWN
            told = [orjson.loads(orjson.loads(line))["label"] for line in path.open("rb")] if path.exists() else []
            assert told == answered
            assert manifest.known == len(answered)
        assert seen == len(reviews)


@pytest.mark.parametrize("changes", [{"echoes": ()}, {"echoes": (9,)}, {"echoes": (-1,)}, {"known": 3}])
def test_a_manifest_whose_echoes_can_not_be_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    stated = samples.definition(batch=BatchOptions(deduplicate=True))
    (manifest,), _ = draft(tmp_path, stated, ["good", "bad", "good"], None)
    assert implausible(manifest) is None
    assert implausible(manifest.model_copy(update=changes)) is not None


def test_an_answer_that_is_gone_meanwhile_stops_the_plan(tmp_path: Path) -> None:
    stated = samples.definition(batch=BatchOptions(deduplicate=True, deduplicate_ttl=60.0))
    gone = Lately(frozenset([question_of(stated)({"review": "good"})]), lambda _: {})
    with pytest.raises(SpoolError, match=r"1 answers that batch .* counts on are gone"):
        draft(tmp_path, stated, ["good"], None, gone)


def test_answers_hold_for_the_same_request_alone() -> None:
    stated = samples.definition()
    same = samples.definition(model={"name": "other", "descriptor": ("text",)}, statement="else")
    assert scope_of(stated) == scope_of(same)
    for change in ({"system_prompt": "x"}, {"model": "gpt-5"}, {"parameters": {"temperature": 1}}):
        assert scope_of(samples.definition(model=change)) != scope_of(stated)
    assert scope_of(samples.definition(batch=BatchOptions(prompt="{{ review }}"))) != scope_of(stated)
    assert scope_of(samples.definition(batch=BatchOptions(size=5))) != scope_of(stated)


@settings(max_examples=60)
@given(reviews=st.lists(few, min_size=1, max_size=20), data=st.data())
def test_an_echo_goes_where_its_record_goes(reviews: list[str | None], data: st.DataObject) -> None:
    stated = samples.definition(batch=BatchOptions(deduplicate=True, max_requests=4))
    with TemporaryDirectory() as folder:
        manifests, _ = draft(Path(folder), stated, reviews, None)
    for manifest in manifests:
        everyone = range(manifest.packing.records)
        carried = sorted(data.draw(st.sets(st.sampled_from(everyone)))) if everyone else []
        runs, echoes = child_runs(manifest, carried), child_echoes(manifest, carried)
        counts = {fate: sum(n for n, each in runs if each == fate) for fate in ("request", "echo", "rejected")}
        assert counts == {"request": len(carried), "echo": len(echoes), "rejected": 0}
        assert sum(n for n, _ in runs) == sum(n for n, _ in manifest.runs)
        parents, children = iter(manifest.echoes), iter(echoes)
        for before, after in zip(manifest.fates(), _fates(runs), strict=True):
            leader = next(parents) if before == "echo" else None
            assert (after == "echo") == (leader in carried and leader is not None)
            if after == "echo":
                assert carried[next(children)] == leader


def _fates(runs: tuple[tuple[int, str], ...]) -> list[str]:
    return [fate for count, fate in runs for _ in range(count)]


def test_nothing_is_an_echo_unless_it_is_wanted(tmp_path: Path) -> None:
    (manifest,), _ = draft(tmp_path, samples.definition(), ["good", "good"], None)
    assert (manifest.requests, manifest.echoes) == (2, ())
    assert "echoes" not in manifest.model_dump_json()


@pytest.mark.parametrize("size", [1, 3])
def test_what_the_prompt_does_not_show_makes_no_other_question(size: int) -> None:
    stated = samples.definition(batch=BatchOptions(size=size))
    ask = question_of(stated)
    assert ask({"review_id": "1", "review": "x"}) == ask({"review_id": "2", "review": "x"})
    assert ask({"review_id": "1", "review": "x"}) != ask({"review_id": "1", "review": "y"})
    assert digest_of([{"type": "text"}]) != digest_of("text")
    assert measure_of(stated)({"review_id": "1", "review": "x"}) > 0
