"""The texts that Python gives a prediction: `${NAME}` stands for the environment's value, as in a file. Pure."""

from collections.abc import Mapping

from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.kafka_properties import of_table, translate
from submitter.pipeline.references import referenced, unresolved
from submitter.pipeline.telling import refuse_key, told

_REFERENCE = "api-key"
"""It stays the name of a variable: each process takes the key from its own environment."""


class OwnTexts:
    """Takes texts one after another, and knows what stood in place of the environment's values."""

    def __init__(self, environ: Mapping[str, str], faults: Faults) -> None:
        self._environ, self._faults = environ, faults
        self.unresolved: dict[str, str] = {}
        """A value to the text that it was made of."""

    def options(self, given: Mapping[str, str], place: Place) -> dict[str, str]:
        """The options with the environment's values in them."""
        return {
            name: value if name == _REFERENCE else self._told(value, place.at(name)) for name, value in given.items()
        }

    def refuse_keys(self, texts: Mapping[str, str], place: Place) -> None:
        """See that no key stands in what others wrote, such as a table's options."""
        for name, value in texts.items():
            if name != _REFERENCE:
                refuse_key(value, self._faults, place.at(name))

    def refuse_passwords(self, options: Mapping[str, str], known: Mapping[str, str], place: Place) -> None:
        """The job's workers watch an input's topics, and are told how to reach them: by no password as it is.

        `known`: the environment's secrets, each with the reference that is told in its place.
        """
        for name, value in translate(of_table(options)).secrets.items():
            if not referenced(unresolved(value, known)):
                message = (
                    "a password would stand in the job's graph: export the password itself, of 8 characters or more, "
                    "as a variable, here and where the job's workers run, and take it from there with os.environ"
                )
                self._faults.add(message, place.at(f"properties.{name}"))

    def refuse_references(self, options: Mapping[str, str], place: Place) -> None:
        """A model of the catalog was made without us: what it refers to would be sent as it is."""
        for name, value in options.items():
            if name != _REFERENCE and referenced(value):
                message = (
                    f"'{value}' would be sent as it is: in a model of the catalog ${{NAME}} is resolved in 'api-key' "
                    "alone; write the value, or give predict a BatchModel"
                )
                self._faults.add(message, place.at(name))

    def _told(self, text: str, place: Place) -> str:
        refuse_key(text, self._faults, place)
        made = told(text, self._environ, self._faults, place)
        if made != text:
            self.unresolved[made] = text
        return made
