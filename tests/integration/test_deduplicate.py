"""Records that ask the same are asked once, paid once, and each comes out once: also where they are carried or fail."""

from collections import Counter
from pathlib import Path

from deploy.rehearsal.folder import rehearsal_folder
from deploy.rehearsal.trial import Tried, attempt
from deploy.sandbox.provider.answers import prompt_hash
from deploy.sandbox.provider.server import ProviderServer
from shared.definition import BatchOptions
from tests.rig.samples import definition, sealed_line
from tests.rig.stage import ENVIRON, Stage

TEXTS = ["A wonderful film.", "Awful, bad.", "A wonderful film.", None, "A wonderful film.", "Awful, bad."]


def bring(server: ProviderServer, tag: Path, **options: object) -> Tried:
    stated = definition(
        model={"base_url": server.openai_base_url}, batch=BatchOptions.model_validate({"deduplicate": True, **options})
    )
    rows = [sealed_line(number, _text(text, tag), None) for number, text in enumerate(TEXTS)]
    with rehearsal_folder() as folder:
        return attempt(folder, stated, rows, ENVIRON)


def _text(text: str | None, tag: Path) -> str | None:
    return None if text is None else f"{text} {tag.name}"


def billed(server: ProviderServer, tag: Path) -> Counter[str]:
    paid = server.witness().billed_prompts()
    return Counter({text: paid[prompt_hash(_text(text, tag) or "")] for text in set(TEXTS) if text})


def labels(tried: Tried) -> list[object]:
    assert [each.row["review_id"] for each in tried.messages] == [str(number) for number in range(len(TEXTS))]
    return [each.row["label"] for each in tried.messages]


def test_what_was_asked_lately_is_not_asked_again_until_its_time_is_over(
    server: ProviderServer, tmp_path: Path
) -> None:
    server.clear_faults()
    stated = definition(
        model={"base_url": server.openai_base_url}, batch=BatchOptions(deduplicate=True, deduplicate_ttl=3600.0)
    )
    rows = [sealed_line(number, _text(text, tmp_path), None) for number, text in enumerate(TEXTS)]
    new = sealed_line(6, _text("A fine, good film.", tmp_path), None)
    with rehearsal_folder() as folder:
        first = attempt(folder, stated, rows, ENVIRON)
        again = attempt(folder, stated, [*rows, new, rows[0]], ENVIRON)
        third = attempt(folder, stated, rows, ENVIRON)
        other = stated.model_copy(update={"model": stated.model.model_copy(update={"system_prompt": "Another."})})
        fourth = attempt(folder, other, rows, ENVIRON)
        counts = [batch.deduplicated for batch in folder.store.batches.rows()]
    assert (len(first.requests), len(again.requests), len(third.requests), len(fourth.requests)) == (2, 1, 0, 2)
    assert labels(first) == labels(third) == EXPECTED
    assert [each.row["label"] for each in again.messages] == [*EXPECTED, "positive", "positive"]
    assert [each.failed for each in (first, again, third)] == [1, 1, 1]
    assert (third.input_tokens, third.sync_usd) == (0, 0.0)
    assert sorted(counts) == [3, 3, 5, 6]
    assert "batchline-request" not in third.messages[0].headers
    assert billed(server, tmp_path) == {"A wonderful film.": 2, "Awful, bad.": 2}, "once for each definition"


EXPECTED = ["positive", "negative", "positive", None, "positive", "negative"]


def test_each_question_is_paid_once_and_its_answer_fans_out(server: ProviderServer, tmp_path: Path) -> None:
    server.clear_faults()
    tried = bring(server, tmp_path)
    assert labels(tried) == EXPECTED
    assert (len(tried.requests), tried.records, tried.failed) == (2, 6, 1)
    assert billed(server, tmp_path) == {"A wonderful film.": 1, "Awful, bad.": 1}
    requests = [each.headers.get("batchline-request") for each in tried.messages]
    assert requests[0] == requests[2] == requests[4] != requests[1] == requests[5]


def test_records_that_share_a_request_are_deduplicated_before(server: ProviderServer, tmp_path: Path) -> None:
    server.clear_faults()
    tried = bring(server, tmp_path, size=3)
    assert labels(tried) == EXPECTED
    assert (len(tried.requests), tried.records, tried.failed) == (1, 6, 1)
    indexes = [each.headers.get("batchline-index") for each in tried.messages]
    assert indexes[0] == indexes[2] == indexes[4] == "1"
    assert indexes[1] == indexes[5] == "2"


def test_an_echo_is_carried_with_its_record_and_comes_out_once(server: ProviderServer, tmp_path: Path) -> None:
    server.clear_faults()
    # Three failures use up a request's own tries: it is carried to a child.
    server.set_fault("line_errored", endpoint="openai.chat.completions", nth=[1, 3, 4])
    tried = bring(server, tmp_path, fallback_max_concurrency=1)
    server.clear_faults()
    assert labels(tried) == EXPECTED
    assert len({each.batch for each in tried.messages}) == 2, "some came out with a child"
    assert billed(server, tmp_path) == {"A wonderful film.": 1, "Awful, bad.": 1}


def test_an_echo_fails_with_its_record(server: ProviderServer, tmp_path: Path) -> None:
    server.clear_faults()
    server.set_fault("line_errored", endpoint="openai.chat.completions", nth=[1, 3, 4])
    tried = bring(server, tmp_path, fallback_max_concurrency=1, max_retries=0)
    server.clear_faults()
    failed = [number for number, each in enumerate(tried.messages) if not each.answered]
    assert failed in ([0, 2, 3, 4], [1, 3, 5])
    assert len({tried.messages[number].error for number in failed if number != 3}) == 1


def test_a_ceiling_expects_answers_of_what_is_asked_alone(server: ProviderServer, tmp_path: Path) -> None:
    options = {"size": 20, "deduplicate": True, "fallback": "sync", "fallback_max_cost": 1.0}
    (tmp_path / "other").mkdir()
    repeating = Stage(server, tmp_path, batch_options=options, review=lambda number: f"text {number % 2}")
    different = Stage(server, tmp_path / "other", batch_options=options)
    many, two = repeating.batch(repeating.plan(12)), different.batch(different.plan(2))
    assert (many.records, many.deduplicated, many.requests) == (12, 10, 1)
    expected = [
        stage.roads().ceiling(batch, stage.definition()).answer
        for stage, batch in ((repeating, many), (different, two))
    ]
    assert expected[0] == expected[1], "the other ten are echoes, and nobody answers them"
