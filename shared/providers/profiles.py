"""The providers' limits and habits, in one table; whatever a provider can change, an option can override."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from shared.definition import Model
from shared.errors import SettingsError
from shared.providers.port import Profile

_TIMES = frozenset({"results_kept", "files_kept"})
"""Fields that a model's options give in seconds."""

PROFILES: dict[str, Profile] = {
    # The Batch API guide, and the docstrings of the SDK's batch_create_params and file_create_params.
    "openai": Profile(
        max_requests=50_000,
        max_bytes=200_000_000,
        max_inputs=50_000,
        creates_per_hour=2_000,
        queue="tokens",
        validates_later=True,
        has_metadata=True,
        results_kept=timedelta(days=30),
        envelope_bytes=0,
        price_factor=0.5,
        # The images and vision guide, and the file inputs guide: of all that a request carries.
        max_request_bytes=50_000_000,
        # The longest that an upload may ask for.
        files_kept=timedelta(days=30),
    ),
    # The Message Batches guide. 256 MB is read as the smaller of its two meanings.
    "anthropic": Profile(
        max_requests=100_000,
        max_bytes=256_000_000,
        max_inputs=None,
        creates_per_hour=None,
        queue="requests",
        validates_later=False,
        has_metadata=False,
        results_kept=timedelta(days=29),
        envelope_bytes=len('{"requests":[]}'),
        price_factor=0.5,
        has_files=False,
        # The vision guide (10 MB as base64, read as the smaller of its meanings; clouds of others take half of it), and
        # the API's request size limits.
        max_image_bytes=10_000_000,
        max_request_bytes=32_000_000,
    ),
}


def profile_for(model: Model) -> Profile:
    """The profile of a model's service: its provider's, with what the model's `batch.profile.…` options say of it."""
    said: dict[str, Any] = dict(model.profile)
    for name in _TIMES & said.keys():
        said[name] = None if said[name] is None else timedelta(seconds=said[name])
    return profile_of(model.provider, said)


def profile_of(provider: str, overrides: Mapping[str, Any] | None = None) -> Profile:
    """The profile of a provider, with the named fields replaced.

    Raises SettingsError, which lists the known names, for an unknown provider or field.
    """
    profile = PROFILES.get(provider)
    if profile is None:
        raise SettingsError(f"there is no provider '{provider}'; known are {', '.join(PROFILES)}")
    known = [field.name for field in fields(Profile)]
    unknown = sorted(set(overrides or ()) - set(known))
    if unknown:
        raise SettingsError(f"a provider's profile has no {', '.join(unknown)}; it has {', '.join(known)}")
    return replace(profile, **(overrides or {}))
