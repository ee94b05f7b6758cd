"""A moderation, decided by words that stand in the text; the scores are those of its hash. Pure."""

import hashlib
from typing import Any

from deploy.sandbox.provider.asks import Ask

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_OF_IMAGES = frozenset(each for each in _CATEGORIES if each.startswith(("self-harm", "violence")) or each == "sexual")
_WORDS = {"kill": "violence", "stupid": "harassment", "hate": "hate", "steal": "illicit"}


def moderation(body: dict[str, Any], ask: Ask, ident: str) -> dict[str, Any]:
    """Return `openai.types.ModerationCreateResponse`: a result for each text, or one for texts and images together."""
    content = body["input"]
    several = isinstance(content, list) and all(isinstance(part, str) for part in content)
    texts = content if several else [ask.prompt]
    has_image = isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "image_url" for part in content
    )
    return {
        "id": f"modr-{ident}",
        "model": "omni-moderation-2024-09-26" if ask.model == "omni-moderation-latest" else ask.model,
        "results": [_result(text, has_image=has_image) for text in texts],
    }


def _result(text: str, *, has_image: bool) -> dict[str, Any]:
    stream = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(len(_CATEGORIES))
    found = {category for word, category in _WORDS.items() if word in text.lower()}
    scores = {
        name: (0.9 if name in found else 0.0) + byte / 2560 for name, byte in zip(_CATEGORIES, stream, strict=True)
    }
    return {
        "flagged": bool(found),
        "categories": {name: name in found for name in _CATEGORIES},
        "category_scores": scores,
        "category_applied_input_types": {
            name: ["text", *(["image"] if has_image and name in _OF_IMAGES else [])] for name in _CATEGORIES
        },
    }
