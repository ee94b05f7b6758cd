"""What a file says of its pipeline, and the store keeps: what a day may cost, and how long things last. Pure."""

from datetime import timedelta

from shared.store.budgets import PIPELINE, Limit
from shared.store.terms import Stated
from submitter.pipeline.values import Pipeline


def limits(pipeline: Pipeline) -> list[Limit]:
    """The limits of a file; those that it does not state are taken away."""
    asked = [(each.name, each.definition) for each in pipeline.statements]
    models = [Limit(name, known.model.name, known.batch.max_cost_per_day) for name, known in asked]
    return [Limit(PIPELINE, None, pipeline.settings.max_cost_per_day), *models]


def terms(pipeline: Pipeline, checkpoints: str | None) -> Stated:
    """The terms of a file, and where its checkpoints go; those that it does not state are taken away."""
    return Stated(_span(pipeline.settings.retention), _span(pipeline.settings.quarantine), checkpoints)


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
