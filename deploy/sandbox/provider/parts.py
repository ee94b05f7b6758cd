"""Images and documents in a prompt: whether a provider takes them, and a word that proves which one was seen. Pure."""

import hashlib
import re
from base64 import b64decode
from binascii import Error
from typing import Any

from deploy.sandbox.provider.errors import ProviderError

Part = dict[str, Any]
CHAT_PARTS = frozenset({"text", "image_url", "file", "input_audio", "refusal"})
RESPONSE_PARTS = frozenset({"input_text", "input_image", "input_file", "output_text"})
MODERATION_PARTS = frozenset({"text", "image_url"})
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
PDF = "application/pdf"
MOST_IMAGE_BYTES = 10_000_000
_DATA = re.compile(r"data:([a-z0-9/.+-]+);base64,(.*)", re.DOTALL)
_MAGIC = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", PDF: b"%PDF-"}


def seen(part: Part) -> str:
    """Return what stands for an image or a document in the prompt; nothing for another part."""
    source = part.get("source") or {}
    image = part.get("image_url")
    file = part.get("file") or part
    url = image.get("url") if isinstance(image, dict) else image
    found = source.get("data") or source.get("url") or url or file.get("file_data") or file.get("file_url")
    if not isinstance(found, str):
        return ""
    data = _DATA.fullmatch(found)
    return f"[medium {hashlib.sha256((data[2] if data else found).encode()).hexdigest()[:16]}]"


def _bad(message: str, param: str | None = None) -> ProviderError:
    return ProviderError(400, message, param=param, type="invalid_request_error")


def _checked(data: str, type_: str, what: str) -> None:
    try:
        content = b64decode(data, validate=True)
    except (Error, ValueError):
        raise _bad(f"{what}: invalid base64 data") from None
    if not content.startswith(_MAGIC.get(type_, b"")):
        raise _bad(f"{what}: the data does not match the media type {type_}")


def _address(url: Any, what: str, types: tuple[str, ...]) -> None:
    data = _DATA.fullmatch(url) if isinstance(url, str) else None
    if data is None:
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise _bad(f"Invalid {what}: expected a valid URL or a base64 data URL.", what)
        return
    if data[1] not in types:
        raise _bad(f"Invalid MIME type. Only {', '.join(types)} are supported: got '{data[1]}'.", what)
    _checked(data[2], data[1], what)


def check_openai_part(part: Part, known: frozenset[str]) -> None:
    """Refuse a content part that an endpoint does not know, or that is not as it says."""
    kind = part.get("type")
    if kind not in known:
        raise _bad(f"Invalid value: '{kind}'. Supported values are: {', '.join(sorted(known))}.", "content")
    if kind == "image_url":
        image = part.get("image_url")
        _address(image.get("url") if isinstance(image, dict) else None, "image_url", IMAGES)
    if kind == "input_image":
        _address(part.get("image_url"), "image_url", IMAGES)
    if kind == "file":
        file = part.get("file") or {}
        if not file.get("file_id"):
            _file(file)
    if kind == "input_file" and not part.get("file_id"):
        if part.get("file_url"):
            _address(part["file_url"], "file_url", ())
        else:
            _file(part)


def _file(file: Part) -> None:
    if not file.get("filename"):
        raise _bad("Missing required parameter: 'filename'.", "filename")
    if _DATA.fullmatch(str(file.get("file_data"))) is None:
        raise _bad("Invalid 'file_data': expected a base64 data URL.", "file_data")
    _address(file["file_data"], "file_data", (PDF,))


def check_anthropic_part(part: Part, where: str) -> None:
    """Refuse an image or a document that is not as its block says, or too large."""
    source, is_image = part.get("source") or {}, part["type"] == "image"
    if source.get("type") == "url":
        _address(source.get("url"), f"{where}.source.url", ())
        return
    allowed = IMAGES if is_image else (PDF,)
    if source.get("type") != "base64" or source.get("media_type") not in allowed:
        raise _bad(f"{where}.source.media_type: Input should be {' or '.join(allowed)}")
    data = str(source.get("data"))
    if is_image and len(data) > MOST_IMAGE_BYTES:
        raise _bad(f"{where}.source.base64: image exceeds 10 MB maximum: {len(data)} bytes > {MOST_IMAGE_BYTES} bytes")
    _checked(data, source["media_type"], f"{where}.source")
