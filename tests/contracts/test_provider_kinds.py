"""Every kind of request through both SDKs: the fake provider takes it in a batch and by itself, and answers alike."""

from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.provider.parts import seen
from shared.definition import BatchOptions, Column, SqlType
from shared.media import content_of
from shared.providers import provider_for
from shared.providers.port import UNCACHED, Answer
from tests.contracts.provider_account import TEXT, Account
from tests.rig.samples import DOUBLE, STRING

SECONDS = timedelta(seconds=10)
BYTES = SqlType(root="VARBINARY", length=2**31 - 1)
COLUMNS = (Column(name="label", type=STRING), Column(name="score", type=DOUBLE))
MOOD = (Column(name="mood", type=STRING, comment="one of: good, bad, mixed"),)
RULES = "Judge the review by these rules, one after the other. " * 100
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "a tool at chat": ("chat", {"output": COLUMNS, "parameters": {"batch.structured-output": "tool"}}),
    "listed values at chat": ("chat", {"output": MOOD}),
    "listed values at responses": ("responses", {"output": MOOD}),
    "listed values at messages": ("messages", {"output": MOOD}),
    "thinking": ("messages", {"output": COLUMNS, "parameters": {"batch.thinking": 1024}}),
    "a tool at messages": ("messages", {"output": COLUMNS, "model": "claude-3-5-haiku-20241022"}),
    "a kept prompt": ("messages", {"system_prompt": RULES, "parameters": {"batch.prompt-cache": "1h"}}),
}


def changed(server: ProviderServer, folder: Path, kind: str, model: dict[str, Any], **batch: Any) -> Account:
    account = Account(server, kind, folder)
    made = account.definition.model.model_copy(update=model)
    options = account.definition.batch.model_copy(update=batch)
    account.definition = account.definition.model_copy(update={"model": made, "batch": options})
    account.provider = provider_for(made, {"THE_KEY": account.key})
    return account


def answered(account: Account) -> list[Answer]:
    """What comes of each request in a batch, in their order; asked one by one it is the same but for its cache."""
    batched = {answer.custom_id.rpartition("-")[2]: answer for answer in account.answers(account.run()) if answer}
    found = [batched[str(number)] for number in range(len(account.prompts))]
    lines = account.outgoing().requests.read_bytes().splitlines(keepends=True)
    asked = [account.provider.answer(account.provider.ask(line, SECONDS)) for line in lines]
    assert all(answer is not None and answer.status == "succeeded" for answer in [*found, *asked])
    assert [answer.text for answer in asked if answer] == [answer.text for answer in found]
    assert [answer.input_tokens for answer in asked if answer] == [answer.input_tokens for answer in found]
    return found


@pytest.mark.parametrize("way", WAYS)
def test_what_a_model_is_asked_for_is_taken_and_answered(
    way: str, shared_sandbox_server: ProviderServer, tmp_path: Path
) -> None:
    shared_sandbox_server.clear_faults()
    kind, model = WAYS[way]
    account = changed(shared_sandbox_server, tmp_path, kind, model)
    found = answered(account)
    if account.definition.model.output != TEXT:
        names = {column.name for column in account.definition.model.output}
        assert [set(orjson.loads(answer.text or "")) for answer in found] == [names] * len(found)
    if way.startswith("listed"):
        assert {orjson.loads(answer.text or "")["mood"] for answer in found} <= {"good", "bad", "mixed", None}
    kept = [answer.cached for answer in found]
    if way == "a kept prompt":
        assert sum(cached.written_1h > 0 for cached in kept) == 1, "one request writes it, whichever comes first"
        assert sum(cached.read > 0 for cached in kept) == len(found) - 1
    else:
        assert set(kept) == {UNCACHED}


PICTURES = [b64encode(b"\x89PNG\r\n\x1a\n" + bytes([number]) * 50).decode() for number in range(3)]
PAPERS = [b64encode(b"%PDF-1.7\n" + bytes([number]) * 50).decode() for number in range(3)]
ADDRESSES = [f"https://example.org/{number}.jpg" for number in range(3)]


@pytest.mark.parametrize("kind", ["chat", "responses", "messages"])
@pytest.mark.parametrize("media", [PICTURES, PAPERS, ADDRESSES], ids=["pictures", "papers", "addresses"])
def test_each_request_shows_its_own_record_s_medium(
    kind: str, media: list[str], shared_sandbox_server: ProviderServer, tmp_path: Path
) -> None:
    shared_sandbox_server.clear_faults()
    inputs = (Column(name="note", type=STRING), Column(name="photo", type=BYTES))
    model = {"input": inputs, "descriptor": ("note", "photo"), "system_prompt": "Repeat."}
    account = changed(shared_sandbox_server, tmp_path, kind, model, media_columns=("photo",))
    contents = [content_of(account.definition)({"note": "what is it?", "photo": each}) for each in media]
    account.prompts = contents  # type: ignore[assignment]  # parts, in the place of texts
    for answer, content in zip(answered(account), contents, strict=True):
        parts = [each for each in content if isinstance(each, dict)]
        first = parts[0]["content"][0] if kind == "responses" else parts[0]
        assert seen(first) in (answer.text or "")


def test_a_moderation_judges_text_and_image_together(shared_sandbox_server: ProviderServer, tmp_path: Path) -> None:
    shared_sandbox_server.clear_faults()
    inputs = (Column(name="note", type=STRING), Column(name="photo", type=BYTES))
    model = {"input": inputs, "descriptor": ("note", "photo")}
    account = changed(shared_sandbox_server, tmp_path, "moderations", model, media_columns=("photo",))
    row = {"note": "I hate it", "photo": PICTURES[0]}
    account.prompts = [content_of(account.definition)(row)]  # type: ignore[list-item]  # text, for this task
    (found,) = answered(account)
    result = orjson.loads(found.text or "")
    assert result["flagged"] is True
    assert result["category_applied_input_types"]["violence"] == ["text", "image"]
    assert result["category_applied_input_types"]["hate"] == ["text"]
    assert BatchOptions().media_columns is None
