"""What is carried of a batch of shared requests: whole ones byte for byte, parts as their rows are rendered."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.children import without_unrenderable, write_children
from poller.collect.outcome import Carry, requests_of
from poller.collect.results import ResultsWriter, Verdict, parse_failure
from shared.definition import BatchOptions
from shared.errors import SpoolError
from shared.manifest import Manifest
from shared.packed import asked, prompts_of
from shared.providers import provider_for
from shared.providers.bodies import request_lines
from shared.providers.port import Provider
from shared.providers.profiles import PROFILES
from shared.question import question_of
from shared.spool import REQUESTS, Spool
from submitter.planning.draft import Draft
from submitter.planning.lately import Lately
from submitter.planning.packer import Room
from tests.rig import samples

SIZE = 4


def planned(
    spool: Spool, reviews: list[str], answered: Sequence[str] = (), **options: Any
) -> tuple[Manifest, Provider]:
    """One batch in its place, its requests of four records each; some of its reviews were answered lately."""
    stated = samples.definition(batch=BatchOptions(size=SIZE, **options))
    lines = [samples.sealed_line(n, text, [0, 0, n]) for n, text in enumerate(reviews)]
    file = samples.seal(spool.files, stated, lines)
    provider = provider_for(stated.model, {})
    attempt = spool.new_attempt(stated.pipeline, stated.statement)
    folder = spool.files.work(attempt)
    draft = Draft(stated, request_lines(asked(stated)), PROFILES["openai"], file, folder, None, room=Room(SIZE, 10**6))
    known = {question_of(stated)({"review": text}): b"{}" for text in answered}
    draft.lately = Lately(frozenset(known), lambda wanted: {question: known[question] for question in wanted})
    with spool.files.local(file.address) as sealed:
        (manifest,) = draft.write(sealed)
    spool.keep_attempt(attempt, [manifest.batch_key])
    spool.settle(attempt, stated.pipeline, stated.statement, manifest.batch_key)
    return manifest, provider


def bodies(spool: Spool, address: str) -> list[bytes]:
    """The lines without their ids."""
    data = spool.files.read(f"{address}/{REQUESTS}") or b""
    return [line.split(b'"', 4)[4] for line in data.splitlines()]


def carried(
    spool: Spool, manifest: Manifest, provider: Provider, *carries: Carry
) -> list[tuple[Manifest, list[bytes]]]:
    attempt = spool.new_attempt(manifest.pipeline, manifest.statement)
    made = []
    for key in write_children(spool, attempt, manifest, list(carries), provider):
        spool.settle(attempt, manifest.pipeline, manifest.statement, key)
        child = spool.manifest(manifest.pipeline, manifest.statement, key)
        made.append((child, bodies(spool, spool.batch(child.pipeline, child.statement, key))))
    return made


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 14), st.sampled_from(["whole", "halves", "singles"]), st.data())
def test_a_child_asks_what_its_records_say(records: int, cut: Any, data: st.DataObject) -> None:
    chosen = sorted(data.draw(st.sets(st.integers(0, records - 1), min_size=1)))
    reviews = [f"review {n}" for n in range(records)]
    with TemporaryDirectory() as folder:
        spool = Spool(f"file://{folder}")
        manifest, provider = planned(spool, reviews)
        carry = Carry(tuple(chosen), 1, cut=cut)
        ((child, lines),) = carried(spool, manifest, provider, carry)
        parts = list(requests_of(carry, manifest.packing))
        prompts = prompts_of(manifest.definition)
        told = [orjson.loads(b'{"id":0' + line)["body"]["messages"][-1]["content"] for line in lines]
        assert told == [prompts([{"review": reviews[n]} for n in records]) for _, records in parts]
        assert (child.requests, child.records, child.retries) == (len(parts), len(chosen), 1)
        assert [len(child.packing.of(n)) for n in range(child.requests)] == [len(records) for _, records in parts]
        fates = [fate for count, fate in child.runs for _ in range(count)]
        assert fates == ["request" if n in chosen else "elsewhere" for n in range(records)]
        before = bodies(spool, spool.batch(manifest.pipeline, manifest.statement, manifest.batch_key))
        for (request, part), line in zip(parts, lines, strict=True):
            assert (line == before[request]) == (len(part) == len(manifest.packing.of(request)))


def test_a_carry_that_is_cut_small_fills_as_many_children_as_their_limits_want(tmp_path: Path) -> None:
    spool = Spool(tmp_path.as_uri())
    manifest, provider = planned(spool, [f"review {n}" for n in range(10)])
    provider.profile = replace(provider.profile, max_requests=4)
    made = carried(spool, manifest, provider, Carry(tuple(range(10)), 0, cut="singles"), Carry((), 0))
    assert [(child.requests, child.records) for child, _ in made] == [(4, 4), (4, 4), (2, 2)]
    assert [child.batch_key[-1] for child, _ in made] == ["a", "b", "c"]


def test_a_child_has_none_of_the_answers_that_its_parent_knew(tmp_path: Path) -> None:
    spool = Spool(tmp_path.as_uri())
    manifest, provider = planned(
        spool, ["good", "bad", "fine", "bad"], ["good"], deduplicate=True, deduplicate_ttl=60.0
    )
    assert (manifest.records, manifest.known, manifest.echoes) == (4, 1, (0,))
    ((child, _),) = carried(spool, manifest, provider, Carry((0,), 1))
    assert (child.records, child.known, child.echoes) == (2, 0, (0,))


def test_a_record_that_a_template_can_t_render_alone_fails_by_itself(tmp_path: Path) -> None:
    """It was rendered beside others, and is not any more: that must not keep its batch from being collected."""
    spool = Spool(tmp_path.as_uri())
    template = "{{ records[0].review }} {{ records[1].review }}"
    manifest, provider = planned(spool, ["a", "b", "c", "d"], prompt=template)
    (tmp_path / "results").mkdir()
    with ResultsWriter(tmp_path / "results", 4) as results:
        left = without_unrenderable(spool, manifest, [Carry((0, 1, 2), 1), Carry((3,), 1)], results)
        assert left == [Carry((0, 1, 2), 1)]
        assert results.verdicts[3] == Verdict.FAILED
        results.seal()
        kept = (tmp_path / "results" / "results.answers").read_bytes()
    assert parse_failure(kept)[0] == "render-error"
    assert len(carried(spool, manifest, provider, *left)) == 1


def test_a_sealed_file_that_is_damaged_is_said(tmp_path: Path) -> None:
    spool = Spool(tmp_path.as_uri())
    manifest, provider = planned(spool, ["a", "b", "c", "d"])
    (tmp_path / manifest.sealed_file).write_bytes(b"")
    with pytest.raises(SpoolError, match="the sealed file ends before record 3"):
        carried(spool, manifest, provider, Carry((3,), 1))
