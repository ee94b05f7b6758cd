"""A user of the fake provider for the tests: both real SDKs against one server, and the few steps all tests need."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import anthropic
import openai
from anthropic.types.messages import MessageBatch
from openai.types import Batch

from deploy.sandbox.provider import ProviderServer
from tests.rig.waiting import wait_until

CHAT: Final = "/v1/chat/completions"
TERMINAL = {"completed", "failed", "expired", "cancelled"}


def chat_line(custom_id: str, text: str, **body: Any) -> dict[str, Any]:
    """A line of an input file for chat completions."""
    messages = [{"role": "user", "content": text}]
    body = {"model": "gpt-4o-mini", "messages": messages, **body}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def message_request(custom_id: str, text: str, **params: Any) -> dict[str, Any]:
    """A request of an Anthropic batch."""
    base = {"model": "claude-haiku-4-5", "max_tokens": 200, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": custom_id, "params": {**base, **params}}


@dataclass
class SandboxUser:
    server: ProviderServer
    retries: int = field(default=0)

    @cached_property
    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(api_key="sandbox", base_url=self.server.openai_base_url, max_retries=self.retries)

    @cached_property
    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(api_key="sandbox", base_url=self.server.anthropic_base_url, max_retries=self.retries)

    def fault(self, name: str, **options: Any) -> None:
        """Switch a fault on, for one occasion unless `times` says otherwise."""
        self.server.set_fault(name, **{"times": 1, **options})

    def close(self) -> None:
        self.openai.close()
        self.anthropic.close()

    def upload(self, lines: Iterable[dict[str, Any] | str], **options: Any) -> str:
        """Upload an input file and return its id."""
        rows = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        data = "".join(f"{row}\n" for row in rows).encode()
        return self.openai.files.create(file=("in.jsonl", data), purpose="batch", **options).id

    def create(self, lines: Iterable[dict[str, Any] | str], **options: Any) -> Batch:
        endpoint = options.pop("endpoint", CHAT)
        file_id = self.upload(lines)
        return self.openai.batches.create(input_file_id=file_id, endpoint=endpoint, completion_window="24h", **options)

    def ended(self, batch_id: str) -> Batch:
        """Wait for a terminal status."""

        def look() -> Batch | None:
            batch = self.openai.batches.retrieve(batch_id)
            return batch if batch.status in TERMINAL else None

        return wait_until(look, 20, f"the end of {batch_id}", interval=0.02)

    def run(self, lines: Iterable[dict[str, Any] | str], **options: Any) -> Batch:
        return self.ended(self.create(lines, **options).id)

    def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        """The lines of a result file; none for no file."""
        if not file_id:
            return []
        raw = self.openai.files.content(file_id).read()
        return [json.loads(line) for line in raw.split(b"\n") if line]

    def by_id(self, batch: Batch) -> dict[str, dict[str, Any]]:
        """All result lines of a batch, from both files, by custom_id."""
        found = self.lines(batch.output_file_id) + self.lines(batch.error_file_id)
        return {line["custom_id"]: line for line in found}

    def create_messages(self, requests: list[dict[str, Any]]) -> MessageBatch:
        return self.anthropic.messages.batches.create(requests=requests)  # type: ignore[arg-type]  # dicts in the SDK's place of types

    def ended_messages(self, batch_id: str) -> MessageBatch:

        def look() -> MessageBatch | None:
            batch = self.anthropic.messages.batches.retrieve(batch_id)
            return batch if batch.processing_status == "ended" else None

        return wait_until(look, 20, f"the end of {batch_id}", interval=0.02)

    def run_messages(self, requests: list[dict[str, Any]]) -> MessageBatch:
        return self.ended_messages(self.create_messages(requests).id)

    def results(self, batch_id: str) -> list[dict[str, Any]]:
        return [line.model_dump(mode="json") for line in self.anthropic.messages.batches.results(batch_id)]
