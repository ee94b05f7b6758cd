"""One adapter on the fake provider: what the contract of the adapters is checked with."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.provider import ProviderServer
from shared.definition import Column, SqlType
from shared.keys import batch_key, custom_id
from shared.manifest import Manifest
from shared.providers import provider_for
from shared.providers.port import Answer, Outgoing, Provider, RemoteBatch
from tests.rig.samples import EPOCH, STRING, definition
from tests.rig.waiting import wait_until

TEXT = (Column(name="answer", type=STRING),)
VECTOR = (Column(name="vector", type=SqlType(root="ARRAY", element=SqlType(root="FLOAT"))),)
COMMON: dict[str, Any] = {"api_key": "THE_KEY", "system_prompt": "Repeat.", "output": TEXT}
KINDS: dict[str, dict[str, Any]] = {
    "chat": {"provider": "openai", "task": "chat", "model": "gpt-4o-mini"},
    "responses": {"provider": "openai", "task": "responses", "model": "gpt-4o-mini"},
    "embeddings": {"provider": "openai", "task": "embeddings", "model": "text-embedding-3-small", "output": VECTOR},
    "moderations": {
        "provider": "openai",
        "task": "moderations",
        "model": "omni-moderation-latest",
        "output": (Column(name="flagged", type=SqlType(root="BOOLEAN")),),
    },
    "messages": {"provider": "anthropic", "task": "messages", "model": "claude-haiku-4-5"},
}
PROMPTS = ["plain", 'quotes " and \\', "new\nline", "emoji \U0001f600", "separators \u2028 \u2029 \u0085 end"]
BOTH = ["chat", "messages"]
numbers = count()


@dataclass
class Account:
    """One adapter on the fake provider, and the batches made for it."""

    server: ProviderServer
    kind: str
    folder: Path
    key: str = "sandbox"
    prompts: list[str] = field(default_factory=lambda: list(PROMPTS))

    def __post_init__(self) -> None:
        provider = KINDS[self.kind]["provider"]
        base_url = self.server.openai_base_url if provider == "openai" else self.server.anthropic_base_url
        self.definition = definition(model={**COMMON, **KINDS[self.kind], "base_url": base_url})
        self.provider: Provider = provider_for(self.definition.model, {"THE_KEY": self.key})
        self.calls = "openai" if provider == "openai" else "anthropic"

    def outgoing(self, timeout: float = 10.0) -> Outgoing:
        """A new batch on disk."""
        key = batch_key("pipe", "statement", f"file-{next(numbers)}", 0)
        path = self.folder / f"{key}.jsonl"
        write = self.provider.requests(self.definition.model).line
        path.write_bytes(b"".join(write(custom_id(key, number), prompt) for number, prompt in enumerate(self.prompts)))
        manifest = Manifest(
            batch_key=key,
            pipeline="pipe",
            statement="statement",
            generation=0,
            definition=self.definition,
            sealed_file="x",
            sealed_at=EPOCH,
            start=0,
            end=1,
            runs=((len(self.prompts), "request"),),
            requests=len(self.prompts),
            records=len(self.prompts),
            bytes=path.stat().st_size,
            sha256="0" * 64,
        )
        metadata = {"batch_key": key, "attempt": "1", "sha256": manifest.sha256}
        return Outgoing(manifest, path, 1, metadata, timedelta(seconds=timeout))

    def submit(self, timeout: float = 10.0) -> RemoteBatch:
        batch = self.outgoing(timeout)
        return self.provider.create(batch, self.provider.upload(batch))

    def ended(self, batch_id: str) -> RemoteBatch:
        def look() -> RemoteBatch | None:
            found = self.provider.retrieve(batch_id)
            return found if found.phase == "ended" else None

        return wait_until(look, 20, f"the end of {batch_id}", interval=0.02)

    def run(self) -> RemoteBatch:
        return self.ended(self.submit().id)

    def answers(self, batch: RemoteBatch, into: str = "results") -> list[Answer | None]:
        paths = self.provider.download(batch, self.folder / into / batch.id)
        return [self.provider.answer(line) for path in paths for line in path.read_bytes().split(b"\n") if line]


def only(*kinds: str) -> pytest.MarkDecorator:
    """Runs a test for these kinds of account alone."""
    return pytest.mark.parametrize("account", kinds, indirect=True)
