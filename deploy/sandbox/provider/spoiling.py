"""How an answer to several records may be spoilt, as careless models spoil it. Pure."""

from collections.abc import Callable
from random import Random

from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.packed import Entry, Pack, written


def spoilt_text(text: str, how: str, pack: Pack | None, answers: list[Entry]) -> str:
    """A pack's answer as a careless model leaves it, in its own shape; ProviderError for what that shape can't show.

    Entries are spoilt before they are written. What answers no pack, or was cut, has none to spoil.
    """
    if how in _DRESS:
        return _DRESS[how](text)
    if pack is None:
        return text
    if how in _CHANGES:
        if how == "wrong_type" and pack.shape != "json":
            raise _impossible(how, pack)
        return written(pack, _CHANGES[how](list(answers), Random(text)))
    if how == "trailing_comma" and pack.shape != "json":
        raise _impossible(how, pack)
    old, new = {
        "trailing_comma": ("]}", ",]}"),
        "json": (":", ";"),
        "xml": ("</", "<"),
        "delimited": (pack.delimiter, " "),
    }[how if how == "trailing_comma" else pack.shape]
    return text.replace(old, new)


def _impossible(how: str, pack: Pack) -> ProviderError:
    return ProviderError(400, f"The sandbox can't answer '{how}' in '{pack.shape}': choose another 'how'.")


_DRESS: dict[str, Callable[[str], str]] = {
    "fenced": lambda text: f"```json\n{text}\n```",
    "prefaced": lambda text: f"Sure! Here are the [{len(text)}] characters:\n{text}\nAnything else?",
    "cut": lambda text: text[: len(text) * 2 // 3],
}


def _contradicted(answers: list[Entry], _: Random) -> list[Entry]:
    first = answers[0]
    other = {name: f"not {value}" if isinstance(value, str) else value for name, value in first.fields.items()}
    return [*answers, first._replace(fields=other)]


def _shuffled(answers: list[Entry], draw: Random) -> list[Entry]:
    """In another order, where there is one."""
    order = draw.sample(answers, len(answers))
    return order if order != answers else order[::-1]


_CHANGES: dict[str, Callable[[list[Entry], Random], list[Entry]]] = {
    "shuffled": _shuffled,
    "dropped": lambda answers, _: answers[:-1],
    "duplicated": lambda answers, _: [*answers, answers[0]],
    "contradicted": _contradicted,
    "unknown": lambda answers, _: [*answers, answers[0]._replace(number=len(answers) + 7)],
    "from_zero": lambda answers, _: [answer._replace(number=answer.number - 1) for answer in answers],
    "wrong_type": lambda answers, _: [
        answers[0]._replace(fields={name: [value] for name, value in answers[0].fields.items()}),
        *answers[1:],
    ],
}
HOW = (*_DRESS, "trailing_comma", "broken", *_CHANGES)
