"""Where a model is asked: the endpoint, else the SDK's variable, else the provider's public address. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from shared.definition import Column
from shared.schema import is_embedding

Provider = Literal["openai", "anthropic"]
Task = Literal["chat", "responses", "embeddings", "moderations", "messages"]


@dataclass(frozen=True)
class Endpoint:
    """A provider's address and what is asked there, in the parts of `shared.definition.Model`."""

    task: Task
    base_url: str
    path: str


@dataclass(frozen=True)
class _Habits:
    public: str
    variable: str
    tasks: Mapping[str, Task]
    """By the path's end, below the SDK's base address: OpenAI's ends with /v1, Anthropic's before it."""


_PROVIDERS: dict[str, _Habits] = {
    "openai": _Habits(
        "https://api.openai.com/v1",
        "OPENAI_BASE_URL",
        {
            "/chat/completions": "chat",
            "/responses": "responses",
            "/embeddings": "embeddings",
            "/moderations": "moderations",
        },
    ),
    "anthropic": _Habits("https://api.anthropic.com", "ANTHROPIC_BASE_URL", {"/v1/messages": "messages"}),
}
PROVIDERS = tuple(_PROVIDERS)
TASKS = {provider: frozenset(habits.tasks.values()) for provider, habits in _PROVIDERS.items()}
"""What each provider can be asked for."""


def endpoint_of(
    provider: Provider, declared: str | None, output: tuple[Column, ...], environ: Mapping[str, str]
) -> Endpoint:
    """The endpoint of a model. Raises ValueError for an address that names no task, or holds a password."""
    habits = _PROVIDERS[provider]
    if declared is None:
        base = (environ.get(habits.variable) or habits.public).rstrip("/")
        _address(base)
        wanted: Task = "messages" if provider == "anthropic" else "embeddings" if is_embedding(output) else "chat"
        return Endpoint(wanted, base, _path(habits, wanted))
    address = declared.strip().rstrip("/")
    _address(address)
    for suffix, task in habits.tasks.items():
        if address.lower().endswith(suffix):
            return Endpoint(task, address[: -len(suffix)].rstrip("/"), _path(habits, task))
    known = " or ".join(f"…{_path(habits, task)}" for task in habits.tasks.values())
    raise ValueError(
        f"'{declared}' names no task; it must end as {known}, such as {habits.public}{next(iter(habits.tasks))}"
    )


def _path(habits: _Habits, task: Task) -> str:
    suffix = next(suffix for suffix, each in habits.tasks.items() if each == task)
    return suffix if suffix.startswith("/v1/") else f"/v1{suffix}"


def _address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{url}' is no http(s) address")
    if parts.username or parts.password:
        raise ValueError("the address holds a user or a password; the key belongs into 'api-key', as ${NAME}")
    if "/openai/deployments/" in parts.path:
        raise ValueError(
            f"a deployment has no batch API: give {parts.scheme}://{parts.netloc}/openai/v1/chat/completions, and the "
            "deployment's name as 'model'"
        )
    if parts.query or parts.fragment:
        raise ValueError("the address has a query; give the plain address")
