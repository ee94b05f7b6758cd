"""What a text that a user wrote refers to, and what it may not hold: judged alike in a file and in Python. Pure."""

from collections.abc import Callable, Mapping

from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.references import is_secret, looks_secret, referenced, resolved


def told(
    text: str, environ: Mapping[str, str], faults: Faults, place: Place, escape: Callable[[str], str] = str
) -> str:
    """The text with the environment's values for its references: one that is not set is a fault, a secret is hidden."""
    for name in referenced(text):
        if name not in environ:
            faults.add(f"${{{name}}} is not set: export the environment variable {name}", place)
        elif is_secret(name, environ[name]):
            faults.hide(environ[name], f"${{{name}}}")
    return resolved(text, environ, escape)


def refuse_key(text: str, faults: Faults, place: Place) -> None:
    """A text that holds a provider's key is a fault, and shown nowhere."""
    if looks_secret(text):
        faults.hide(text, "…")
        faults.add(
            "a string holds what looks like a provider's key: export it as a variable, and write '${NAME}' as the "
            "model's 'api-key'; a key that stood in a file should be replaced",
            place,
        )
