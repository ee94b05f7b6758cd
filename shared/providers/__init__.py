"""One adapter for each provider, chosen by the model; an adapter's SDK is imported at its first call, never both."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.clock import Clock, system_clock
from shared.definition import Model
from shared.providers.port import Provider
from shared.providers.profiles import profile_for


def provider_for(
    model: Model,
    environ: Mapping[str, str],
    *,
    clock: Clock = system_clock,
    overrides: Mapping[str, Any] | None = None,
) -> Provider:
    """The adapter for a model's provider, address and key. Cheap; the client is made at its first call.

    `overrides` replaces fields of the provider's profile. A key that is missing in `environ` is a MissingCredential
    of `connect` and of the first call, not of this one.
    """
    profile = replace(profile_for(model), **(overrides or {}))
    if model.provider == "openai":
        from shared.providers.openai import OpenAIProvider

        return OpenAIProvider(model, environ, profile, clock)
    from shared.providers.anthropic import AnthropicProvider

    return AnthropicProvider(model, environ, profile, clock)
