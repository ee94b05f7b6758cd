"""What is shown on a terminal: nothing in it speaks to the terminal, or turns its neighbours round."""

import json


def printable(text: str) -> str:
    """A text with every character that a terminal would act on shown as its escape."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def printable_json(text: str) -> str:
    """The same JSON, in which such a character is written as JSON's own escape."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark == "\n" else json.dumps(mark)[1:-1] for mark in text)
