"""A trial plays what a definition asks for: every format and shape of an answer, or says that it can't."""

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.rehearsal.folder import Folder, rehearsal_folder
from deploy.rehearsal.prompter import Unplayable
from deploy.rehearsal.trial import Tried, attempt
from deploy.sandbox.provider.server import ProviderServer
from shared.definition import BatchOptions, Column
from tests.rig.samples import STRING, definition, sealed_line
from tests.rig.stage import ENVIRON as KEYS

REVIEWS = ("A wonderful film.", "Awful, bad.", 'Good | great; <b>fun</b> & "joy".')
ALL = "{% for r in records %}#{{ r.index }} {{ r.review }}\n{% endfor %}"
NONE = {"parameters": {"batch.structured-output": "none"}}
ANTHROPIC = {"provider": "anthropic", "task": "messages", "path": "/v1/messages", "api_key": "ANTHROPIC_API_KEY"}
OLD = {**ANTHROPIC, "model": "claude-3-haiku-20240307"}
WORD = {"output": (Column(name="label", type=STRING),)}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "own prompt": ({"size": 2, "prompt": ALL}, {}),
    "own prompt, text": ({"size": 2, "prompt": ALL}, WORD),
    "index-field": ({"size": 2, "response_index_field": "n"}, {}),
    "path": ({"size": 2, "response_path": "$.results[*]"}, {}),
    "deep path": ({"size": 2, "response_path": "$.out['all'][*].of", "response_value_field": "v"}, {}),
    "xml": ({"size": 2, "response_format": "xml"}, {}),
    "xml with a path": (
        {"size": 2, "response_format": "xml", "response_path": "//item", "response_index_field": "n", "prompt": ALL},
        {},
    ),
    "delimited": ({"size": 2, "response_format": "delimited", "response_delimiter": "\t"}, {}),
    "value-field": ({"size": 2, "response_value_field": "answer", "response_index_field": "n"}, {}),
    "value-field, xml": ({"size": 2, "response_format": "xml", "response_value_field": "answer"}, {}),
    "value-field, text": ({"size": 2, "response_value_field": "answer"}, WORD),
    "regex": (
        {
            "size": 2,
            "response_format": "regex",
            "response_pattern": r"(?m)^\[(?P<index>\d+)\]\s*(?P<label>\w+) \((?P<score>[-.\de]+)\)$",
        },
        {},
    ),
    "one, xml": ({"response_format": "xml"}, {}),
    "one, json that the prompt asks for": ({"response_format": "json"}, NONE),
    "one, path": ({"response_path": "$.found"}, {}),
    "anthropic": ({"size": 2, "prompt": ALL}, ANTHROPIC),
    "anthropic's tool": ({"size": 2, "response_index_field": "n"}, OLD),
}


@pytest.fixture
def folder() -> Iterator[Folder]:
    with rehearsal_folder() as made:
        yield made


def tried(
    server: ProviderServer,
    folder: Folder,
    options: dict[str, Any],
    model: dict[str, Any],
    reviews: tuple[str, ...] = REVIEWS,
) -> Tried:
    is_anthropic = model.get("provider") == "anthropic"
    base = server.anthropic_base_url if is_anthropic else server.openai_base_url
    stated = definition(model={**model, "base_url": base}, batch=BatchOptions(**options))
    if "output" in model:
        stated = stated.model_copy(update={"projection": stated.projection[:2]})
    lines = [sealed_line(number, review, None) for number, review in enumerate(reviews)]
    return attempt(folder, stated, lines, KEYS, server.dictate)


@pytest.mark.parametrize("case", CASES)
def test_every_shape_of_an_answer_is_played(server: ProviderServer, folder: Folder, case: str) -> None:
    options, model = CASES[case]
    done = tried(server, folder, options, model)
    assert [each.row["label"] for each in done.messages] == ["positive", "negative", "positive"], [
        each.error for each in done.messages
    ]
    if "output" not in model:
        assert [each.row["score"] > 0 for each in done.messages] == [True, False, True]
    assert done.failed == 0
    assert len(done.requests) == (2 if "size" in options else 3)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"response_format": "regex", "response_pattern": r"(?P<index>\d+)(?:=>|->)(?P<label>\w+)"}, "pattern"),
        ({"response_format": "xml", "response_path": "//item[@sure]"}, r"path' = '//item\[@sure\]'"),
        ({"response_path": "$.results[?@.sure]"}, "path"),
        ({"response_format": "regex", "response_pattern": r"(?P<index>\d+) (?P<label>no|yes)"}, "the format 'regex'"),
    ],
)
def test_what_the_sandbox_cannot_play_is_told_and_no_rows_fault(
    server: ProviderServer, folder: Folder, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(Unplayable, match=f"the sandbox can't play .*{named}.*--live N"):
        tried(server, folder, {"size": 2, **options}, WORD)


@pytest.mark.parametrize("form", ["json", "xml", "delimited"])
def test_a_text_that_says_a_record_again_is_played_whatever_marks_it_has(
    server: ProviderServer, folder: Folder, form: str
) -> None:
    hostile = ("a|b", "<result index='2'>x</result>", "one\ntwo\x01\x0b", '{"index": 1} ]]> &amp;')
    model = {**WORD, "system_prompt": "Say it again."}
    done = tried(server, folder, {"size": 4, "response_format": form}, model, hostile)
    assert [each.error for each in done.messages] == [None] * 4
    assert all(each.row["label"].startswith("sha256=") for each in done.messages)


@pytest.mark.parametrize("options", [{}, {"response_format": "json"}])
def test_an_image_is_played(server: ProviderServer, folder: Folder, options: dict[str, Any]) -> None:
    seen = ("https://example.com/a.png", "https://example.com/b.png")
    model = NONE if options else {}
    done = tried(server, folder, {"media_columns": ("review",), **options}, model, seen)
    assert [each.error for each in done.messages] == [None, None]


def test_what_was_told_is_forgotten_after_a_trial(server: ProviderServer, folder: Folder) -> None:
    tried(server, folder, {"size": 2, "response_format": "xml"}, {})
    assert server.control("POST", "answers", {}) == {"dictated": 0}
