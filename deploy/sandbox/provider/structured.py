"""A value that obeys a JSON schema, decided by a digest of the prompt and, where columns say so, by its sentiment."""

import hashlib
from collections.abc import Mapping
from typing import Any

LABEL_NAMES = frozenset({"label", "sentiment", "polarity"})
SCORE_NAMES = frozenset({"score", "sentiment", "polarity", "compound", "sentiment_score"})
FORMATS = {
    "date": "2026-01-{day:02d}",
    "date-time": "2026-01-{day:02d}T12:00:00Z",
    "time": "12:{day:02d}:00Z",
    "email": "user{day}@example.com",
}
MAX_DEPTH = 12


def wants_sentiment(schema: Mapping[str, Any]) -> bool:
    """Tell whether the schema's own columns ask for a sentiment."""
    properties = schema.get("properties") or {}
    return any(name in properties for name in LABEL_NAMES | {"compound", "sentiment_score"})


class Filler:
    """Fills one answer; `label` and `score` are the prompt's sentiment when it was computed."""

    def __init__(self, root: Mapping[str, Any], prompt_digest: str, label: str | None, score: float | None) -> None:
        self._root = root
        self._digest = prompt_digest
        self._label = label
        self._score = score

    def value(self, schema: Mapping[str, Any], path: str = "", depth: int = 0) -> Any:
        """Return the value at `path` (dotted names); the same for the same prompt, schema and path."""
        schema = self._resolved(schema)
        name = path.rpartition(".")[2].partition("[")[0]
        dice = int.from_bytes(hashlib.blake2b(f"{self._digest}{path}".encode(), digest_size=8).digest(), "big")
        if self._label is not None and name in LABEL_NAMES | SCORE_NAMES:
            dice |= 1  # The sentiment is known: no null for it.
        if "const" in schema:
            return schema["const"]
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.value(self._branch(schema[key], dice, depth), path, depth)
        if "enum" in schema:
            return self._enum(schema["enum"], name, dice)
        kind = self._kind(schema, dice)
        if kind == "object":
            return self._object(schema, path, depth)
        if kind == "array":
            return self._array(schema, path, dice, depth)
        return self._scalar(schema, kind, name, dice)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            target: Any = self._root
            for step in schema["$ref"].lstrip("#/").split("/"):
                target = target[step] if step else target
            schema = target
        if "allOf" in schema:
            merged: dict[str, Any] = {}
            for part in schema["allOf"]:
                merged.update(self._resolved(part))
            return {**merged, **{key: value for key, value in schema.items() if key != "allOf"}}
        return schema

    @staticmethod
    def _branch(branches: list[Mapping[str, Any]], dice: int, depth: int) -> Mapping[str, Any]:
        """Choose null for one prompt in eight; any of the other branches else (the first one deep down)."""
        values = [branch for branch in branches if branch.get("type") != "null"]
        nulls = [branch for branch in branches if branch.get("type") == "null"]
        if nulls and (not values or dice % 8 == 0 or depth > MAX_DEPTH):
            return nulls[0]
        return values[0 if depth > MAX_DEPTH else (dice >> 8) % len(values)]

    @staticmethod
    def _kind(schema: Mapping[str, Any], dice: int) -> str:
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, str):
            return kind
        others = [one for one in kind if one != "null"]
        return "null" if "null" in kind and (not others or dice % 8 == 0) else str(others[0])

    def _enum(self, values: list[Any], name: str, dice: int) -> Any:
        if self._label is not None and name in LABEL_NAMES:
            for value in values:
                if isinstance(value, str) and value.lower()[:3] == self._label[:3]:
                    return value
        return values[dice % len(values)]

    def _object(self, schema: Mapping[str, Any], path: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = set(schema.get("required", properties))
        wanted = {key: part for key, part in properties.items() if key in required or depth <= MAX_DEPTH}
        return {key: self.value(part, f"{path}.{key}", depth + 1) for key, part in wanted.items()}

    def _array(self, schema: Mapping[str, Any], path: str, dice: int, depth: int) -> list[Any]:
        least = int(schema.get("minItems", 0 if depth > MAX_DEPTH else 1))
        most = max(least, min(int(schema.get("maxItems", least + 2)), least + 2))
        size = least if depth > MAX_DEPTH else least + dice % (most - least + 1)
        items = schema.get("items") or {"type": "string"}
        return [self.value(items, f"{path}[{index}]", depth + 1) for index in range(size)]

    def _scalar(self, schema: Mapping[str, Any], kind: str, name: str, dice: int) -> Any:
        if kind == "null":
            return None
        if kind == "boolean":
            return bool(dice & 1)
        if kind == "integer":
            return _integer(schema, dice)
        if kind == "number":
            return self._score if self._score is not None and name in SCORE_NAMES else _number(schema, dice)
        return self._string(schema, name, dice)

    def _string(self, schema: Mapping[str, Any], name: str, dice: int) -> str:
        if self._label is not None and name in LABEL_NAMES:
            return self._label
        form = schema.get("format")
        if form in FORMATS:
            return FORMATS[form].format(day=dice % 28 + 1)
        text = f"{name or 'text'} {self._digest}"
        return text[: int(schema.get("maxLength", len(text)))].ljust(int(schema.get("minLength", 0)), ".")


def _integer(schema: Mapping[str, Any], dice: int) -> int:
    low = int(schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
    high = int(schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1))
    step = int(schema.get("multipleOf", 1))
    least = -(-low // step)
    return (least + dice % max(1, high // step - least + 1)) * step


def _number(schema: Mapping[str, Any], dice: int) -> float:
    low = float(schema.get("minimum", schema.get("exclusiveMinimum", 0.0)))
    high = float(schema.get("maximum", schema.get("exclusiveMaximum", low + 1.0)))
    return round(low + (high - low) * ((dice % 9_998 + 1) / 10_000), 6)
