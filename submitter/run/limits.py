"""What a day may cost, as a file says it: of the whole pipeline, and of each model. Pure."""

from shared.store.budgets import PIPELINE, Limit
from submitter.pipeline.values import Pipeline


def limits(pipeline: Pipeline) -> list[Limit]:
    """The limits of a file; those that it does not state are taken away."""
    asked = [(each.name, each.definition) for each in pipeline.statements]
    models = [Limit(name, known.model.name, known.batch.max_cost_per_day) for name, known in asked]
    return [Limit(PIPELINE, None, pipeline.settings.max_cost_per_day), *models]
