"""A fake OpenAI and Anthropic on loopback: `ProviderServer` runs one, `Witness` tells what it accepted and billed."""

from deploy.sandbox.provider.server import ProviderServer
from deploy.sandbox.provider.witness import Billed, Witness

__all__ = ["Billed", "ProviderServer", "Witness"]
