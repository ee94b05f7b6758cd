"""What a request asks, apart from its provider: system text, prompt, schema or tool, length. Pure."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy.sandbox.provider.bodies import CHECKS
from deploy.sandbox.provider.bodies_anthropic import cached_blocks, check_messages, output_format, thinks
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.parts import seen

Body = dict[str, Any]
LEAST_CACHED = 4_096
"""Characters, for the 1,024 tokens below which nothing is cached, and nothing is said."""


@dataclass(frozen=True, slots=True)
class Ask:
    """`prompt` is the text of the last user message; `characters` counts all text sent."""

    model: str
    prompt: str
    system: str
    characters: int
    schema: dict[str, Any] | None = None
    tool: str | None = None
    max_tokens: int | None = None
    choices: int = 1
    thinks: bool = False
    cache: tuple[str, str, int] | None = None
    """What is to be kept in the prompt cache: its name, its lifetime, its characters."""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part if isinstance(part, str) else part.get("text") or seen(part) for part in content)
        return "\n".join(part for part in parts if part)
    return ""


def _conversation(messages: list[Any], system: str) -> tuple[str, str, int]:
    """Return (last user text, system text, characters)."""
    prompt = ""
    characters = len(system)
    for message in messages:
        text = _text(message.get("content"))
        characters += len(text)
        if message.get("role") in ("system", "developer"):
            system = f"{system}\n{text}" if system else text
        elif message.get("role") == "user" or "role" not in message:
            prompt = text
    return prompt, system, characters


def _forced_function(body: Body) -> tuple[str, dict[str, Any]] | None:
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return None
    name = choice.get("name") or (choice.get("function") or {}).get("name")
    for tool in body.get("tools") or ():
        spec = tool.get("function", tool)
        if spec.get("name") == name or choice.get("type") == "any":
            return spec["name"], spec.get("parameters") or spec.get("input_schema") or {"type": "object"}
    return None


def of_chat(body: Body) -> Ask:
    prompt, system, characters = _conversation(body["messages"], "")
    wanted = body.get("response_format") or {}
    schema = (wanted.get("json_schema") or {}).get("schema")
    if wanted.get("type") == "json_object":
        schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    function = _forced_function(body)
    length = body.get("max_completion_tokens") or body.get("max_tokens")
    tool, schema = function or (None, schema)
    return Ask(body["model"], prompt, system, characters, schema, tool, length, body.get("n") or 1)


def of_responses(body: Body) -> Ask:
    content = body["input"]
    messages = [{"role": "user", "content": content}] if isinstance(content, str) else content
    prompt, system, characters = _conversation(messages, body.get("instructions") or "")
    wanted = (body.get("text") or {}).get("format") or {}
    return Ask(body["model"], prompt, system, characters, wanted.get("schema"), None, body.get("max_output_tokens"))


def of_messages(body: Body) -> Ask:
    prompt, system, characters = _conversation(body["messages"], _text(body.get("system")))
    tool, schema = _forced_function(body) or (None, output_format(body).get("schema"))
    length = body.get("max_tokens")
    return Ask(body["model"], prompt, system, characters, schema, tool, length, 1, thinks(body), _cache(body))


def _cache(body: Body) -> tuple[str, str, int] | None:
    """The last breakpoint of the system prompt; one in the messages differs with each of them."""
    kept = [block for block in cached_blocks({**body, "messages": []}) if block.get("type") == "text"]
    if not kept or len(kept[-1]["text"]) < LEAST_CACHED:
        return None
    text = kept[-1]["text"]
    name = hashlib.sha256(f"{body['model']} {text}".encode()).hexdigest()
    return name, kept[-1]["cache_control"].get("ttl", "5m"), len(text)


def of_embeddings(body: Body) -> Ask:
    """The inputs, joined: what stands for a prompt in the witness log."""
    content = body["input"]
    text = content if isinstance(content, str) else "\n".join(map(str, content))
    return Ask(body["model"], text, "", len(text))


def of_moderations(body: Body) -> Ask:
    content = body["input"]
    parts = [content] if isinstance(content, str) else content
    text = _text(parts)
    return Ask(body.get("model") or "omni-moderation-latest", text, "", len(text))


_ASKS: dict[str, Callable[[Body], Ask]] = {
    "/v1/chat/completions": of_chat,
    "/v1/responses": of_responses,
    "/v1/embeddings": of_embeddings,
    "/v1/moderations": of_moderations,
    "/v1/messages": of_messages,
}


def ask_of(endpoint: str, body: Body) -> Ask:
    """Check a body and return what it asks; ProviderError(400 or 404) when the endpoint refuses it."""
    try:
        CHECKS.get(endpoint, check_messages)(body)
        return _ASKS[endpoint](body)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The checks name the usual faults; whatever else isn't shaped as it should be ends here.
        raise ProviderError(400, f"Invalid type for a parameter: {error}", code="invalid_type") from None
