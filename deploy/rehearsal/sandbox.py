"""The sandbox's provider on loopback, in place of a model's own: no account, no key, answers of a kind."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.rehearsal.prompter import Dictate
from shared.definition import Definition
from shared.errors import SettingsError

_NEEDED = ("starlette", "uvicorn", "vaderSentiment", "python_multipart")


@dataclass(frozen=True)
class Sandbox:
    """A running one."""

    openai: str
    anthropic: str
    dictate: Dictate
    """What its model is to say."""

    def instead(self, definition: Definition) -> Definition:
        """A definition that asks here."""
        base = self.anthropic if definition.model.provider == "anthropic" else self.openai
        model = definition.model.model_copy(update={"base_url": base})
        return definition.model_copy(update={"model": model})

    @staticmethod
    def environ(definition: Definition) -> Mapping[str, str]:
        """A key that it takes."""
        return {definition.model.api_key: "sandbox"}


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Run one while the block lasts. Raises SettingsError where what it needs is not installed."""
    if any(find_spec(name) is None for name in _NEEDED):
        raise SettingsError("a trial needs the fake provider: pip install 'batchline[sandbox]'")
    from deploy.sandbox.provider import ProviderServer

    with ProviderServer(folder, processing_seconds=0.05) as server:
        yield Sandbox(server.openai_base_url, server.anthropic_base_url, server.dictate)
