"""A model's `batch.prompt`: whether its template can be rendered from the model's INPUT columns. Pure."""

from collections.abc import Sequence

from jinja2 import TemplateSyntaxError, meta
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from submitter.pipeline.faults import nearest


def template_faults(text: str, columns: Sequence[str]) -> list[str]:
    """What is wrong with a template: its syntax, or names that are no INPUT columns."""
    environment = ImmutableSandboxedEnvironment()
    try:
        tree = environment.parse(text)
        environment.from_string(text)
    except TemplateSyntaxError as error:
        return [f"line {error.lineno} of the template: {error.message}"]
    except TemplateError as error:
        return [f"the template can't be used: {error}"]
    unknown = sorted(meta.find_undeclared_variables(tree) - set(columns) - set(environment.globals))
    listed = ", ".join(columns)
    return [f"'{name}' is no INPUT column of the model{nearest(name, columns)} (it has {listed})" for name in unknown]
