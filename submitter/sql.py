"""Names and texts as SQL writes them, and the prefix of the names that are ours. Pure."""

from collections.abc import Sequence

INTERNAL = "__batchline_"
"""The prefix of every name that we add to the user's catalog."""


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """`wanted`, with as many `_` behind it as keep it apart from `taken`."""
    while wanted in taken:
        wanted += "_"
    return wanted


def quote(identifier: str) -> str:
    """An identifier as SQL writes it."""
    return "`" + identifier.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A string as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
