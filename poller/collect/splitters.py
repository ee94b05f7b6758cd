"""Which splitter an answer's format has."""

from poller.collect.entries import Split
from poller.collect.entries_json import JsonSplitter
from shared.definition import AnswerFormat, Definition


def splitter_of(definition: Definition, form: AnswerFormat) -> Split:
    """How a definition's answers are split; made once."""
    if form == "json":
        return JsonSplitter(definition)
    from poller.collect.entries_text import text_splitter_of

    return text_splitter_of(definition, form)
