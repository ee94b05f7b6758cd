"""References to the environment, `${NAME}`, in string literals; and what looks like a secret in the open. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$\{{({_NAME})\}}")
SHORTEST_SECRET = 8
"""What is shorter stands in too many texts by chance."""
_KEY = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9][A-Za-z0-9_-]{14,}")
# KEY at the end, for KEY_COLUMN and KEYBOARD hold none; a shell's PWD and OLDPWD are folders.
_CREDENTIAL_NAME = re.compile(
    r"API_?KEY|KEY\d*$|SECRET|TOKEN|PASS(W|PHRASE|CODE|[^A-Z]|$)|CREDENTIAL|PRIVATE|JAAS|(?<!^)(?<!^OLD)PWD",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"[\w.-]+:\d+(,[\w.-]+:\d+)*|(file|https?)://[^@?]*|/[\w./-]*")
_PASSWORD_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@", re.IGNORECASE)


def referenced(text: str) -> tuple[str, ...]:
    """The names that a text refers to, in order."""
    return tuple(_REFERENCE.findall(text))


def reference(text: str) -> str | None:
    """NAME where the text is exactly `${NAME}`."""
    match = _REFERENCE.fullmatch(text.strip())
    return match[1] if match else None


def resolved(text: str, environ: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
    """The text with each reference replaced; one that is not set stays. `escape` makes a value fit its literal."""
    return _REFERENCE.sub(lambda match: escape(environ[match[1]]) if match[1] in environ else match[0], text)


def credentials(environ: Mapping[str, str], passwords: Iterable[str] = ()) -> dict[str, str]:
    """The values that may be stored nowhere, each with the reference to its variable.

    `passwords`: values that are secrets by where they stand, whatever their variables are called.
    """
    known = set(passwords)
    # Of several variables with one value the last stands for it: one that is called a secret, the first by name.
    ordered = sorted(sorted(environ.items(), reverse=True), key=lambda each: is_credential(each[0]))
    return {
        value: f"${{{name}}}"
        for name, value in ordered
        if (is_credential(name) or value in known) and len(value) >= SHORTEST_SECRET
    }


def unresolved(text: str, known: Mapping[str, str]) -> str:
    """The text with references in place of known values, the longest first."""
    for value in sorted(known, key=len, reverse=True):
        text = text.replace(value, known[value])
    return text


def is_secret(name: str, value: str) -> bool:
    """Whether a variable's value should not be shown: all but plain addresses and paths."""
    return is_credential(name) or _ADDRESS.fullmatch(value) is None


def is_credential(name: str) -> bool:
    """Whether a variable's name says that its value may be stored nowhere."""
    return _CREDENTIAL_NAME.search(name) is not None


def looks_secret(text: str) -> bool:
    """Whether a literal holds a provider's key."""
    return _KEY.search(text) is not None


def url_password(text: str) -> str | None:
    """The password that an address holds as it is; None where there is none, or where it is a reference."""
    match = _PASSWORD_IN_URL.match(text)
    return match[1] if match and not _REFERENCE.search(match[1]) else None
