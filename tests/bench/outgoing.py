"""Planned batches of a wanted size, as the submitter would have written them, for a fake provider."""

from datetime import timedelta
from itertools import cycle, islice
from pathlib import Path

from deploy.demo.reviews import read_reviews
from deploy.sandbox.provider.server import ProviderServer
from shared.clock import system_clock
from shared.definition import BatchOptions, Column, Definition
from shared.providers import provider_for
from shared.providers.port import Outgoing
from shared.spool import REQUESTS, SealedFile, Spool
from shared.store import Store
from submitter.planning.planner import Planner
from tests.rig import samples

ENVIRON = {"OPENAI_API_KEY": "key-of-openai", "ANTHROPIC_API_KEY": "key-of-anthropic"}


def definition(server: ProviderServer, provider: str) -> Definition:
    """A statement whose answers are echoes: a sentiment of long texts would cost the fake provider minutes."""
    model = {
        "openai": {"base_url": server.openai_base_url},
        "anthropic": {
            "provider": "anthropic",
            "task": "messages",
            "base_url": server.anthropic_base_url,
            "path": "/v1/messages",
            "api_key": "ANTHROPIC_API_KEY",
            "model": "claude-haiku-4-5",
        },
    }[provider]
    text = (Column(name="label", type=samples.STRING),)
    return samples.definition(
        batch=BatchOptions(request_timeout=120.0),
        model={**model, "system_prompt": "Summarize the reviews.", "output": text},
    )


def seal(spool: Spool, stated: Definition, rows: int, characters: int) -> SealedFile:
    """A finished file of so many rows, each with real reviews of about so many characters."""
    texts = cycle([review.text for review in read_reviews()])
    each = max(1, characters // 115)
    lines = (
        samples.sealed_line(number, " ".join(islice(texts, each))[:characters], [0, 0, number])
        for number in range(rows)
    )
    return samples.seal(spool.files, stated, lines, f"part-{rows}-{characters}")


def outgoing(folder: Path, stated: Definition, rows: int, characters: int) -> Outgoing:
    """One planned batch, ready to be sent."""
    spool = Spool(f"file://{folder}/spool")
    with Store.open(f"sqlite:///{folder}/state.db") as store:
        store.lineage.put_definition(stated)
        planner = Planner(store, spool, lambda model: provider_for(model, ENVIRON), system_clock)
        (key,) = planner.plan(stated.pipeline, stated.statement, seal(spool, stated, rows, characters))
    manifest = spool.manifest(stated.pipeline, stated.statement, key)
    requests = folder / "spool" / spool.batch(stated.pipeline, stated.statement, key) / REQUESTS
    metadata = {"batch_key": key, "attempt": "1", "sha256": manifest.sha256}
    return Outgoing(manifest, requests, 1, metadata, timedelta(seconds=120))
