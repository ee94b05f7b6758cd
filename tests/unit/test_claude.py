"""What Claude takes besides a prompt: thinking, a kept prompt, a tool for columns; and what its answers then hold."""

from typing import Any

import orjson
import pytest

from deploy.sandbox.provider.answers import answer
from deploy.sandbox.provider.asks import ask_of
from deploy.sandbox.provider.bodies import check_chat
from deploy.sandbox.provider.bodies_anthropic import check_messages
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.lines import AnthropicLines
from shared.definition import Column, Model, SqlType
from shared.providers import anthropic_answers, provider_for
from shared.providers.port import Answer, Cached
from shared.providers.prices import cost
from tests.rig.samples import DOUBLE, STRING, definition

LABEL, SCORE = Column(name="label", type=STRING), Column(name="score", type=DOUBLE)
LONG = "Judge the review by these rules. " * 200
KEY = "abcdefghijklmnopqrstuvwxyz-0"


def claude(model: str = "claude-haiku-4-5", **changes: Any) -> Model:
    return definition(
        model={"provider": "anthropic", "task": "messages", "model": model, "output": (LABEL, SCORE), **changes}
    ).model


def line(model: Model, number: int = 0) -> bytes:
    return provider_for(model, {}).requests(model).line(f"{KEY}-{number}", "A fine film.")


def body(model: Model) -> dict[str, Any]:
    sent = orjson.loads(line(model))
    return dict(sent.get("params") or sent["body"])


def results(model: Model, requests: int) -> list[Answer]:
    """The answers of a batch of so many requests."""
    lines, found = AnthropicLines(), []
    for number in range(requests):
        request = lines.parse(line(model, number), str(number))
        ask = lines.ask(request)
        found.append(anthropic_answers.judge(lines.succeeded(request, ask, answer(ask))))
    assert all(found)
    return [each for each in found if each is not None]


WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "a budget": ("claude-sonnet-4-5", {"batch.thinking": 1024}),
    "a budget and a limit": ("claude-haiku-4-5", {"batch.thinking": 1024, "max-tokens": 1500}),
    "adaptive": ("claude-opus-4-8", {"batch.thinking": "adaptive", "batch.effort": "max"}),
    "none": ("claude-haiku-4-5", {"batch.thinking": "disabled", "temperature": 0.2}),
    "a kept prompt": ("claude-haiku-4-5", {"batch.prompt-cache": "5m"}),
    "a tool, told": ("claude-haiku-4-5", {"batch.structured-output": "tool"}),
    "a tool, for want of schemas": ("claude-opus-4-1-20250805", {"batch.prompt-cache": "1h"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_provider_takes_it_and_the_columns_come_back(way: str) -> None:
    name, parameters = WAYS[way]
    model = claude(name, parameters=parameters)
    check_messages(body(model))
    (found,) = results(model, 1)
    assert (found.status, set(orjson.loads(found.text or ""))) == ("succeeded", {"label", "score"})


def test_thinking_takes_its_room_beside_the_answer_s() -> None:
    assert body(claude(parameters={"batch.thinking": 2048}))["max_tokens"] == 4096 + 2048
    assert body(claude(parameters={"batch.thinking": 2048, "max-tokens": 3000}))["max_tokens"] == 3000
    assert body(claude(parameters={"batch.thinking": "adaptive"}))["thinking"] == {"type": "adaptive"}


def test_columns_are_asked_for_as_the_model_takes_it() -> None:
    assert "format" in body(claude())["output_config"]
    old = body(claude("claude-3-5-haiku-20241022"))
    assert old["tool_choice"] == {"type": "tool", "name": "answer"}
    assert "output_config" not in old
    plain = body(claude(parameters={"batch.structured-output": "none"}))
    assert not {"tools", "output_config"} & plain.keys()


def test_the_schema_of_a_tool_is_that_of_the_columns_at_openai_too() -> None:
    model = definition(model={"parameters": {"batch.structured-output": "tool"}}).model
    sent = body(model)
    check_chat(sent)
    assert sent["tools"][0]["function"]["parameters"]["required"] == ["label", "score"]
    assert "response_format" not in sent


def test_a_kept_prompt_is_written_once_and_read_from_then_on_at_its_own_price() -> None:
    model = claude(system_prompt=LONG, parameters={"batch.prompt-cache": "1h"})
    first, second = results(model, 2)
    kept = first.cached.written_1h
    assert kept > 1024
    assert (first.cached, second.cached) == (Cached(0, 0, kept), Cached(kept, 0, 0))
    assert first.input_tokens == second.input_tokens > kept
    prices = [cost("anthropic", "claude-haiku-4-5", each.input_tokens, 0, each.cached) for each in (first, second)]
    plain = cost("anthropic", "claude-haiku-4-5", first.input_tokens, 0)
    assert prices[0] is not None
    assert prices[1] is not None
    assert plain is not None
    # Published: an hour's cache is written at twice the price, and read at a tenth of it.
    assert prices[0].sync_usd == pytest.approx(plain.sync_usd + kept * 1e-6)
    assert prices[1].sync_usd == pytest.approx(plain.sync_usd - 0.9 * kept * 1e-6)
    assert prices[1].batch_usd == prices[1].sync_usd / 2


def test_the_short_life_of_a_cache_has_another_price() -> None:
    first = results(claude(system_prompt=LONG, parameters={"batch.prompt-cache": "5m"}), 1)[0]
    assert first.cached.written > 0
    assert first.cached.written_1h == 0


REFUSED: list[dict[str, Any]] = [
    {"thinking": {"type": "enabled", "budget_tokens": 1000}, "max_tokens": 4096},
    {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 2000},
    {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4096, "model": "claude-opus-4-8"},
    {"thinking": {"type": "adaptive"}},
    {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4096, "temperature": 0.5},
    {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4096, "tool_choice": {"type": "any"}},
    {"temperature": 0.2, "top_p": 0.9},
    {"temperature": 1, "top_p": 1, "model": "claude-opus-4-1-20250805"},
    {"temperature": 0.2, "top_p": 0.9, "model": "claude-sonnet-4-6"},
    {"temperature": 1, "top_p": 0.99, "model": "claude-haiku-5-5"},
    {"temperature": 0, "model": "claude-opus-4-7"},
    {"temperature": 0, "model": "claude-sonnet-5"},
    {"top_p": 1, "model": "claude-haiku-5-5"},
    {"top_k": 5, "model": "claude-fable-5-1"},
    {"thinking": {"type": "disabled"}, "model": "claude-opus-5-5"},
    {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4096, "model": "claude-haiku-5-5"},
    {"tool_choice": {"type": "any"}, "tools": [{"name": "a"}], "model": "claude-sonnet-5-5"},
    {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1d"}}]},
    {"output_config": {"format": {"type": "json_schema", "schema": {}}}, "model": "claude-3-haiku-20240307"},
]


@pytest.mark.parametrize("changes", REFUSED)
def test_the_fake_provider_refuses_what_the_guides_say_is_refused(changes: dict[str, Any]) -> None:
    plain = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "x"}]}
    ask_of("/v1/messages", plain)
    with pytest.raises(ProviderError) as refused:
        ask_of("/v1/messages", plain | changes)
    assert (refused.value.status, refused.value.type) == (400, "invalid_request_error")


TAKEN: list[dict[str, Any]] = [
    {"temperature": 0.2, "top_p": 0.9, "model": "claude-3-haiku-20240307"},
    {"temperature": 0.2, "top_p": 0.9, "model": "claude-sonnet-4-20250514"},
    {"temperature": 0.2},
    {"top_p": 0.9, "model": "claude-opus-4-6"},
    {"temperature": 1, "model": "claude-opus-4-8"},
    {"top_p": 0.99, "model": "claude-haiku-5-5"},
    {"thinking": {"type": "disabled"}, "model": "claude-opus-5"},
    {"tool_choice": {"type": "any"}, "tools": [{"name": "a"}], "model": "claude-haiku-5-5"},
    {
        "thinking": {"type": "adaptive"},
        "tool_choice": {"type": "any"},
        "tools": [{"name": "a"}],
        "model": "claude-opus-4-8",
    },
]


@pytest.mark.parametrize("changes", TAKEN)
def test_the_fake_provider_takes_what_the_guides_say_is_taken(changes: dict[str, Any]) -> None:
    ask_of(
        "/v1/messages",
        {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "x"}]} | changes,
    )


def test_models_that_think_by_themselves_say_so_before_the_answer() -> None:
    (found,) = results(claude("claude-opus-5-5"), 1)
    assert set(orjson.loads(found.text or "")) == {"label", "score"}
    sent = body(claude("claude-opus-5-5"))
    assert ask_of("/v1/messages", sent).thinks
    assert not ask_of("/v1/messages", sent | {"model": "claude-opus-4-8"}).thinks


def test_what_the_model_thought_is_no_part_of_its_answer() -> None:
    text = Column(name="answer", type=SqlType(root="VARCHAR", length=2**31 - 1))
    (found,) = results(claude(output=(text,), system_prompt=None, parameters={"batch.thinking": 1024}), 1)
    assert (found.text or "").startswith("sha256=")
