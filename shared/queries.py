"""What finds the entries of an answer, compiled: JSONPath (RFC 9535), XPath 1.0, RE2. Each library is loaded when used.

RE2 is linear in time, whatever a user's pattern and a model's answer say.
"""

import re
from collections.abc import Callable
from typing import Any, Literal

from shared.errors import SettingsError


def json_path(text: str) -> Callable[[Any], list[Any]]:
    """The values that a path finds; what it gives raises SettingsError too, for a value that it can't be applied to."""
    import jsonpath_rfc9535

    try:
        query = jsonpath_rfc9535.compile(text)
    except jsonpath_rfc9535.JSONPathError as error:
        raise SettingsError(f"it is no JSONPath: {error}") from None

    def find(value: Any) -> list[Any]:
        try:
            return list(query.find(value).values())
        except jsonpath_rfc9535.JSONPathError as error:
            raise SettingsError(f"the path can't be applied: {error}") from None

    return find


def x_path(text: str) -> Callable[[Any], Any]:
    """What a path finds below an element."""
    from lxml import etree

    try:
        path = etree.XPath(text)
    except etree.XPathError as error:
        raise SettingsError(f"it is no XPath: {error}") from None

    def find(element: Any) -> Any:
        try:
            return path(element)
        except etree.XPathError as error:
            raise SettingsError(f"the path can't be applied: {error}") from None

    return find


def x_path_gives(text: str) -> Literal["elements", "texts", "a number or a boolean"]:
    """What kind of thing a path can find; raises SettingsError for one that can't be applied to any document."""
    from lxml import etree

    found = x_path(text)(etree.Element("none"))
    if not isinstance(found, list):
        return "texts" if isinstance(found, str) else "a number or a boolean"
    # What stands in quotes and in brackets chooses among what is found, and doesn't say what that is.
    bare = _QUOTED.sub("", text)
    while (outer := _BRACKETS.sub("", bare)) != bare:
        bare = outer
    return "texts" if all(_TEXT_STEP.search(path) for path in bare.split("|")) else "elements"


_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_TEXT_STEP = re.compile(
    r"(?:\b(?:text|comment|processing-instruction)\s*\(\s*\)|(?:@|\b(?:attribute|namespace)\s*::)\s*[^/@|()]+)[\s)]*$"
)


def pattern(text: str) -> Any:
    """The pattern, as RE2 has it."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else error
        message = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        raise SettingsError(f"it is no pattern of RE2: {message}") from None
