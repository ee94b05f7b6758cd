"""Images and documents of a row, as parts of its prompt: an address, or bytes, in each provider's own form. Pure.

A BYTES column stands in a sealed row as base64, and is sent as such; a STRING column holds an http(s) address or a
`data:` URL. The provider fetches an address, nobody here does. Media come before the text, as the guides advise.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from shared.causes import Cause
from shared.definition import Definition
from shared.providers.port import Profile
from shared.providers.profiles import profile_for
from shared.render import Prompt, Row, Unrenderable, prompt_of

Part = dict[str, Any]
Content = Callable[[Row], str | list[Part]]
"""Gives what a request asks of a row: its text, or its media and its text; or raises Unrenderable."""
PDF = "application/pdf"
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What both providers take."""
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", PDF),
)
_DATA = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,(.*)", re.IGNORECASE | re.DOTALL)
_HEAD = 24
"""Characters of base64 that hold every file's first bytes."""
_NAME = "document.pdf"


class Medium(NamedTuple):
    """An image or a document: its address, or its type and base64."""

    column: str
    is_document: bool
    url: str | None = None
    type: str = ""
    data: str = ""

    @property
    def address(self) -> str:
        return self.url or f"data:{self.type};base64,{self.data}"


def content_of(definition: Definition) -> Content:
    """The function that renders the rows of a statement, media and all; made once, used for each row."""
    return _with_media(definition) if definition.batch.media_columns else prompt_of(definition)


def _with_media(definition: Definition) -> Content:
    model, named = definition.model, definition.batch.media_columns or ()
    places = dict(zip((column.name for column in model.input), model.descriptor, strict=True))
    columns = [(name, places[name]) for name in named]
    texts = [column for column in model.input if column.name not in named]
    rest = {"input": tuple(texts), "descriptor": tuple(places[column.name] for column in texts)}
    plain = definition.model_copy(update={"model": model.model_copy(update=rest)})
    text_of = prompt_of(plain) if texts or definition.batch.prompt is not None else None
    write, profile = _WRITERS[model.task], profile_for(model)

    def prompt(row: Row) -> list[Part]:
        media = [_medium(name, row[place]) for name, place in columns if row[place] is not None]
        _within(media, profile)
        text = _text(text_of, row, media, named)
        return write(media, text.encode("utf-8", "replace").decode() if text else None)

    return prompt


def _text(text_of: Prompt | None, row: Row, media: Sequence[Medium], named: Sequence[str]) -> str | None:
    """The text beside the media; where there is none, the media speak for themselves."""
    if text_of is None:
        if not media:
            raise Unrenderable(Cause.NULL_INPUT, f"columns {', '.join(named)} are all NULL")
        return None
    try:
        return text_of(row)
    except Unrenderable as error:
        if media and error.cause in (Cause.NULL_INPUT, Cause.EMPTY_INPUT):
            return None
        raise


def _within(media: Sequence[Medium], profile: Profile) -> None:
    """Raise Unrenderable for what the provider would refuse."""
    for medium in media:
        if not medium.is_document and profile.max_image_bytes and len(medium.data) > profile.max_image_bytes:
            size, most = len(medium.data), profile.max_image_bytes
            raise _too_large(f"column '{medium.column}': the image has {size} bytes as base64, and {most} are taken")
    size, limit = sum(len(medium.data) for medium in media), profile.max_request_bytes
    if limit and size > limit:
        raise _too_large(f"its media have {size} bytes as base64, and a request may have {limit}")


def _too_large(message: str) -> Unrenderable:
    return Unrenderable(Cause.TOO_LARGE, message)


def _medium(column: str, value: Any) -> Medium:
    if not isinstance(value, str) or not value:
        raise Unrenderable(Cause.EMPTY_INPUT, f"column '{column}' is empty")
    if value[:5].lower() == "data:":
        said = _DATA.fullmatch(value)
        if said is None:
            raise Unrenderable(
                Cause.RENDER_ERROR, f"column '{column}' has a data: URL without a type, or not in base64"
            )
        return _of_bytes(column, said[2])
    if value[:8].lower().startswith(("http://", "https://")):
        clean = value.strip().encode("utf-8", "replace").decode()
        return Medium(column, urlsplit(clean).path.lower().endswith(".pdf"), url=clean)
    return _of_bytes(column, value)


def _of_bytes(column: str, data: str) -> Medium:
    """What base64 holds, by its first bytes: what a row says of its type may be wrong, and is refused then."""
    try:
        head = b64decode(data[:_HEAD], validate=True)
    except (binascii.Error, ValueError):
        message = f"column '{column}' holds neither an http(s) address, nor a data: URL, nor bytes"
        raise Unrenderable(Cause.RENDER_ERROR, message) from None
    found = next((type_ for magic, type_ in _MAGIC if head.startswith(magic)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        found = "image/webp"
    if found is None:
        raise Unrenderable(Cause.RENDER_ERROR, f"column '{column}' is no PNG, JPEG, GIF, WebP or PDF")
    return Medium(column, found not in _IMAGES, None, found, data)


def _chat(media: Sequence[Medium], text: str | None) -> list[Part]:
    return [*map(_chat_part, media), *([{"type": "text", "text": text}] if text else [])]


def _chat_part(medium: Medium) -> Part:
    if not medium.is_document:
        return {"type": "image_url", "image_url": {"url": medium.address}}
    if medium.url is not None:
        message = f"column '{medium.column}': chat completions take a document's bytes, not its address"
        raise Unrenderable(Cause.RENDER_ERROR, f"{message}; use /v1/responses, or a BYTES column")
    return {"type": "file", "file": {"filename": _NAME, "file_data": medium.address}}


def _responses(media: Sequence[Medium], text: str | None) -> list[Part]:
    parts = [*map(_response_part, media), *([{"type": "input_text", "text": text}] if text else [])]
    return [{"role": "user", "content": parts}]


def _response_part(medium: Medium) -> Part:
    if not medium.is_document:
        return {"type": "input_image", "detail": "auto", "image_url": medium.address}
    if medium.url is not None:
        return {"type": "input_file", "file_url": medium.url}
    return {"type": "input_file", "filename": _NAME, "file_data": medium.address}


def _messages(media: Sequence[Medium], text: str | None) -> list[Part]:
    return [*map(_message_part, media), *([{"type": "text", "text": text}] if text else [])]


def _message_part(medium: Medium) -> Part:
    source: Part = (
        {"type": "url", "url": medium.url}
        if medium.url is not None
        else {"type": "base64", "media_type": medium.type, "data": medium.data}
    )
    return {"type": "document" if medium.is_document else "image", "source": source}


def _moderations(media: Sequence[Medium], text: str | None) -> list[Part]:
    for medium in media:
        if medium.is_document:
            raise Unrenderable(Cause.RENDER_ERROR, f"column '{medium.column}': a moderation takes images, no documents")
    return _chat(media, text)


_WRITERS: Mapping[str, Callable[[Sequence[Medium], str | None], list[Part]]] = {
    "chat": _chat,
    "responses": _responses,
    "messages": _messages,
    "moderations": _moderations,
}
