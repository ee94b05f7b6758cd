"""The extra columns of a record: error and status, the raw answer, its batch and model, tokens and cost. Pure."""

from collections.abc import Mapping
from typing import Any

from poller.collect.usage import UNKNOWN, Used
from shared import extras
from shared.definition import Definition
from shared.manifest import Manifest
from shared.providers.prices import cost_of

Row = Mapping[str, Any]
MOST_RAW = 100_000
"""Characters of a failed record's raw answer: one that holds many records may come out with each."""


class Extras:
    """Writes the extra columns that one definition's SELECT asks for."""

    def __init__(self, definition: Definition) -> None:
        self._asked = frozenset(
            each.column for each in definition.projection if each.source == "extra" and each.column is not None
        )
        self._model = definition.model

    def __bool__(self) -> bool:
        return bool(self._asked)

    def answered(self, manifest: Manifest, answer: bytes, used: Used) -> Row:
        """Those of a record with an answer."""
        raw = answer.decode("utf-8", "replace") if extras.RAW in self._asked else None
        return self._common(manifest, used) | {extras.STATUS: "succeeded", extras.RAW: raw}

    def failed(self, manifest: Manifest, error: str, raw: str | None, used: Used = UNKNOWN) -> Row:
        """Those of a record without one."""
        shown = raw[:MOST_RAW] if raw else raw
        return self._common(manifest, used) | {extras.STATUS: "failed", extras.ERROR: error, extras.RAW: shown}

    def _common(self, manifest: Manifest, used: Used) -> dict[str, Any]:
        is_said = bool(used.input_tokens or used.output_tokens)
        found: dict[str, Any] = {
            extras.BATCH: manifest.batch_key,
            extras.MODEL: used.model,
            extras.HTTP_STATUS: used.http_status,
        }
        if is_said:
            found |= {extras.INPUT_TOKENS: used.input_tokens, extras.OUTPUT_TOKENS: used.output_tokens}
        if is_said and extras.COST in self._asked:
            found[extras.COST] = self._cost(manifest, used)
        return found

    def _cost(self, manifest: Manifest, used: Used) -> float | None:
        price = cost_of(self._model, used.input_tokens or 0, used.output_tokens or 0, used.cached)
        if price is None:
            return None
        return price.sync_usd if manifest.mode == "sync" else price.batch_usd
