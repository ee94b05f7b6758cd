"""Images and documents of a row on their way into a request: each provider's own parts, and what can't be sent."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.provider.asks import ask_of
from deploy.sandbox.provider.parts import seen
from shared.causes import Cause
from shared.definition import BatchOptions, Column, Definition, SqlType
from shared.keys import custom_id
from shared.media import content_of
from shared.providers import provider_for
from shared.render import Unrenderable
from shared.spool import Spool
from submitter.planning.draft import Draft
from tests.rig.samples import STRING, definition, seal

BYTES = SqlType(root="VARBINARY", length=2**31 - 1)
FILES = {
    "image/png": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(40),
    "image/gif": b"GIF89a" + bytes(40),
    "image/webp": b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(40),
    "application/pdf": b"%PDF-1.7\n" + bytes(40),
}
PNG, PDF = (b64encode(FILES[name]).decode() for name in ("image/png", "application/pdf"))
PHOTO, PAPER = "https://example.org/a.jpg", "https://example.org/a.PDF?x=1"
TASKS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "chat": ("/v1/chat/completions", {}),
    "responses": ("/v1/responses", {"task": "responses"}),
    "messages": ("/v1/messages", {"provider": "anthropic", "task": "messages", "model": "claude-haiku-4-5"}),
    "moderations": ("/v1/moderations", {"task": "moderations", "model": "omni-moderation-latest"}),
}
KEY = "abcdefghijklmnopqrstuvwxyz-0"


def stated(task: str = "chat", *, media: tuple[str, ...] = ("photo",), profile: Any = None, **batch: Any) -> Definition:
    texts = () if batch.pop("alone", False) else (Column(name="note", type=STRING),)
    inputs = (*texts, *(Column(name=name, type=BYTES) for name in media))
    model = {
        **TASKS[task][1],
        "input": inputs,
        "descriptor": tuple(f"the {column.name}" for column in inputs),
        "output": (Column(name="answer", type=STRING),),
        "profile": profile or {},
    }
    return definition(model=model, batch=BatchOptions(media_columns=media, **batch))


def body(task: str, definition: Definition, row: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a row's request, which the fake provider takes."""
    line = provider_for(definition.model, {}).requests(definition.model).line(f"{KEY}-0", content_of(definition)(row))
    assert line.count(b"\n") == 1
    sent = orjson.loads(line)
    found: dict[str, Any] = sent.get("body") or sent["params"]
    ask_of(TASKS[task][0], found)
    return found


def parts(task: str, definition: Definition, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = body(task, definition, row)
    if task == "moderations":
        return list(found["input"])
    return list((found["input"] if task == "responses" else found["messages"])[-1]["content"])


GIVEN: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("chat", PNG): [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "text", "text": "what is it?"},
    ],
    ("chat", PHOTO): [{"type": "image_url", "image_url": {"url": PHOTO}}, {"type": "text", "text": "what is it?"}],
    ("chat", PDF): [
        {"type": "file", "file": {"filename": "document.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
        {"type": "text", "text": "what is it?"},
    ],
    ("responses", PNG): [
        {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "input_text", "text": "what is it?"},
    ],
    ("responses", PAPER): [
        {"type": "input_file", "file_url": PAPER},
        {"type": "input_text", "text": "what is it?"},
    ],
    ("messages", PNG): [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "text", "text": "what is it?"},
    ],
    ("messages", PHOTO): [
        {"type": "image", "source": {"type": "url", "url": PHOTO}},
        {"type": "text", "text": "what is it?"},
    ],
    ("messages", PDF): [
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        {"type": "text", "text": "what is it?"},
    ],
    ("messages", PAPER): [
        {"type": "document", "source": {"type": "url", "url": PAPER}},
        {"type": "text", "text": "what is it?"},
    ],
    ("moderations", PHOTO): [
        {"type": "image_url", "image_url": {"url": PHOTO}},
        {"type": "text", "text": "what is it?"},
    ],
}


@pytest.mark.parametrize(("task", "value"), GIVEN)
def test_each_provider_gets_its_own_parts(task: str, value: str) -> None:
    row = {"the note": "what is it?", "the photo": value}
    assert parts(task, stated(task), row) == GIVEN[task, value]


@pytest.mark.parametrize("type_", FILES)
def test_the_first_bytes_say_what_it_is(type_: str) -> None:
    data = b64encode(FILES[type_]).decode()
    (part, _) = parts("messages", stated("messages"), {"the note": "x", "the photo": data})
    assert part["source"]["media_type"] == type_
    # What a data: URL says of itself is not believed.
    said = f"data:image/png;base64,{data}"
    assert parts("messages", stated("messages"), {"the note": "x", "the photo": said})[0] == part


def test_several_media_stand_before_the_text_in_the_order_of_the_option() -> None:
    media = ("front", "back")
    row = {"the note": "x", "the front": PHOTO, "the back": PNG}
    found = parts("messages", stated("messages", media=media), row)
    assert [part["type"] for part in found] == ["image", "image", "text"]
    assert found[0]["source"]["type"] == "url"


def test_what_is_null_is_left_out() -> None:
    assert parts("chat", stated(), {"the note": "x", "the photo": None}) == [{"type": "text", "text": "x"}]
    (alone,) = parts("chat", stated(), {"the note": None, "the photo": PHOTO})
    assert alone["type"] == "image_url"
    assert len(parts("chat", stated(alone=True), {"the photo": PNG})) == 1


def test_a_template_is_rendered_without_the_media() -> None:
    found = parts("chat", stated(prompt="Is this {{ note }}?"), {"the note": "a cat", "the photo": PHOTO})
    assert found[-1]["text"] == "Is this a cat?"


SPOILT: list[tuple[str, Any, Cause, str]] = [
    ("chat", "not a file", Cause.RENDER_ERROR, "holds neither an http"),
    (
        "chat",
        b64encode(b"plain text, no image at all").decode(),
        Cause.RENDER_ERROR,
        "is no PNG, JPEG, GIF, WebP or PDF",
    ),
    ("chat", "data:image/png,raw", Cause.RENDER_ERROR, "not in base64"),
    ("chat", "file:///etc/passwd", Cause.RENDER_ERROR, "holds neither"),
    ("chat", "", Cause.EMPTY_INPUT, "is empty"),
    ("chat", PAPER, Cause.RENDER_ERROR, "take a document's bytes, not its address"),
    ("moderations", PDF, Cause.RENDER_ERROR, "takes images, no documents"),
]


@pytest.mark.parametrize(("task", "value", "cause", "said"), SPOILT)
def test_what_can_not_be_sent_is_the_records_own_fault(task: str, value: Any, cause: Cause, said: str) -> None:
    with pytest.raises(Unrenderable, match=said) as caught:
        content_of(stated(task))({"the note": "x", "the photo": value})
    assert caught.value.cause == cause


def test_a_row_without_anything_has_no_prompt() -> None:
    with pytest.raises(Unrenderable) as caught:
        content_of(stated(alone=True))({"the photo": None})
    assert caught.value.cause == Cause.NULL_INPUT


def test_what_is_larger_than_the_provider_takes_is_not_sent() -> None:
    image = b64encode(FILES["image/png"] + bytes(4 << 20)).decode()
    content_of(stated("messages"))({"the note": "x", "the photo": image})
    with pytest.raises(Unrenderable, match="the image has 5592"):
        content_of(stated("messages", profile={"max_image_bytes": 5 << 20}))({"the note": "x", "the photo": image})
    image = b64encode(FILES["image/png"] + bytes(8 << 20)).decode()
    with pytest.raises(Unrenderable, match="the image has 1118") as caught:
        content_of(stated("messages"))({"the note": "x", "the photo": image})
    assert caught.value.cause == Cause.TOO_LARGE
    content_of(stated("messages", profile={"max_image_bytes": 12 << 20}))({"the note": "x", "the photo": image})
    with pytest.raises(Unrenderable, match="a request may have 1000"):
        content_of(stated(profile={"max_request_bytes": 1000}))({"the note": "x", "the photo": image})


@given(st.text() | st.binary().map(lambda data: b64encode(data).decode()))
def test_whatever_stands_in_the_column_is_sent_or_is_that_records_fault(value: str) -> None:
    try:
        content = content_of(stated())({"the note": "x", "the photo": value})
    except Unrenderable:
        return
    provider_for(stated().model, {}).requests(stated().model).line(f"{KEY}-0", content)


def test_bytes_count_where_batches_are_cut(tmp_path: Path) -> None:
    said = stated(max_bytes=200_000, alone=True)
    spool = Spool(f"file://{tmp_path}")
    pictures = [b64encode(FILES["image/png"] + bytes([number]) * 60_000).decode() for number in range(5)]
    lines = [orjson.dumps({"row": {"the photo": each}, "position": None}) + b"\n" for each in pictures]
    file = seal(spool.files, said, lines)
    provider = provider_for(said.model, {})
    folder = tmp_path / "attempt"
    folder.mkdir()
    draft = Draft(said, provider.requests(said.model), provider.profile, file, folder, None)
    manifests = draft.write(tmp_path / file.address)
    assert [manifest.requests for manifest in manifests] == [2, 2, 1]
    sent = [
        orjson.loads(line)
        for manifest in manifests
        for line in (folder / manifest.batch_key / "requests.jsonl").read_bytes().splitlines()
    ]
    assert [line["custom_id"] for line in sent] == [
        custom_id(manifest.batch_key, number) for manifest in manifests for number in range(manifest.requests)
    ]
    # The fake provider's word for what it has seen: each record's own picture.
    words = [seen(line["body"]["messages"][-1]["content"][0]) for line in sent]
    assert len(set(words)) == 5
