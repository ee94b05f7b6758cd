"""The table of limits the fake provider enforces; each may be overridden by name when it starts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts, bytes and seconds, as the providers document them.

    OpenAI: the batch guide and the SDK's docstrings (`batch_create_params`, `file_create_params`).
    Anthropic: the message batches guide and `messages/batch_list_params`.
    """

    openai_requests: int = 50_000
    openai_bytes: int = 200_000_000
    openai_embedding_inputs: int = 50_000
    openai_creates_per_hour: int = 2_000
    openai_enqueued_tokens: int = 2_000_000_000
    openai_storage_bytes: int = 100_000_000_000
    openai_metadata_pairs: int = 16
    openai_metadata_key: int = 64
    openai_metadata_value: int = 512
    openai_plain: int = 0
    """1: a server of one's own, as vLLM, Ollama, llama.cpp: chat completions alone, no usage, JSON in a text fence."""
    openai_list_page: int = 100
    openai_file_page: int = 10_000
    openai_file_seconds: int = 30 * 86_400
    openai_file_lifetimes: int = 1
    """0: a gateway that refuses `expires_after`, as some do."""
    anthropic_requests: int = 100_000
    anthropic_bytes: int = 256_000_000
    anthropic_queued_requests: int = 500_000
    anthropic_list_page: int = 1_000
    anthropic_results_seconds: int = 29 * 86_400
    batch_seconds: int = 24 * 3_600

    @classmethod
    def of(cls, overrides: Mapping[str, int]) -> Self:
        """Return the table with the named limits replaced; ValueError names an unknown one."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(overrides) - set(known))
        if unknown:
            raise ValueError(f"unknown limit {', '.join(unknown)}; the limits are {', '.join(known)}")
        return cls(**overrides)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)
