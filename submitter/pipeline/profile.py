"""What `batch.profile.…` says of a model's service, as the fields of a provider's profile. Pure."""

from collections.abc import Mapping
from typing import Any

_PREFIX = "batch.profile."
_FIELDS = {"metadata": "has_metadata", "file-lifetime": "files_kept", "results-lifetime": "results_kept"}


def profile_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the given options set, times in seconds; None for a lifetime that is not asked for."""
    said = {name.removeprefix(_PREFIX): value for name, value in values.items() if name.startswith(_PREFIX)}
    fields = {_FIELDS.get(name, name.replace("-", "_")): value for name, value in said.items()}
    if fields.get("files_kept") == 0:
        fields["files_kept"] = None
    return fields
